# SPDX-License-Identifier: Apache-2.0
"""The directory on the wire: accounts, their networks and domains, users, who owns which address."""
import json
import os
import smtplib

from tests.lib import proc
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
        """None, or the code of the reply that refused it, be it to the greeting or, where what counts
        changes meanwhile, to any command."""
        try:
            client = smtplib.SMTP("127.0.0.1", relay.port(listener), timeout=60, local_hostname=helo,
                                  source_address=(source, 0))
        except smtplib.SMTPConnectError as refused:
            return refused.smtp_code
        try:
            with client:
                if login:
                    client.starttls()
                    client.login(USER, PASSWORD)
                client.sendmail(sender, ["to@partner.example"], b"Subject: x\r\nX-From: " + sender.encode()
                                + b" " + source.encode() + b"\r\n\r\nbody\r\n")
        except smtplib.SMTPResponseException as refused:
            return refused.smtp_code
        except smtplib.SMTPRecipientsRefused as refused:
            return next(iter(refused.recipients.values()))[0]
        except smtplib.SMTPServerDisconnected:
            return 421
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
            self.assertEqual(self.send(relay, listener, "x@clinic.example", source), 554)
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


class Database(DirectoryCase):
    """A1, A7: what posternctl changes holds at once, and is in the audit log."""

    def test_an_account(self):
        """S2-20, S2-30: an account with its network; switched off, mail is refused again."""
        relay = self.directory_relay({"plain": {"tls": "none", "accounts": ["lab"], "networks": ["127.0.0.1"]}},
                                     {"accounts": {"lab": {}}}).start()
        self.assertEqual(self.send(relay, "plain", "x@lab.example", "127.0.3.1"), 554)
        for words in (["account", "set", "lab", "licences", "10"], ["domain", "add", "LAB.example", "lab"],
                      ["network", "add", "127.0.3.0/24", "lab", "the old server"],
                      ["account", "set", "lab", "paid", "no"], ["user", "add", "ada@lab.example"],
                      ["address", "alias", "x@other.example", "ada@lab.example"],
                      ["group", "add", "nurses"], ["group", "join", "nurses", "ada@lab.example"]):
            relay.ctl(*words)
        proc.wait_until(lambda: self.send(relay, "plain", "ada@lab.example", "127.0.3.1") is None, 60,
                        "the network may send")
        proc.wait_until(lambda: any(said["member"] == "1" for said in self.sent(relay)), 60, "the group is known")
        said = [said for said in self.sent(relay) if said["member"] == "1"][0]
        self.assertEqual((said["account"], said["by"], said["licences"], said["paid"], said["known"], said["home"]),
                         ("lab", "network", "10", "0", "1", "lab"))
        relay.ctl("network", "disable", "127.0.3.0/24")
        proc.wait_until(lambda: self.send(relay, "plain", "ada@lab.example", "127.0.3.1") == 554, 60,
                        "the network may send no longer")
        rows = json.loads(relay.ctl("--json", "audit", "list").stdout)
        self.assertIn(("network disable", "network 127.0.3.0/24",
                       "account=lab description=the old server enabled=1",
                       "account=lab description=the old server enabled=0"),
                      [(row["action"], row["scope"], row["before"], row["after"]) for row in rows])
        self.assertEqual(len(rows), 9)

    def sent(self, relay):
        """One more message from there, and what the directory said of all."""
        self.send(relay, "plain", "ada@lab.example", "127.0.3.1")
        new = self.mail / "new"
        found = []
        for path in new.iterdir() if new.is_dir() else ():
            line = [line for line in path.read_bytes().decode().replace("\r\n ", " ").split("\r\n")
                    if line.startswith("X-Directory: ")][0]
            found.append(dict(word.split("=") for word in line.split(" ")[1:]))
        return found

    def test_licences(self):
        """S0-19: user 11 of 10 is refused, in whatever way; one who is switched off has none."""
        users = {f"user{number}@clinic.example": {} for number in range(9)}
        relay = self.directory_relay({"plain": {"tls": "none"}},
                                     {"accounts": {"clinic": dict(CLINIC, licences=10)}, "users": users})
        relay.ctl("user", "add", "tenth@clinic.example")
        refused = relay.ctl("user", "add", "eleventh@sub.clinic.example", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("all licences of the account clinic are taken (10)", refused.stderr)
        relay.ctl("user", "add", "ada@elsewhere.example")
        self.assertEqual(relay.ctl("user", "set", "ada@elsewhere.example", "account", "clinic", check=False).returncode, 1)
        relay.ctl("user", "disable", "tenth@clinic.example")
        relay.ctl("user", "set", "ada@elsewhere.example", "account", "clinic")
        self.assertEqual(relay.ctl("user", "enable", "tenth@clinic.example", check=False).returncode, 1)
        shown = json.loads(relay.ctl("--json", "account", "show", "clinic").stdout)
        self.assertEqual((shown[0]["licences"], shown[0]["users"]), (10, 10))

    def test_refusals(self):
        """S2-31, S2-32, S2-33: what cannot be, and what had better not."""
        relay = self.directory_relay({"plain": {"tls": "none"}}, {"accounts": {"clinic": CLINIC, "lab": LAB}})
        for words, text in (
                (["domain", "add", "clinic.example", "lab"], "is a domain of the account clinic already"),
                (["domain", "add", "no domain", "lab"], '"no domain" is not a domain'),
                (["domain", "add", "x.example", "none"], 'there is no account "none"'),
                (["network", "add", "127.0.2.0/24", "lab"], "is a network of the account clinic already"),
                (["network", "add", "10.0.0.0/15", "lab"], "holds more addresses than directory.largest_network"),
                (["network", "remove", "10.9.9.9"], "the database does not have network 10.9.9.9/32"),
                (["account", "add", "clinic"], "account clinic is there already"),
                (["account", "set", "lab", "licences", "many"], '"many" is not a number of licences'),
                (["group", "join", "nobodies", "a@x.example"], 'there is no group "nobodies"'),
                (["address", "alias", "a@x.example", "b@x.example"], 'there is no user "b@x.example"')):
            refused = relay.ctl(*words, check=False)
            self.assertEqual(refused.returncode, 1, words)
            self.assertIn(text, refused.stderr)
        self.assertIn("holds 65536 addresses", relay.ctl("network", "add", "10.0.0.0/16", "lab").stderr)
        relay.ctl("network", "add", "1050:0000:0000:0000:0005:0600:300c:326b", "lab")
        again = relay.ctl("network", "add", "1050::5:600:300c:326b", "clinic", check=False)
        self.assertIn("1050::5:600:300c:326b/128 is a network of the account lab already", again.stderr)
        self.assertEqual([row["action"] for row in json.loads(relay.ctl("--json", "audit", "list").stdout)],
                         ["network add"] * 2)
