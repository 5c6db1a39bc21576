# SPDX-License-Identifier: Apache-2.0
"""Module sender-restrictions on the wire: SPEC S1-S4, D3, and the checklist's lines, each row of a table named by its
number. Accounts are told apart by the loopback address that a client comes from, users by who logged in."""
import smtplib

from tests.lib.case import PASSWORD, RelayCase

REG, DOM, ANY, NOBODY = "127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.0.1"
OK, NO, BAD = "250", "550 5.7.1", "550 5.6.0"

DIRECTORY = {
    "accounts": {
        "reg": {"domains": ["reg.example"], "networks": [{"range": REG}]},
        "dom": {"domains": ["dom.example", "dom.test"], "networks": [{"range": DOM}]},
        "any": {"domains": ["any.example", "sub.any.example"], "networks": [{"range": ANY}]}},
    "users": {
        "ada@reg.example": {"aliases": ["ada.l@reg.example"]},
        "bo@reg.example": {"delegates": ["ada@reg.example"]},
        "cy@reg.example": {}, "di@reg.example": {}, "al@dom.example": {}, "ed@any.example": {},
        "eve@reg.example": {}, "off@reg.example": {"enabled": False}}}
SECTION = {
    "accounts": {"dom": {"allowed": "account-domains"}, "any": {"allowed": "any"}},
    "users": {"cy@reg.example": {"envelope": "rewrite", "from_header": "rewrite"},
              "di@reg.example": {"from_header": "add-sender"},
              "eve@reg.example": {"clients": ["127.0.1.0/24"], "clients_denied": ["::ffff:127.0.1.2"]},
              "al@dom.example": {"envelope": "as-allowed", "from_header": "as-allowed"}}}
ADA, CY, DI, AL, ED = "ada@reg.example", "cy@reg.example", "di@reg.example", "al@dom.example", "ed@any.example"
EVE = "eve@reg.example"


def mail(own, other=None):
    return f"From: {own}\r\n" + (other + "\r\n" if other else "")


