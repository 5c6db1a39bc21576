# SPDX-License-Identifier: Apache-2.0
"""`to: lmtp` (RFC 2033): a real Dovecot, and a mail store that loses the connection between replies."""
import os
import re

from tests.lib import proc
from tests.lib.dovecot import Dovecot
from tests.system.test_delivery import DeliveryCase

USERS = {"bo@store.example": "", "cy@store.example": "", "full@store.example": "1K"}


class RealDovecot(DeliveryCase):
    def deliver(self, host):
        self.start({"to": "lmtp", "host": host, "tls": "none"})
        self.send("bo@store.example", "full@store.example", "nobody@store.example", "cy@store.example",
                  subject="x" * 2000)
        self.wait_empty()
        for user in ("bo@store.example", "cy@store.example"):
            (mail,) = self.store.messages(user)
            self.assertIn(b"\nthe secret body\n", mail)
            self.assertIn(b" with LMTP\n", mail)
        self.assertEqual(self.store.messages("full@store.example"), [])
        report = b"".join(self.delivered(1))
        for address, status in (("full", b"5.2.2"), ("nobody", b"5.1.1")):
            self.assertRegex(report, re.compile(rb"Final-Recipient: rfc822; *%s@store.example\r?\n.*?Status: %s" %
                                                (address.encode(), re.escape(status)), re.S))
        self.assertNotIn(b"Final-Recipient: rfc822; bo@", report)

    def setUp(self):
        super().setUp()
        try:
            self.store = Dovecot(os.path.join(self.directory, "dovecot"), self.builddir, USERS).start()
        except proc.CannotRun as reason:
            self.skipTest(str(reason))
        self.addCleanup(self.store.stop)

    def test_socket(self):
        self.deliver(f"unix:{self.store.socket}")
        self.logged("event=delivered")
        self.assertIn(f"route=lmtp:unix:{self.store.socket}", self.server.log())

    def test_port(self):
        self.deliver(f"127.0.0.1:{self.store.port}")


class ScriptedStore(DeliveryCase):
    def test_connection_lost_between_the_replies(self):
        """Who has an answer is done; only the others are tried again."""
        hop = self.hop(lmtp=True, answers={". <c@p.example>": ["close"], ". <b@p.example>": ["552 5.2.2 full"]})
        self.start({"to": "lmtp", "host": f"127.0.0.1:{hop.port}", "tls": "none"})
        self.send("a@p.example", "b@p.example", "c@p.example", "d@p.example")
        hop.wait(3)
        self.wait_empty()
        self.assertEqual(sorted(each for _, (each,), _ in hop.messages),
                         ["<a@p.example>", "<c@p.example>", "<d@p.example>"])
        (report,) = self.delivered(1)
        self.assertIn(b"552 5.2.2 full", report)
