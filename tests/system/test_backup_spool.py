# SPDX-License-Identifier: Apache-2.0
"""posternctl backup --spool and restore --spool: what waited when the backup was taken arrives, encrypted or not."""
import json
import os
import pathlib
import re
import shutil
import smtplib

from tests.lib import proc
from tests.lib.case import RelayCase, rounds
from tests.lib.postern import File
from tests.lib.talk_tests import Peer
from tests.lib.traffic import Load

TORTURE = True
WAITING = rounds(100, 1000)
KEYS = {"2026": "11" * 32, "2027": "22" * 32}


class BackupSpool(RelayCase):
    def setUp(self):
        super().setUp()
        self.file = os.path.join(self.directory, "backup.tar.gz")
        self.keys = os.path.join(self.directory, "keys")
        self.key("2026")

    def key(self, name):
        with open(self.keys, "w", encoding="ascii") as file:
            file.write(f"{name} {KEYS[name]}\n")
        os.chmod(self.keys, 0o600)

    def serve(self, spool):
        down = {"to": "smarthost", "host": f"127.0.0.1:{proc.free_port()}", "tls": "none"}
        self.server = self.relay({"plain": {"tls": "none", "auth": "off"}},
                                 [{"when": {"recipient_domain": ["gone.example"]}, "to": "discard"}, down],
                                 relay={"queue": {"retry_first": "1h", "retry_most": "1h"},
                                        "spool": dict({"segment_size": "1m"}, **spool)}).start()

    def send(self):
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            for number in range(WAITING):
                client.sendmail("ada@clinic.example", ["b@partner.example"],
                                f"From: ada@clinic.example\r\nSubject: n{number};\r\n\r\n{'x' * 2000}\r\n")

    def restore(self, *words, check=True):
        return self.server.ctl("--json", "restore", "--spool", *words, self.file, check=check)

    def status(self):
        return json.loads(self.server.ctl("--json", "status").stdout)[0]

    def wait_loaded(self):
        proc.wait_until(lambda: not self.status()["spool_loading"], 60, "the queue is read")

    def lose_all(self):
        self.server.kill_master()
        shutil.rmtree(os.path.join(self.server.state, "spool"))

    def test_under_load(self):
        """Segments are used again and mail is moved while the backup is taken."""
        self.serve({})
        self.send()
        load = Load(self.builddir, self.server.port("plain"), messages=100000000, sessions=8, size=20000,
                    domain="gone.example", per_connection=50)
        self.addCleanup(proc.end, load.process)
        proc.wait_until(lambda: self.status()["accepted"] > WAITING + 1000, 60, "load flows")
        for number in range(rounds(2, 20)):
            if number:
                os.unlink(self.file)
            self.server.ctl("backup", "--spool", self.file)
        self.assertIn("a relay runs on this folder", self.restore(check=False).stderr)
        load.stop()
        load.finish(60)
        self.lose_all()
        row, = json.loads(self.restore().stdout)
        self.assertGreaterEqual(row["messages"], WAITING)
        self.assertIn("there is a spool", self.restore(check=False).stderr)
        audit = json.loads(self.server.ctl("--json", "audit", "list").stdout)[-1]
        self.assertEqual((audit["action"], audit["scope"]), ("restore", "spool"))
        self.assertEqual(self.deliver_partner(), set(range(WAITING)))

    def deliver_partner(self):
        """What waits for partner.example goes to the maildir; its numbers."""
        self.server.routes[-1] = {"to": "maildir", "path": str(self.mail)}
        self.server.write()
        self.server.start()
        self.wait_loaded()
        self.server.ctl("queue", "retry", "--all", check=False)
        proc.wait_until(self.server.queue_is_empty, 60, "the queue is empty")
        return {int(re.search(rb"Subject: n(\d+);", path.read_bytes())[1])
                for path in pathlib.Path(self.mail, "new").iterdir()}

    def test_not_while_two_relays_write(self):
        """The old relay waits for a client in DATA: both write, and a copy would be of no moment."""
        self.serve({})
        self.send()
        peer = Peer(self.server.port("plain"))
        self.addCleanup(peer.socket.close)
        for line, code in ((b"", "220"), (b"EHLO client.example\r\n", "250"), (b"MAIL FROM:<a@clinic.example>\r\n", "250"),
                           (b"RCPT TO:<b@gone.example>\r\n", "250"), (b"DATA\r\n", "354")):
            peer.send(line)
            self.assertEqual(peer.reply()[0], code)
        old = self.server.child("relay")
        new = json.loads(self.server.ctl("--json", "upgrade").stdout)[0]["relay"]
        refused = self.server.ctl("backup", "--spool", self.file, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(f"an upgrade is under way, and process {old} writes mail here as well as process {new}",
                      refused.stderr)
        self.assertFalse(os.path.exists(self.file))
        # What is not mail is of one moment all the same.
        self.server.ctl("backup", self.file)
        os.unlink(self.file)
        peer.send(b"Subject: slow\r\n\r\n.\r\n")
        self.assertEqual(peer.reply()[0], "250")
        proc.wait_until(lambda: not os.path.exists(f"/proc/{old}"), 60, "the old relay has ended")
        self.wait_loaded()
        self.server.ctl("backup", "--spool", self.file)
        self.lose_all()
        row, = json.loads(self.restore().stdout)
        self.assertGreaterEqual(row["messages"], WAITING)

    def test_encrypted_and_held(self):
        self.serve({"encrypt_with": File(self.keys)})
        self.send()
        self.server.ctl("backup", "--spool", self.file)
        self.lose_all()
        self.key("2027")
        refused = self.restore(check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn('encrypted with key "2026"', refused.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.server.state, "spool")))
        self.key("2026")
        row, = json.loads(self.restore("--hold").stdout)
        self.assertEqual((row["messages"], len(row["ids"]), row["held"], row["damaged"]), (WAITING, WAITING, True, 0))
        self.assertGreaterEqual(row["encrypted_segments"], 1)
        self.server.start()
        self.wait_loaded()
        self.assertEqual(self.status()["held_recipients"], WAITING)
        held = json.loads(self.server.ctl("--json", "queue", "list", "--limit", "1").stdout)[0]
        self.assertEqual(held["id"], row["ids"][0])
        self.assertIn("restored from the backup of", held["reason"])
        self.server.stop()
        self.server.routes[-1] = {"to": "maildir", "path": str(self.mail)}
        self.server.write()
        self.server.start()
        self.wait_loaded()
        self.server.ctl("queue", "release", "--all")
        self.assertEqual(len(self.delivered(WAITING, 60)), WAITING)
