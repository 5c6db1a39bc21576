# SPDX-License-Identifier: Apache-2.0
"""The directory on the wire: accounts, their networks and domains, users, who owns which address."""
import os
import smtplib

from tests.lib.case import PASSWORD, USER, RelayCase
from tests.lib.certificates import certificate

CLINIC = {"licences": 3, "plan": "premium", "domains": ["clinic.example"],
          "networks": [{"range": "127.0.1.0/24", "description": "Exchange"},
                       {"range": "127.0.2.0/24", "enabled": False}]}
LAB = {"paid": False, "domains": ["lab.example"], "networks": [{"range": "127.0.1.64/26"}]}


class DirectoryCase(RelayCase):
    def directory_relay(self, listeners, directory, pipeline=("registrar",), **more):
        relay = self.relay(listeners, pipeline=list(pipeline), sections={}, **more)
        relay.programs.modules += ":" + os.path.join(os.path.abspath(self.builddir), "tests", "modules", ".libs")
        relay.sections = {"directory": directory}
        relay.write()
        return relay

    def send(self, relay, listener, sender, source="127.0.0.1", helo=None, login=False):
        """None, or the reply to MAIL that refused it."""
        with smtplib.SMTP("127.0.0.1", relay.port(listener), timeout=20, local_hostname=helo,
                          source_address=(source, 0)) as client:
            if login:
                client.starttls()
                client.login(USER, PASSWORD)
            try:
                client.sendmail(sender, ["to@partner.example"], b"Subject: x\r\nX-From: " + sender.encode()
                                + b" " + source.encode() + b"\r\n\r\nbody\r\n")
            except smtplib.SMTPSenderRefused as refused:
                return refused.smtp_code
        return None

    def said(self, count):
        """(sender, client) -> what the directory says."""
        found = {}
        for mail in self.delivered(count):
            fields = dict(line.split(": ", 1) for line in mail.split(b"\r\n\r\n")[0].decode()
                          .replace("\r\n ", " ").split("\r\n") if line.startswith("X-"))
            found[tuple(fields["X-From"].split(" "))] = dict(
                word.split("=") for word in fields["X-Directory"].split(" "))
        return found


class Attribution(DirectoryCase):
    """A3: whose mail it is, and who may send for being in an account's network."""

    def test_networks(self):
        """S2-27, S2-28, S2-30: by address alone; switched off, the network is nobody's."""
        relay = self.directory_relay(
            {"open": {"tls": "starttls", "auth": "offered"}, "login": {"tls": "starttls", "auth": "required"},
             "clinic": {"tls": "none", "accounts": ["clinic"], "networks": ["127.0.0.1"]}},
            {"accounts": {"clinic": CLINIC, "lab": LAB}, "groups": {"nurses": ["bo@clinic.example"]},
             "users": {"bo@clinic.example": {"aliases": ["b@lab.example"]}}},
            ["auth", "registrar"], tls=certificate(self.directory, "localhost"))
        relay.add_user(USER, PASSWORD)
        relay.start()
        self.assertIsNone(self.send(relay, "open", "bo@clinic.example", "127.0.1.7"))
        self.assertIsNone(self.send(relay, "open", "x@sub.clinic.example", "127.0.1.70"))
        self.assertIsNone(self.send(relay, "clinic", "y@other.example", "127.0.1.8"))
        self.assertIsNone(self.send(relay, "login", USER, "127.0.1.70", login=True))
        self.assertEqual(self.send(relay, "login", "x@clinic.example", "127.0.1.7"), 530)
        for listener, source in (("clinic", "127.0.1.70"), ("clinic", "127.0.2.1"), ("clinic", "127.0.0.2")):
            with self.assertRaises(smtplib.SMTPConnectError, msg=source) as refused:
                self.send(relay, listener, "x@clinic.example", source)
            self.assertEqual(refused.exception.smtp_code, 554)
        found = self.said(4)
        bo = found["bo@clinic.example", "127.0.1.7"]
        self.assertEqual(bo, {"account": "clinic", "by": "network", "licences": "3", "paid": "1",
                              "plan": "premium", "domains": "1", "home": "clinic", "owns": "self",
                              "known": "1", "member": "1"})
        below = found["x@sub.clinic.example", "127.0.1.70"]
        self.assertEqual((below["account"], below["paid"], below["home"]), ("lab", "0", "clinic"))  # S2-11, S2-13
        self.assertEqual(found["y@other.example", "127.0.1.8"]["account"], "clinic")
        self.assertEqual((found[USER, "127.0.1.70"]["account"], found[USER, "127.0.1.70"]["by"]), ("clinic", "user"))

    def test_names_only_where_allowed(self):
        """S2-12: HELO and the return path count only where the configuration says so."""
        open_to_all = {"plain": {"tls": "none", "networks": ["127.0.0.0/8"]}}
        relay = self.directory_relay(open_to_all, {"accounts": {"clinic": CLINIC, "lab": LAB}}).start()
        self.send(relay, "plain", "x@clinic.example", helo="mail.lab.example")
        self.assertEqual(self.said(1)["x@clinic.example", "127.0.0.1"]["by"], "nothing")
        relay.sections["directory"]["attribute_by"] = ["user", "network", "helo", "sender"]
        relay.write()
        relay.ctl("reload")
        self.send(relay, "plain", "y@clinic.example", helo="mail.lab.example")
        self.send(relay, "plain", "z@clinic.example", helo="elsewhere.example")
        found = self.said(3)
        self.assertEqual([(found[f"{name}@clinic.example", "127.0.0.1"]["account"],
                           found[f"{name}@clinic.example", "127.0.0.1"]["by"]) for name in "yz"],
                         [("lab", "helo"), ("clinic", "sender")])
