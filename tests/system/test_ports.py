# SPDX-License-Identifier: Apache-2.0
"""S2-35: TLS required is port 587; where it is not, 25, 465 and 587 all take mail."""
import smtplib

from tests.lib.backends import unverified
from tests.lib.case import PASSWORD, USER, RelayCase
from tests.lib.certificates import certificate

MESSAGE = "Subject: hello\r\n\r\nHello.\r\n"
STARTTLS_FIRST = (530, b"5.7.0 Must issue a STARTTLS command first")


class Ports(RelayCase):
    def connect(self, listener, starttls=False):
        kind = smtplib.SMTP_SSL if listener == "465" else smtplib.SMTP
        own = {"context": unverified()} if listener == "465" else {}
        client = kind("127.0.0.1", self.server.port(listener), local_hostname="client.example", timeout=60, **own)
        if starttls:
            client.starttls(context=unverified())
        client.ehlo()
        return client

    def test_four_listeners(self):
        self.server = self.relay({"587-required": {"tls": "starttls-required", "auth": "offered"},
                                  "587": {"tls": "starttls", "auth": "offered"},
                                  "465": {"tls": "implicit", "auth": "offered"},
                                  "25": {"tls": "starttls", "auth": "offered"}}, pipeline=["auth"],
                                 tls=certificate(self.directory, "localhost"))
        self.server.add_user(USER, PASSWORD)
        self.server.start()
        with self.connect("587-required") as client:  # in clear, nothing of the mail is let in
            self.assertNotIn("auth", client.esmtp_features)
            for command in (f"MAIL FROM:<{USER}>", "RCPT TO:<x@example.net>", "DATA", "AUTH PLAIN AAAA"):
                self.assertEqual(client.docmd(command), STARTTLS_FIRST)
        sent = 0
        for listener, starttls, auth in (("587-required", True, True), ("587-required", True, False),
                                         ("587", False, False), ("587", True, True), ("465", False, True),
                                         ("465", False, False), ("25", False, False), ("25", True, True)):
            with self.subTest(listener, starttls=starttls, auth=auth), self.connect(listener, starttls) as client:
                self.assertEqual("auth" in client.esmtp_features, starttls or listener == "465")
                if auth:
                    client.login(USER, PASSWORD)
                self.assertEqual(client.sendmail(USER, ["x@example.net"], MESSAGE), {})
                sent += 1
        protocols = [b"with ESMTPS" in mail for mail in self.delivered(sent)]
        self.assertEqual(protocols.count(True), 6)
