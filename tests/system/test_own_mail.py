# SPDX-License-Identifier: Apache-2.0
"""Mail that Postern makes itself, by hooks and by commands: sealed, once for each key, and never lost."""
import email
import email.policy
import os
import re
import smtplib

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.nexthop import NextHop

OPEN = {"tls": "none", "auth": "off", "networks": ["127.0.0.0/8"]}
BOSS, SECOND = "<boss@partner.example>", "<second@partner.example>"


class OwnMail(RelayCase):
    def postman(self, hop, **settings):
        relay = self.relay({"plain": OPEN}, [hop.route], pipeline=["postman", "sealer"],
                           sections={"postman": settings})
        relay.programs.modules += ":" + os.path.join(os.path.abspath(self.builddir), "tests", "modules", ".libs")
        return relay

    def own(self, hop):
        """(envelope sender, recipients, message) of what has come that no client sent."""
        with hop.lock:
            found = [(sender.split(" ")[0], to, email.message_from_bytes(data, policy=email.policy.default))
                     for sender, to, data in hop.messages]
        return [row for row in found if row[2]["Auto-Submitted"]]

    def wait_own(self, hop, count):
        proc.wait_until(lambda: len(self.own(hop)) >= count, 60, f"{count} messages of Postern's own")
        return self.own(hop)

    def test_by_hooks_and_commands(self):
        """From committed and flush hooks and from a command, while no relay runs: sealed, null sender, to everybody;
        what has a key comes once, however often it is said. A drained relay takes none."""
        with NextHop() as hop:
            relay = self.postman(hop, flushes=True)
            self.assertIn("now", relay.ctl("postman", "send", "k", "boss@partner.example").stdout)
            self.assertIn("before", relay.ctl("postman", "send", "k", "boss@partner.example").stdout)
            refused = relay.ctl("postman", "send", "other", "boss", check=False)
            self.assertEqual((refused.returncode, "\"boss\" is not a mail address" in refused.stderr), (1, True))
            relay.start()
            with smtplib.SMTP("127.0.0.1", relay.port("plain"), timeout=60) as client:
                client.sendmail("ada@clinic.example", ["to@partner.example"], "Subject: hello\r\n\r\nText\r\n")
            self.wait_own(hop, 3)
            relay.ctl("drain")
            relay.ctl("postman", "send", "", "boss@partner.example")     # without a key: the last that is put in
            relay.ctl("drain")                                           # and the spool is empty all the same
            self.assertEqual(len(self.own(hop)), 3)
            relay.ctl("resume")
            found = self.wait_own(hop, 4)
            self.assertEqual(relay.stop(), 0)
            self.assertEqual(len(self.own(hop)), 4)
            for sender, to, mail in found:
                self.assertEqual((sender, sorted(to)), ("<>", [BOSS, SECOND]))
                self.assertEqual(mail["Subject"], "Grüße, sent by the module that is called postman")
                self.assertEqual(mail["From"], "Postmaster <postmaster@postern.test>")
                self.assertEqual(mail["To"], "boss@partner.example, second@partner.example")
                self.assertEqual(mail["Auto-Submitted"], "auto-generated")
                self.assertEqual(mail.get_content().splitlines(), [".", "Höllo"])
                self.assertTrue(mail["Date"] and mail["X-Seal"] and mail["X-Seal-Body"], mail)
            self.assertEqual(len({mail["Message-ID"] for _, _, mail in found}), 4)
            self.assertEqual(relay.log().count("event=own-mail "), 4)
            self.assertIn(" by=postman key=always to=boss@partner.example recipients=2\n", relay.log())
            # The commands stand in the audit log, and what was said before was no change.
            self.assertEqual(relay.ctl("audit", "list").stdout.count("postman send"), 2)

    def test_kill_and_a_sender(self):
        """kill -9 while it goes from the database to the spool and on: nothing is lost, and what comes twice is known
        by its Message-ID. With a return path what fails is reported there, as of any other mail."""
        with NextHop(answers={f"RCPT TO:{BOSS}": ["550 5.1.1 gone"]}) as hop:
            relay = self.postman(hop, sender="robot@clinic.example").start()
            for number in range(4):
                relay.ctl("postman", "send", f"k{number}", f"to{number}@partner.example")
                if number == 1:
                    relay.kill_relay()
            relay.wait_ready(60)
            relay.ctl("postman", "send", "", "boss@partner.example")
            ids = proc.wait_until(lambda: self.complete(hop, 4), 60, "all have come")
            self.assertEqual([len(each) for each in ids], [1] * 4)
            reports = proc.wait_until(lambda: [row for row in self.own(hop) if row[0] == "<>"], 60, "a report")
            self.assertEqual(reports[0][1], ["<robot@clinic.example>"])
            self.assertIn("boss@partner.example", str(reports[0][2]))
            self.assertEqual({(sender, mail["From"]) for sender, _, mail in self.own(hop) if sender != "<>"},
                             {("<robot@clinic.example>", "robot@clinic.example")})
            relay.stop()

    def complete(self, hop, count):
        """For each of so many recipients the ids of what came; false until all have some."""
        ids = [set() for _ in range(count)]
        for _, to, mail in self.own(hop):
            for number in re.findall(r"<to(\d)@", " ".join(to)):
                ids[int(number)].add(mail["Message-ID"])
        return all(ids) and ids
