# SPDX-License-Identifier: Apache-2.0
"""pn_hold: kept until somebody releases it, then the rest of the chain; over kill -9 at every point (S0-26)."""
import json
import os
import smtplib

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.nexthop import NextHop
from tests.lib.postern import File

ADA = "ada@clinic.example"
TEXT = "From: ada@clinic.example\r\nSubject: x\r\n\r\nhello\r\n"
HOLDING, REST = {"holder": {"id": "moderator"}}, {"holder": {"id": "rest"}}


class Hold(RelayCase):
    def start(self, rest=None, pipeline=(HOLDING, REST), **holding):
        """Mail to clinic.example comes back to the maildir, all other goes to the hop."""
        self.hop = self.enterContext(NextHop())
        back = {"when": {"recipient_domain": ["clinic.example"]}, "to": "maildir", "path": str(self.mail)}
        self.server = self.relay({"plain": {"tls": "none", "auth": "off"}}, [back, self.hop.route],
                                 pipeline=list(pipeline),
                                 sections={"moderator": dict({"say": "hold"}, **holding), "rest": rest or {}})
        self.server.programs.modules += f":{self.builddir}/tests/modules/.libs"
        self.server.start()

    def send(self, *recipients):
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            client.ehlo("client.example")
            client.mail(ADA)
            for recipient in recipients or ("b@partner.example",):
                client.rcpt(recipient)
            code, text = client.data(TEXT)
        self.assertEqual(code, 250)
        self.assertIn(b"held as", text)
        return text.decode().split()[-1]

    def rows(self):
        return json.loads(self.server.ctl("--json", "queue", "list").stdout)

    def wait_rows(self, *expected):
        proc.wait_until(lambda: [(row["to"], row["state"]) for row in self.rows()] == list(expected), 20,
                        f"the queue is {expected}")

    def release(self, *words):
        self.server.ctl("queue", "release", *(words or ("--all",)))

    def kill(self):
        self.server.kill_relay()
        self.server.wait_ready()

    def test_released_after_a_kill(self):
        self.start()
        identity = self.send()
        self.kill()
        self.wait_rows(("b@partner.example", "held"))
        row, = self.rows()
        self.assertEqual((row["id"], row["held_by"], row["reason"]), (identity, "moderator", "somebody has to look"))
        self.assertEqual(self.hop.messages, [])
        self.release(identity)
        (_, recipients, data), = self.hop.wait(1)
        self.assertEqual(recipients, ["<b@partner.example>"])
        seen = [line for line in data.split(b"\r\n") if line.startswith(b"X-Seen-By")]
        self.assertEqual(seen, [b"X-Seen-By: rest", b"X-Seen-By: moderator"])
        self.assertEqual(data.count(f"id {identity}".encode()), 1)  # one trace header
        proc.wait_until(self.server.all_is_noted, 60, "its delivery is noted")
        self.kill()
        self.wait_rows()
        self.assertEqual(len(self.hop.messages), 1)
        trace = self.server.ctl("trace", identity, check=False).stdout + self.server.log()
        self.assertIn("moderator", trace)

    def test_held_across_an_upgrade(self):
        """The process that follows has it from the spool of the one before, and releases it."""
        self.start()
        identity = self.send()
        before = self.server.child("relay")
        self.server.ctl("upgrade")
        proc.wait_until(lambda: not os.path.exists(f"/proc/{before}"), 60, "the relay before has left")
        self.held()
        self.wait_rows(("b@partner.example", "held"))
        self.assertEqual(self.rows()[0]["held_by"], "moderator")
        self.release(identity)
        (_, _, data), = self.hop.wait(1)
        self.assertIn(b"X-Seen-By: rest", data)
        self.wait_rows()

    def test_killed_as_it_is_released(self):
        """Wherever the kill comes, it is held, or goes out: all of it, past all of the chain."""
        self.start()
        for count in range(1, 6):
            self.send()
            self.release()
            self.kill()
            if self.held():
                self.release("--state", "held")
            self.hop.wait(count)
            self.wait_rows()
        for _, _, data in self.hop.messages:
            self.assertIn(b"X-Seen-By: rest", data)

    def held(self):
        proc.wait_until(lambda: '"spool_loading": false' in self.server.ctl("--json", "status").stdout, 20, "loaded")
        return [row for row in self.rows() if row["state"] == "held"]

    def test_recipients_one_by_one(self):
        self.start()
        self.send("b@partner.example", "c@partner.example")
        self.release("--recipient", "c@partner.example")
        self.assertEqual(self.hop.wait(1)[0][1], ["<c@partner.example>"])
        self.wait_rows(("b@partner.example", "held"))
        self.release()
        self.assertEqual(self.hop.wait(2)[1][1], ["<b@partner.example>"])

    def test_whom_the_rest_adds_may_be_there(self):
        """Held himself: he gets it when he is released, and once."""
        self.start(rest={"copy_to": "c@partner.example"})
        self.send("b@partner.example", "c@partner.example")
        self.release("--recipient", "b@partner.example")
        self.assertEqual(self.hop.wait(1)[0][1], ["<b@partner.example>"])
        self.wait_rows(("c@partner.example", "held"))
        self.release()
        self.assertEqual(self.hop.wait(2)[1][1], ["<c@partner.example>"])
        self.wait_rows()
        self.assertEqual(len(self.hop.messages), 2)

    def test_the_rest_says_no(self):
        self.start(rest={"say": "reject"})
        self.send()
        self.release()
        report, = self.delivered(1)
        self.assertIn(b"Not like this", report)
        self.wait_rows()
        self.assertEqual(self.hop.messages, [])

    def test_the_rest_throws_it_away(self):
        self.start(rest={"say": "discard"})
        self.send()
        self.release()
        self.wait_rows()
        self.assertEqual(self.hop.messages, [])
        self.assertFalse((self.mail / "new").exists())

    def test_held_twice(self):
        self.start(rest={"say": "hold"})
        identity = self.send()
        self.release()
        proc.wait_until(lambda: [row["held_by"] for row in self.rows()] == ["rest"], 20, "the second holds it")
        self.kill()
        self.wait_rows(("b@partner.example", "held"))
        self.release(identity)
        (_, _, data), = self.hop.wait(1)
        self.assertEqual(data.count(b"X-Seen-By"), 2)

    def test_the_rest_changes_recipients(self):
        self.start(rest={"copy_to": "archive@partner.example", "instead_of": "c@partner.example"})
        self.send("b@partner.example", "c@partner.example")
        self.release()
        proc.wait_until(lambda: sum(len(recipients) for _, recipients, _ in self.hop.messages) == 2, 20, "both went")
        self.assertEqual(sorted(address for _, recipients, _ in self.hop.messages for address in recipients),
                         ["<archive@partner.example>", "<b@partner.example>"])
        self.wait_rows()
        self.kill()
        self.wait_rows()

    def test_an_entry_that_is_gone(self):
        """Nobody skips what stands behind it: it is held on, and says why, until the entry is back."""
        self.start()
        self.send()
        section = self.server.sections.pop("moderator")
        self.server.pipeline = [REST]
        self.server.write()
        self.server.ctl("reload")
        self.release()
        proc.wait_until(lambda: [row["held_by"] for row in self.rows()] == ["postern"], 20, "it is held again")
        self.assertIn("not in the pipeline any more", self.rows()[0]["reason"])
        self.kill()
        self.wait_rows(("b@partner.example", "held"))
        self.server.sections["moderator"] = section
        self.server.pipeline = [HOLDING, REST]
        self.server.write()
        self.server.ctl("reload")
        self.release()
        self.hop.wait(1)

    def test_deleted_with_a_report(self):
        self.start()
        self.send()
        self.server.ctl("queue", "delete", "--all", "--bounce")
        report, = self.delivered(1)
        self.assertIn(b"deleted by the administrator", report)
        self.wait_rows()
        self.assertEqual(self.hop.messages, [])

    def test_its_time_is_up(self):
        self.start(most="1s")
        self.send()
        report, = self.delivered(1)
        self.assertIn(b"somebody has to look", report)
        self.wait_rows()

    def test_its_time_is_up_and_it_goes(self):
        self.start(most="1s", then="release")
        self.send()
        (_, _, data), = self.hop.wait(1)
        self.assertIn(b"X-Seen-By: rest", data)

    def test_explain(self):
        self.start()
        path = f"{self.directory}/mail.eml"
        with open(path, "w", encoding="ascii") as file:
            file.write(TEXT)
        done = self.server.ctl("explain", "--from", ADA, "--to", "b@partner.example", path)
        self.assertIn("held", done.stdout)
        self.assertIn("somebody has to look", done.stdout)

    def test_beside_wanted_protection(self):
        """Held mail waits before it is protected: not on a disk that is not encrypted."""
        keys = os.path.join(self.directory, "keys")
        self.start()
        self.server.pipeline = ["selector", HOLDING, REST]
        self.server.sections["selector"] = {"want": "sender", "rules": ["=none"]}
        self.server.write()
        done = self.server.ctl("check", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"\.yaml:\d+:\d+: pipeline: \w+ may hold messages for which selector wants "
                                      r"protection.*set relay\.spool\.encrypt_with")
        self.server.sections["moderator"].update(enabled=False, users={ADA: {"enabled": True}})
        self.server.write()
        self.assertIn("may hold messages for which", self.server.ctl("check", check=False).stderr)
        self.server.sections["moderator"].update(enabled=True, users={})
        with open(keys, "w", encoding="ascii") as file:
            file.write("one " + "ab" * 32 + "\n")
        os.chmod(keys, 0o600)
        self.server.relay["spool"] = {"encrypt_with": File(keys)}
        self.server.write()
        self.server.ctl("check")
        self.server.ctl("reload")
        self.send()
        self.server.ctl("queue", "delete", "--all", "--bounce")
        report, = self.delivered(1)
        self.assertIn(b"deleted by the administrator", report)
        for said in (b"Subject: x", b"hello"):  # nobody has protected it yet
            self.assertNotIn(said, report)