# What it is about, (who logged in, or None; where from; what EHLO says), MAIL's address, its reply, the header,
# the reply to the message, the return path that leaves (None: as it came), what the header then has.
ROWS = [
    ("S2-21 a registered user", (None, REG, None), "ada@reg.example", OK, mail("ada@reg.example"), OK, None, []),
    ("S2-21 nobody of that name", (None, REG, None), "printer@reg.example", NO, None, None, None, []),
    ("S2-21 a user who is switched off", (None, REG, None), "off@reg.example", NO, None, None, None, []),
    ("S2-21 another account's user", (None, REG, None), "al@dom.example", NO, None, None, None, []),
    ("S2-22 need not be a user", (None, DOM, None), "printer@dom.example", OK, mail("printer@dom.example"), OK, None,
     []),
    ("S2-22 in any domain of the account", (None, DOM, None), "x@a.DOM.test", OK, mail("x@a.dom.test"), OK, None, []),
    ("S2-22 but in one", (None, DOM, None), "x@notdom.test", NO, None, None, None, []),
    ("S2-22 not in another account's", (None, DOM, None), "ada@reg.example", NO, None, None, None, []),
    ("S0-20 From outside of the list", (None, DOM, None), "x@dom.test", OK, mail("x@yahoo.example"), NO, None, []),
    ("S0-20 for who logged in, too", (AL, NOBODY, None), "x@dom.test", OK, mail("x@yahoo.example"), NO, None, []),
    ("S0-20 From inside of it", (AL, NOBODY, None), "x@dom.test", OK, mail("y@dom.example"), OK, None, []),
    ("S0-20 MAIL outside of it", (AL, NOBODY, None), "x@yahoo.example", NO, None, None, None, []),
    ("S0-20 nobody's network", (None, NOBODY, None), "ada@reg.example", NO, None, None, None, []),
    ("S2-23 any address of the account", (ED, NOBODY, None), "boss@any.example", OK, mail("boss@any.example"), OK,
     None, []),
    ("S2-24 neither AUTH nor HELO", (None, ANY, "pc.elsewhere.example"), "x@yahoo.example", NO, None, None, None, []),
    ("S2-24 another account's name in EHLO", (None, ANY, "mail.dom.example"), "x@yahoo.example", NO, None, None, None,
     []),
    ("S2-25 a null sender, neither", (None, ANY, "pc.elsewhere.example"), "", NO, None, None, None, []),
    ("S2-25 a null sender, HELO", (None, ANY, "mx.any.example"), "", OK, mail("postmaster@any.example"), OK, None, []),
    ("S2-26 by HELO", (None, ANY, "mx.any.example"), "x@yahoo.example", OK, mail("X <x@yahoo.example>"), OK,
     "postmaster@any.example", ["From: X <x@yahoo.example>"]),
    ("S2-26 by HELO, the longest", (None, ANY, "MX.Sub.any.example"), "x@yahoo.example", OK, mail("x@yahoo.example"),
     OK, "postmaster@sub.any.example", []),
    ("S2-26 by AUTH", (ED, NOBODY, "pc.elsewhere.example"), "x@yahoo.example", OK, mail("x@yahoo.example"), OK,
     "postmaster@any.example", ["From: x@yahoo.example"]),
    ("S2-26 by AUTH, whatever HELO says", (ED, ANY, "mx.sub.any.example"), "x@yahoo.example", OK,
     mail("x@yahoo.example"), OK, "postmaster@any.example", []),
    ("S2-26 its own domains stay", (None, ANY, "pc.elsewhere.example"), "x@any.example", OK, mail("x@any.example"),
     OK, None, []),
    ("D3 null stays null", (ED, NOBODY, None), "", OK, mail("x@yahoo.example"), OK, None, []),
    ("D3 of a registered user", (ADA, NOBODY, None), "", OK, mail("ada@reg.example"), OK, None, []),
    ("D3 a report speaks for the system", (None, REG, None), "", OK, mail("mailer-daemon@reg.example"), OK, None, []),
    ("D3 but not for others", (None, REG, None), "", OK, mail("mailer-daemon@yahoo.example"), NO, None, []),
    ("B-26 from her networks", (EVE, REG, None), EVE, OK, mail(EVE), OK, None, []),
    ("B-26 from one that is taken out", (EVE, DOM, None), EVE, NO, None, None, None, []),
    ("B-26 from elsewhere", (EVE, NOBODY, None), EVE, NO, None, None, None, []),
    ("S4 own address", (ADA, NOBODY, None), "Ada@Reg.example", OK, mail("Ada <ada@reg.example>"), OK, None, []),
    ("S4 an alias", (ADA, NOBODY, None), "ada.l@reg.example", OK, mail("ada.l@reg.example"), OK, None, []),
    ("S4 somebody who lets her", (ADA, NOBODY, None), "bo@reg.example", OK, mail("bo@reg.example"), OK, None, []),
    ("S4 somebody who does not", (ADA, NOBODY, None), "cy@reg.example", NO, None, None, None, []),
    ("S4 rewritten", (CY, NOBODY, None), "bo@reg.example", OK, mail("bo@reg.example"), OK, CY, [f"From: <{CY}>"]),
    ("S4 rewritten, from elsewhere", (CY, NOBODY, None), "x@yahoo.example", OK,
     mail("x@yahoo.example", "Sender: x@y.example"), OK, CY, [f"From: <{CY}>", f"Sender: <{CY}>"]),
    ("S4 a right From is left alone", (CY, NOBODY, None), CY, OK, mail(f"Cy\r\n <{CY}>"), OK, None,
     [f"From: Cy\r\n <{CY}>"]),
    ("S4 several From become one", (CY, NOBODY, None), CY, OK, mail("x@y.example", "From: z@y.example"), OK, None,
     [f"From: <{CY}>"]),
    ("S4 Sender says whose it is", (DI, NOBODY, None), DI, OK, mail("X <x@yahoo.example>"), OK, None,
     ["From: X <x@yahoo.example>", f"Sender: <{DI}>"]),
    ("S4 instead of what was there", (DI, NOBODY, None), DI, OK, mail("x@yahoo.example", "Sender: y@yahoo.example"),
     OK, None, [f"Sender: <{DI}>"]),
    ("S3-06 none for one's own", (DI, NOBODY, None), DI, OK, mail(DI), OK, None, []),
    ("S4 several From, Sender cannot help", (DI, NOBODY, None), DI, OK, mail("x@y.example", f"From: {DI}"), BAD, None,
     []),
    ("C36 From", (ADA, NOBODY, None), ADA, OK, mail("cy@reg.example"), NO, None, []),
    ("C36 Sender", (ADA, NOBODY, None), ADA, OK, mail(ADA, "Sender: cy@reg.example"), NO, None, []),
    ("C36 a right Sender makes no right From", (ADA, NOBODY, None), ADA, OK, mail("cy@reg.example", f"Sender: {ADA}"),
     NO, None, []),
    ("C36 Sender is one", (ADA, NOBODY, None), ADA, OK, mail(ADA, f"Sender: {ADA}, ada.l@reg.example"), BAD, None, []),
    ("C36 every mailbox", (ADA, NOBODY, None), ADA, OK, mail(f"{ADA}, cy@reg.example"), NO, None, []),
    ("C36 every mailbox is hers", (ADA, NOBODY, None), ADA, OK, mail(f"{ADA}, Bo <bo@reg.example>"), OK, None, []),
    ("C36 in groups", (ADA, NOBODY, None), ADA, OK, mail(f"Us: {ADA}, cy@reg.example;"), NO, None, []),
    ("C36 a group of her own", (ADA, NOBODY, None), ADA, OK, mail(f"Us: {ADA};"), OK, None, []),
    ("C36 an empty group", (ADA, NOBODY, None), ADA, OK, mail("Us:;"), BAD, None, []),
    ("C36 an encoded name", (ADA, NOBODY, None), ADA, OK, mail(f"=?utf-8?q?Ad=C3=A4?= <{ADA}>"), OK, None, []),
    ("C36 an encoded address", (ADA, NOBODY, None), ADA, OK, mail("=?utf-8?q?cy=40reg.example?="), BAD, None, []),
    ("C36 an encoded control character", (ADA, NOBODY, None), ADA, OK,
     mail(f"=?utf-8?q?cy=40reg.example=01?= <{ADA}>"), BAD, None, []),
    ("C36 an encoded local part", (AL, NOBODY, None), AL, OK,
     mail("=?utf-8?q?ada=40reg.example=00?=@dom.example"), BAD, None, []),
    ("C36 an address in brackets", (ADA, NOBODY, None), ADA, OK, mail(f"Cy [ <cy@reg.example> ] <{ADA}>"), BAD, None,
     []),
    ("C36 words in brackets", (ADA, NOBODY, None), ADA, OK, mail(f"[Team] Ada <{ADA}>"), OK, None, []),
    ("C36 and something encoded", (ADA, NOBODY, None), ADA, OK,
     mail(f"[Team] =?utf-8?q?cy=40reg.example=01?= <{ADA}>"), BAD, None, []),
    ("C36 a control character in a comment", (ADA, NOBODY, None), ADA, OK, mail(f"{ADA} (Ada\x01)"), BAD, None, []),
    ("C36 two From fields", (ADA, NOBODY, None), ADA, OK, mail(ADA, "From: cy@reg.example"), BAD, None, []),
    ("C36 a comment is no address", (ADA, NOBODY, None), ADA, OK, mail(f"{ADA} (cy@reg.example)"), OK, None, []),
    ("C36 a comment within", (ADA, NOBODY, None), ADA, OK, mail("<ada@reg.example(.yahoo.example)>"), BAD, None, []),
    ("C36 an address before the brackets", (ADA, NOBODY, None), ADA, OK, mail(f"cy@reg.example <{ADA}>"), BAD, None,
     []),
    ("C36 the same one may stand there", (ADA, NOBODY, None), ADA, OK, mail(f"{ADA} <{ADA}>"), OK, None, []),
    ("C36 words behind them", (ADA, NOBODY, None), ADA, OK, mail(f"<{ADA}> cy@reg.example"), BAD, None, []),
    ("C36 no From is the relay's to write", (ADA, NOBODY, None), ADA, OK, "Subject: x\r\n", OK, None,
     [f"From: {ADA}"]),
]


