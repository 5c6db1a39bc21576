# SPDX-License-Identifier: Apache-2.0
"""Module recipient-restrictions on the wire: S0-09, SPEC S5, B-16, each row of a table a user with settings of
their own."""
import smtplib
import ssl

from tests.lib.case import PASSWORD, USER, RelayCase
from tests.lib.certificates import certificate

OPEN = {"tls": "none", "auth": "off", "networks": ["127.0.0.0/8"]}
OK, DENIED, MORE = "250", "550 5.7.1", "452 4.5.3"
COMPETITOR = {"deny": ["competitor.example", "spy@partner.example"]}
TRAINEE = {"allow": ["clinic.example"], "allow_via_cc": ["dr.*@clinic.example"]}

# What the line is about, the settings, (recipient, reply) in their order, the reply to the message.
ROWS = [
    ("S0-09 nothing is denied to others", {}, [("bo@competitor.example", OK)], OK),
    ("S0-09 a denied domain", COMPETITOR, [("bo@competitor.example", DENIED)], None),
    ("S0-09 and below it", COMPETITOR, [("bo@Sales.Competitor.example", DENIED)], None),
    ("S0-09 not what only ends so", COMPETITOR, [("bo@notcompetitor.example", OK)], OK),
    ("S0-09 not what only begins so", COMPETITOR, [("bo@competitor.example.org", OK)], OK),
    ("S0-09 an address, in any case", COMPETITOR, [("Spy@Partner.example", DENIED)], None),
    ("S0-09 its neighbours", COMPETITOR, [("bo@partner.example", OK)], OK),
    ("S0-09 each recipient by itself", COMPETITOR,
     [("spy@partner.example", DENIED), ("bo@partner.example", OK)], OK),
    ("S0-09 the domain alone", {"deny": ["*@competitor.example"]},
     [("bo@competitor.example", DENIED), ("bo@sub.competitor.example", OK)], OK),
    ("S0-09 an allow list", {"allow": ["clinic.example"]},
     [("bo@clinic.example", OK), ("bo@partner.example", DENIED)], OK),
    ("S0-09 denied although allowed", {"allow": ["clinic.example"], "deny": ["boss@clinic.example"]},
     [("boss@clinic.example", DENIED), ("bo@clinic.example", OK)], OK),
    ("S0-09 nobody at all", {"deny": ["*"]}, [("bo@clinic.example", DENIED)], None),
    ("S0-09 a text of one's own", dict(COMPETITOR, text="Frag zuerst."),
     [("bo@competitor.example", "550 5.7.1 Frag zuerst.")], None),
    ("B-16 with somebody of the list, before", TRAINEE,
     [("dr.ada@clinic.example", OK), ("bo@partner.example", OK)], OK),
    ("B-16 and behind", TRAINEE, [("bo@partner.example", OK), ("Dr.Ada@clinic.example", OK)], OK),
    ("B-16 without", TRAINEE, [("bo@partner.example", OK), ("bo@clinic.example", OK)], DENIED),
    ("B-16 nobody who needs it", TRAINEE, [("bo@clinic.example", OK)], OK),
    ("B-16 not whom it was refused", dict(TRAINEE, recipients=1),
     [("bo@partner.example", OK), ("dr.ada@clinic.example", MORE)], DENIED),
    ("B-23 as many as allowed", {"recipients": 2}, [("a@partner.example", OK), ("b@partner.example", OK)], OK),
    ("B-23 the same one again is none more", {"recipients": 1},
     [("a@partner.example", OK), ("a@Partner.example", OK)], OK),
    ("B-23 one more, who is sent to apart", {"recipients": 2},
     [("a@partner.example", OK), ("b@partner.example", OK), ("c@partner.example", MORE)], OK),
    ("B-23 one more, who is not", {"recipients": 1, "surplus": "reject"},
     [("a@partner.example", OK), ("b@partner.example", "550 5.5.3")], OK),
    ("B-23 whom something else refused is no recipient", dict(COMPETITOR, recipients=1),
     [("bo@competitor.example", DENIED), ("a@partner.example", OK)], OK),
    ("S5 internal", {"only": "internal"},
     [("bo@Clinic.example", OK), ("bo@sub.lab.example", OK), ("bo@partner.example", DENIED),
      ("bo@notclinic.example", DENIED), ("bo@hotel.example", DENIED)], OK),
    ("S5 external", {"only": "external"},
     [("bo@clinic.example", DENIED), ("bo@sub.lab.example", DENIED), ("bo@hotel.example", OK)], OK),
    ("S5 internal, and somebody of the list", {"only": "internal", "allow_via_cc": ["boss@clinic.example"]},
     [("bo@partner.example", OK), ("boss@clinic.example", OK)], OK),
    ("S0-09 exempt users are those who logged in", dict(COMPETITOR, exempt=["clinic.example"]),
     [("bo@competitor.example", DENIED)], None),
]


