# SPDX-License-Identifier: Apache-2.0
"""A spool that is encrypted: nothing of a message is on the disk in clear, keys change while mail
flows, and a key that is missing costs no mail."""
import os
import pathlib
import re
import secrets
import smtplib

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.nexthop import NextHop
from tests.lib.postern import File

OPEN = {"tls": "none", "auth": "off", "networks": ["127.0.0.0/8"]}
NOTICED_SECONDS = 60
SENDER, LARGE = "hidden-sender@clinic.example", 3 << 20


class Encryption(RelayCase):
    def setUp(self):
        super().setUp()
        self.keys = os.path.join(self.directory, "spool.key")
        self.lines = {name: f"{name} {secrets.token_hex(32)}" for name in ("spring", "autumn")}
        self.hop = self.enterContext(NextHop())
        self.defer = [f"RCPT TO:<r{number}@partner.example>" for number in range(20)]

    def write_keys(self, *names):
        with open(os.open(self.keys + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write("".join(self.lines[name] + "\n" for name in names))
        os.rename(self.keys + ".new", self.keys)

    def new_relay(self, encrypted=True):
        spool = {"segment_size": "1m"}
        if encrypted:
            spool["encrypt_with"] = File(self.keys)
        return self.relay({"plain": OPEN},
                          [{"to": "smarthost", "host": f"127.0.0.1:{self.hop.port}", "tls": "none"}],
                          relay={"spool": spool, "queue": {"retry_first": "100ms", "retry_most": "500ms"}})

    def make_wait(self):
        """The next hop refuses everybody for now, in words of its own."""
        for line in self.defer:
            self.hop.answers[line] = ["450 4.2.0 hidden-reply"] * 100000

    def let_go(self):
        self.hop.answers.clear()

    def send(self, relay, number, size=1000):
        body = f"hidden-body {number} " * (size // 15)
        text = f"Subject: hidden-subject {number}\r\n\r\n" + "\r\n".join(re.findall(".{1,70}", body)) + "\r\n"
        with smtplib.SMTP("127.0.0.1", relay.port("plain"), timeout=60) as client:
            client.sendmail(SENDER, [f"r{number}@partner.example"], text)
        return text

    def arrived(self, count):
        self.hop.wait(count, NOTICED_SECONDS)
        return sorted(int(re.search(rb"hidden-subject (\d+)", data)[1]) for _, _, data in self.hop.messages)

    def logged(self, relay, text, count=1):
        proc.wait_until(lambda: relay.log().count(text) >= count, NOTICED_SECONDS, f"the log says {text}")

    def deferred(self, relay, count):
        proc.wait_until(lambda: len(set(re.findall(r"=deferred .*?(r\d+)@", relay.log()))) >= count, 30,
                        f"{count} messages are deferred")

    def change_keys(self, relay, generation, *names):
        self.write_keys(*names)
        relay.reload()
        self.logged(relay, f"reloaded generation={generation}")

    def files_with(self, relay, marker):
        """Files of the relay that hold it, also under names that hold it; whatever the case."""
        found = []
        for folder in relay.state, relay.run:
            for path in pathlib.Path(folder).rglob("*"):
                try:
                    data = path.read_bytes() if path.is_file() else b""
                except FileNotFoundError:   # the database's other files come and go
                    continue
                if marker.lower() in str(path).lower() or marker.lower().encode() in data.lower():
                    found.append(str(path))
        return found

    def segments(self, relay):
        return sorted(pathlib.Path(relay.state, "spool").glob("*.seg"))

    def test_nothing_in_clear(self):
        self.write_keys("spring")
        self.make_wait()
        relay = self.new_relay().start()
        sent = {number: self.send(relay, number, LARGE if number == 2 else 2000) for number in range(4)}
        self.deferred(relay, 4)
        for stage in "running", "killed":
            for marker in "hidden-body", "hidden-subject", "hidden-sender", "hidden-reply", "partner.example":
                self.assertEqual(self.files_with(relay, marker), [], f"{marker}, {stage}")
            if stage == "running":
                relay.kill_master()
        self.assertNotIn("hidden-body", relay.log())
        self.assertNotIn("hidden-subject", relay.log())
        self.assertIn(b"spring", self.segments(relay)[0].read_bytes()[:512])
        self.let_go()
        relay.start()
        self.assertEqual(self.arrived(4), [0, 1, 2, 3], relay.log()[-3000:])
        for sender, _, data in self.hop.messages:
            number = int(re.search(rb"hidden-subject (\d+)", data)[1])
            self.assertIn(SENDER, sender)
            self.assertTrue(data.decode().endswith(sent[number]))

    def test_what_is_set_aside_stays_encrypted(self):
        self.write_keys("spring")
        self.make_wait()
        relay = self.new_relay().start()
        self.send(relay, 0, 20000)
        self.send(relay, 1, 2000)
        self.deferred(relay, 2)
        relay.kill_master()
        with open(self.segments(relay)[0], "r+b") as file:
            file.seek(8192 + 10000)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))
        self.let_go()
        relay.start()
        self.assertEqual(self.arrived(1), [1], relay.log()[-3000:])
        kept = re.findall(r"spool-record-damaged kept=(\S+)", relay.log())
        self.assertEqual(len(kept), 1, relay.log()[-3000:])
        self.assertGreater(os.path.getsize(kept[0]), 19000)
        self.assertEqual(self.files_with(relay, "hidden"), [])

    def test_keys_change_while_mail_waits(self):
        self.make_wait()
        relay = self.new_relay(encrypted=False).start()
        self.send(relay, 0)
        self.assertNotEqual(self.files_with(relay, "hidden-body 0"), [])
        relay.relay["spool"]["encrypt_with"] = File(self.keys)
        relay.write()
        self.change_keys(relay, 2, "spring")
        self.send(relay, 1)
        self.assertEqual(self.files_with(relay, "hidden-body 1"), [])
        self.change_keys(relay, 3, "autumn", "spring")
        self.send(relay, 2)
        self.change_keys(relay, 4, "autumn")
        self.logged(relay, "spool-key-needed key=spring")
        self.assertNotIn("key=autumn", relay.log())
        names = {path.read_bytes()[140:176].rstrip(b"\0") for path in self.segments(relay)}
        self.assertEqual(names, {b"", b"spring", b"autumn"})
        self.let_go()       # also what needs the key that is gone
        self.assertEqual(self.arrived(3), [0, 1, 2], relay.log()[-3000:])

    def test_a_missing_key_costs_no_mail(self):
        self.write_keys("spring")
        self.make_wait()
        relay = self.new_relay().start()
        self.send(relay, 0)
        self.deferred(relay, 1)
        relay.stop()
        self.let_go()
        self.write_keys("autumn")
        relay.start()
        self.logged(relay, 'encrypted with the key \\"spring\\"')
        path = self.segments(relay)[0]
        self.assertRegex(relay.log(), rf"spool-record-damaged kept={re.escape(str(path))} ")
        before = path.read_bytes()
        self.send(relay, 1)
        self.assertEqual(self.arrived(1), [1], relay.log()[-3000:])
        self.assertEqual(path.read_bytes(), before)
        relay.stop()
        self.write_keys("autumn", "spring")
        relay.start()
        self.assertEqual(self.arrived(2), [0, 1], relay.log()[-3000:])

    def test_a_key_file_with_a_mistake(self):
        with open(os.open(self.keys, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write("# ours\nspring " + 31 * "5a" + "\n")
        done = self.new_relay().ctl("check", check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"\.yaml:\d+:\d+: relay\.spool\.encrypt_with: line 2 of the key file: a key "
                                      r"is 64 hexadecimal digits")
        self.assertNotIn("5a5a", done.stderr + done.stdout)