def said(answer):
    code, text = answer
    return f"{code} {text.decode()}"


class SenderRestrictions(RelayCase):
    def start(self, *users):
        relay = self.relay(
            {"plain": {"tls": "none", "auth": "offered", "auth_without_tls": True, "networks": ["127.0.0.0/8"]}},
            pipeline=["auth", "sender-restrictions"],
            sections={"directory": DIRECTORY, "sender-restrictions": SECTION})
        for user in users:
            relay.add_user(user, PASSWORD)
        return relay.start()

    def connect(self, relay, login, source, helo):
        client = smtplib.SMTP("127.0.0.1", relay.port("plain"), timeout=60, local_hostname=helo or "pc.example",
                              source_address=(source, 0))
        self.addCleanup(client.close)
        client.ehlo()
        if login:
            client.user, client.password = login, PASSWORD
            client.auth("PLAIN", client.auth_plain)
        return client

    def converse(self, client, number, row):
        name, _, sender, reply, header, final, _, _ = row
        found = said(client.docmd("MAIL", f"FROM:<{sender}>"))
        self.assertTrue(found.startswith(reply), found)
        if reply == OK:
            self.assertEqual(said(client.docmd("RCPT", "TO:<to@partner.example>"))[:3], OK)
            found = said(client.data(f"X-Row: {number}\r\n{header}\r\n{name}\r\n"))
            self.assertTrue(found.startswith(final), found)
        client.rset()

    def test_rows(self):
        relay, clients = self.start(ADA, CY, DI, AL, ED, EVE), {}
        for number, row in enumerate(ROWS):
            with self.subTest(row[0]):
                if row[1] not in clients:
                    clients[row[1]] = self.connect(relay, *row[1])
                self.converse(clients[row[1]], number, row)
        for client in clients.values():
            client.close()
        wanted = {number: row for number, row in enumerate(ROWS) if row[5] == OK}
        found = {}
        for text in self.delivered(len(wanted), 60):
            head = text.split(b"\r\n\r\n")[0].decode() + "\r\n"
            found[int(head.split("X-Row: ")[1].split("\r\n")[0])] = head
        self.assertEqual(sorted(found), sorted(wanted))
        for number, (name, _, sender, _, header, _, path, fields) in wanted.items():
            with self.subTest(name):
                self.left(found[number], sender if path is None else path, header, fields)
        relay.stop()

    def left(self, head, path, header, fields):
        """The return path; the fields that are asked for; From and Sender no more often than they came."""
        self.assertTrue(head.startswith(f"Return-Path: <{path}>\r\n"), head)
        for field in fields:
            self.assertIn(f"\r\n{field}\r\n", head)
        self.assertEqual(head.count("\r\nFrom:"), 1, head)
        expected = any(field.startswith("Sender:") for field in fields) or "Sender:" in header
        self.assertEqual(head.count("\r\nSender:"), int(expected), head)
        if not fields:
            self.assertIn(header, head)

    def test_null_sender_and_many_recipients(self):
        """S2-36: the second gets 452 4.5.3 so that clients split, the first still counts; with a sender there is no
        such limit."""
        relay = self.start(ADA)
        client = self.connect(relay, ADA, NOBODY, None)
        client.docmd("MAIL", "FROM:<>")
        replies = [said(client.docmd("RCPT", f"TO:<{name}@partner.example>"))[:9] for name in "abc"]
        self.assertEqual(replies, ["250 2.1.5", "452 4.5.3", "452 4.5.3"])
        self.assertEqual(said(client.data(mail(ADA) + "\r\nHello\r\n"))[:3], OK)
        client.docmd("MAIL", f"FROM:<{ADA}>")
        replies = [said(client.docmd("RCPT", f"TO:<{name}@partner.example>"))[:3] for name in "ab"]
        self.assertEqual(replies, [OK, OK])
        self.assertEqual(said(client.data(mail(ADA) + "\r\nHello\r\n"))[:3], OK)
        paths = [text.split(b"\r\n")[:2] for text in self.delivered(3, 60)]
        self.assertEqual(sorted(paths), [[b"Return-Path: <>", b"Delivered-To: a@partner.example"]]
                         + [[b"Return-Path: <ada@reg.example>", b"Delivered-To: %s@partner.example" % name]
                            for name in (b"a", b"b")])
        client.close()
        relay.stop()

    def test_any_is_warned_of(self):
        """S2-23: `check` says so where it stands; the configuration is good."""
        relay = self.relay({"plain": {"tls": "none"}}, pipeline=["sender-restrictions"],
                           sections={"sender-restrictions": {"allowed": "any"}})
        done = relay.ctl("check")
        self.assertIn("sender-restrictions.allowed: any is not recommended", done.stderr)
        relay.sections["sender-restrictions"]["allowed"] = "account-domains"
        relay.write()
        self.assertNotIn("not recommended", relay.ctl("check").stderr)