def said(answer):
    code, text = answer
    return f"{code} {text.decode()}"


class RecipientRestrictions(RelayCase):
    def setUp(self):
        super().setUp()
        users = {f"row{number}@clinic.example": row[1] for number, row in enumerate(ROWS)}
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.server = self.relay(
            {"plain": OPEN, "submissions": {"tls": "implicit", "auth": "required"}},
            pipeline=["auth", "recipient-restrictions"], tls=certificate(self.directory, "localhost"),
            sections={"directory": {
                "accounts": {"clinic": {"domains": ["clinic.example", "lab.example"]},
                             "hotel": {"domains": ["hotel.example"]}}, "attribute_by": ["user", "sender"]},
                      "recipient-restrictions": {
                "users": users, "domains": {"other.example": {"deny": ["*"], "exempt": [USER]}}}})

    def converse(self, client, sender, recipients, reply):
        self.assertEqual(said(client.docmd("MAIL", f"FROM:<{sender}>"))[:3], OK)
        for recipient, expected in recipients:
            self.assertTrue(said(client.docmd("RCPT", f"TO:<{recipient}>")).startswith(expected), recipient)
        if reply:
            # The header names somebody of the list, who gets nothing for that.
            self.assertTrue(said(client.data("Cc: dr.ada@clinic.example\r\n\r\nHello\r\n")).startswith(reply))
        client.rset()

    def test_rows(self):
        self.server.start()
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            client.ehlo()
            for number, (name, _, recipients, reply) in enumerate(ROWS):
                with self.subTest(name):
                    self.converse(client, f"row{number}@clinic.example", recipients, reply)
        self.assertEqual(len(self.delivered(len(self.accepted()), 60)), len(self.accepted()))
        self.server.stop()

    @staticmethod
    def accepted():
        """A maildir gets a file for each recipient."""
        return [recipient for _, _, recipients, reply in ROWS if reply == OK
                for recipient in {address.lower() for address, expected in recipients if expected == OK}]

    def test_exempt_user(self):
        """S0-09, B-16: who logged in and is exempt writes to anybody; who did not, does not."""
        self.server.add_user(USER, PASSWORD)
        self.server.sections["recipient-restrictions"]["users"] = {USER: {"deny": ["*"], "exempt": [USER]}}
        self.server.write()
        self.server.start()
        with smtplib.SMTP_SSL("127.0.0.1", self.server.port("submissions"), timeout=60, context=self.context) as client:
            client.login(USER, PASSWORD)
            self.converse(client, USER, [("bo@competitor.example", OK)], OK)
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            client.ehlo()
            self.converse(client, USER, [("bo@competitor.example", DENIED)], None)
        self.server.stop()

    def test_internal_without_account(self):
        """S5: what is internal to somebody who is no account's is the domain of the own address."""
        self.server.sections = {"recipient-restrictions": {"only": "internal"}}
        self.server.write()
        self.server.start()
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            client.ehlo()
            self.converse(client, "ada@lab.example", [
                ("bo@LAB.example", OK), ("bo@x.lab.example", OK), ("bo@notlab.example", DENIED)], OK)
        self.server.stop()

    def test_patterns_are_checked(self):
        """What is no pattern is named with its place; the others of the list are looked at, too."""
        self.server.sections["recipient-restrictions"] = {
            "deny": ["*@competitor.example", "@", "a b"], "users": {USER: {"allow": ["x@-"]}}}
        self.server.write()
        done = self.server.ctl("check", check=False)
        self.assertEqual(done.returncode, 1)
        for item in ('deny[1]: "@" is neither', 'deny[2]: "a b" is neither', 'allow[0]: "x@-" is neither'):
            self.assertIn(item, done.stderr)
