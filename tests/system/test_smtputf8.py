# SPDX-License-Identifier: Apache-2.0
"""RFC 6531 on the way out: what a message needs is seen in it, not in what its client said."""
import smtplib

from tests.system.test_delivery import DeliveryCase

HEAD = "From: ada@clinic.example\r\nSubject: {}\r\nMIME-Version: 1.0\r\n"
PARTS = (HEAD.format("x") + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
         "Content-Type: application/pdf; name=\"{}.pdf\"\r\n\r\nGrüße\r\n--b--\r\n")
NEED = {"subject": HEAD.format("Grüße") + "\r\nx\r\n", "part": PARTS.format("größe"),
        "inner": HEAD.format("x") + "Content-Type: message/rfc822\r\n\r\n" + HEAD.format("Grüße") + "\r\nx\r\n"}
NEED_NOT = {"ascii": HEAD.format("x") + "\r\nx\r\n", "body": HEAD.format("x") + "\r\nGrüße\r\n-- \r\nMüller: ä\r\n",
            "parts": PARTS.format("size")}


class Smtputf8(DeliveryCase):
    def submit(self, data, recipient):
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            client.ehlo()
            client.command_encoding = "utf-8"
            client.sendmail("ada@clinic.example", [recipient], data.encode(), ["SMTPUTF8", "BODY=8BITMIME"])

    def mails(self, hop):
        return [line.strip() for _, line in hop.lines if line.startswith(b"MAIL")]

    def test_hop_without_it(self):
        hop = self.hop(offers=("PIPELINING", "8BITMIME"))
        self.start(hop.route)
        for data in NEED_NOT.values():
            self.submit(data, "b@partner.example")
        self.submit(NEED_NOT["ascii"], "b@bücher.example")
        self.assertEqual([to for _, (to,), _ in sorted(hop.wait(4), key=lambda m: m[1])],
                         3 * ["<b@partner.example>"] + ["<b@xn--bcher-kva.example>"])
        for name, data in NEED.items():
            self.submit(data, f"{name}@partner.example")
        self.submit(NEED_NOT["ascii"], "bücher@partner.example")
        reports = self.delivered(4)
        for report in reports:
            self.assertIn(b"Status: 5.6.7", report)
        self.wait_empty()
        self.assertEqual(len(hop.messages), 4)
        self.assertNotIn(b"SMTPUTF8", b"".join(self.mails(hop)))

    def test_hop_with_it(self):
        """Asked for what needs it, and for nothing else."""
        hop = self.hop()
        self.start(hop.route)
        for data in NEED_NOT.values():
            self.submit(data, "b@partner.example")
        hop.wait(3)
        self.assertNotIn(b"SMTPUTF8", b"".join(self.mails(hop)))
        for data in NEED.values():
            self.submit(data, "b@partner.example")
        hop.wait(6)
        self.assertEqual([b"SMTPUTF8" in each for each in self.mails(hop)], 3 * [False] + 3 * [True])
