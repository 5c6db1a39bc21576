# SPDX-License-Identifier: Apache-2.0
"""S0-21, A6: a further address is a sender's once its owner has confirmed it by a mailed code, and not before."""
import email
import email.policy
import json
import re
import smtplib

from tests.lib import proc
from tests.lib.case import PASSWORD, USER, RelayCase
from tests.lib.nexthop import NextHop

OTHER, GONE = "Ada.L@elsewhere.example", "ada@gone.example"
CODE = re.compile(r"^    ([0-9A-Z]{4}(?:-[0-9A-Z]{4}){3})\r?$", re.M)


class AddressCodes(RelayCase):
    def start(self, hop):
        self.hop = hop
        self.server = self.relay({"plain": {"tls": "none", "auth": "required", "auth_without_tls": True}}, [hop.route],
                                 pipeline=["auth", "sender-restrictions"],
                                 sections={"directory": {"users": {"bo@clinic.example": {}}},
                                           "sender-restrictions": {}})
        self.server.add_user(USER, PASSWORD)
        return self.server.start()

    def send(self, sender):
        """The reply to MAIL, or to the message."""
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            client.login(USER, PASSWORD)
            try:
                client.sendmail(sender, ["to@partner.example"], f"From: {sender}\r\nSubject: x\r\n\r\nText\r\n")
            except smtplib.SMTPSenderRefused as refused:
                return f"{refused.smtp_code} {refused.smtp_error.decode()}"
        return "250"

    def codes(self, to):
        """All that have come to that address, the oldest first."""
        with self.hop.lock:
            found = [email.message_from_bytes(data, policy=email.policy.default)
                     for _, recipients, data in self.hop.messages if recipients == [f"<{to}>"]]
        return [CODE.search(mail.get_content())[1] for mail in found if mail["Auto-Submitted"]]

    def code(self, to, count=1):
        return proc.wait_until(lambda: self.codes(to)[count - 1:], 60, "the code has come")[0]

    def refused(self, *words):
        done = self.server.ctl("address", *words, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done)
        return done.stderr

    def listed(self):
        return {row["address"]: (row["who"], row["as"], (row["code"] or "")[:10])
                for row in json.loads(self.server.ctl("--json", "address", "list").stdout)}

    def test_by_code(self):
        """S0-21: refused before, accepted after; another code, a wrong one, one that was used, one that is too old."""
        with NextHop() as hop:
            relay = self.start(hop)
            self.assertIn("550 5.7.1", self.send(OTHER))
            self.refused_at_once()
            asked = relay.ctl("address", "add", USER, OTHER).stdout
            first = self.code(OTHER)
            self.assertNotIn(first, asked)
            self.assertEqual(self.listed(), {OTHER.lower(): (USER, "unconfirmed", "good until")})
            self.assertIn("550 5.7.1", self.send(OTHER))

            # Another one makes the first void; it is counted as a wrong one.
            relay.ctl("address", "add", USER, OTHER)
            second = self.code(OTHER, 2)
            self.assertIn("not the code that was sent last; 4 more", self.refused("confirm", USER, OTHER, first))
            self.assertIn("no code was sent", self.refused("confirm", "bo@clinic.example", OTHER, second))
            self.assertIn("550 5.7.1", self.send(OTHER))
            self.assertIn("confirmed", relay.ctl("address", "confirm", USER, OTHER, second.lower()).stdout)
            self.assertEqual(self.listed(), {OTHER.lower(): (USER, "confirmed", "")})
            proc.wait_until(lambda: self.send(OTHER) == "250", 60, "it may be used")
            self.assertIn("good only once", self.refused("confirm", USER, OTHER, second))
            self.assertIn("already (confirmed)", self.refused("add", USER, OTHER))

            self.too_late_and_taken_away(relay)
            self.in_the_audit_log(relay, first, second)
            relay.stop()

    def refused_at_once(self):
        for words, text in (((USER, "nobody"), '"nobody" is not a mail address'),
                            ((USER, "Ada@clinic.example"), "may send with ada@clinic.example already (own)"),
                            ((USER, "bo@clinic.example"), "is an address of bo@clinic.example here")):
            self.assertIn(text, self.refused("add", *words))

    def too_late_and_taken_away(self, relay):
        relay.sections["directory"]["address_code_age"] = "1s"
        relay.write()
        relay.ctl("address", "add", USER, GONE)
        late = self.code(GONE)
        proc.wait_until(lambda: self.listed()[GONE][2] == "expired 20", 60, "the code expires")
        self.assertIn("the code has expired", self.refused("confirm", USER, GONE, late))
        relay.ctl("address", "forget", USER, OTHER)
        self.assertIn("no address", self.refused("forget", USER, OTHER))
        self.assertEqual(list(self.listed()), [GONE])
        proc.wait_until(lambda: "550 5.7.1" in self.send(OTHER), 60, "it may be used no longer")
        relay.ctl("user", "remove", USER)
        self.assertEqual(self.listed(), {})

    def in_the_audit_log(self, relay, *codes):
        text = relay.ctl("--json", "audit", "list").stdout
        self.assertEqual([code for code in codes if code in text], [])
        rows = [(row["action"], row["scope"], row["before"], row["after"]) for row in json.loads(text)
                if row["action"].startswith("address")]
        scope, sent = f"address {OTHER.lower()}", f"sent, to confirm it for {USER}"
        self.assertEqual(rows, [("address add", scope, None, sent)] * 2
                         + [("address confirm", scope, None, f"wrong, of {USER}"),
                            ("address confirm", scope, None, f"confirmed for {USER}"),
                            ("address add", f"address {GONE}", None, sent),
                            ("address forget", scope, "confirmed", None)])
