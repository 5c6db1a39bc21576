# SPDX-License-Identifier: Apache-2.0
"""Settings per account, domain, group and user, on the wire (S0-04)."""
import itertools
import os
import smtplib

from tests.lib.case import RelayCase

OPEN = {"tls": "none", "auth": "off", "networks": ["127.0.0.0/8"]}
DIRECTORY = {"accounts": {"clinic": {"domains": ["clinic.example", "lab.example"]},
                          "office": {"domains": ["office.example"]}},
             "groups": {"doctors": ["ada@clinic.example", "eve@office.example"],
                        "nurses": ["ada@clinic.example"]},
             "group_order": ["nurses", "doctors"]}


class ScopesCase(RelayCase):
    def scoped_relay(self, sections, pipeline=("stamper",), directory=None, **more):
        """With the modules that only tests have."""
        relay = self.relay({"plain": OPEN}, pipeline=list(pipeline), sections={}, **more)
        relay.programs.modules += ":" + os.path.join(os.path.abspath(self.builddir), "tests", "modules", ".libs")
        relay.sections = dict(sections, directory=directory or DIRECTORY)
        relay.write()
        return relay

    def send(self, relay, sender):
        with smtplib.SMTP("127.0.0.1", relay.port("plain"), timeout=20) as client:
            client.sendmail(sender, ["to@partner.example"], b"Subject: scoped\r\nX-From: " + sender.encode()
                            + b"\r\n\r\nbody\r\n")

    def stamps(self, count):
        """What each sender's message got: sender -> {field: value}."""
        found = {}
        for mail in self.delivered(count):
            fields = dict(line.split(": ", 1) for line in mail.split(b"\r\n\r\n")[0].decode().split("\r\n")
                          if line.startswith("X-"))
            found[fields.pop("X-From")] = fields
        return found


class Matrix(ScopesCase):
    """S0-04: every stage separately on or off, per account, domain, group and user."""

    def test_on_and_off(self):
        kinds = ("default", "account", "domain", "group", "user")
        sections, pipeline = {}, []
        # One entry for each way in which the scopes can switch it: "yn-y-" and so on.
        for at, states in enumerate(itertools.product("yn", "-yn", "-yn", "-yn", "-yn")):
            name = f"entry{at}"
            section = {"name": f"X-{at}", "value": "on", "enabled": states[0] == "y"}
            for kind, state, owner in zip(kinds[1:], states[1:],
                                          ("clinic", "clinic.example", "doctors", "ada@clinic.example")):
                if state != "-":
                    section[kind + "s"] = {owner: {"enabled": state == "y"}}
            sections[name] = section
            pipeline.append({"stamper": {"id": name}})
        relay = self.scoped_relay(sections, pipeline, relay={"limits": {"header_count": 2000}}).start()
        applies = {"ada@clinic.example": 5, "bo@clinic.example": 3, "x@lab.example": 2, "x@other.example": 1}
        for sender in applies:
            self.send(relay, sender)
        found = self.stamps(len(applies))
        for at, states in enumerate(itertools.product("yn", "-yn", "-yn", "-yn", "-yn")):
            for sender, depth in applies.items():
                wanted = [state for state in states[:depth] if state != "-"][-1] == "y"
                self.assertEqual(f"X-{at}" in found[sender], wanted, (states, sender))

    def test_values(self):
        """The strongest scope that says something wins; the trace names who was asked."""
        relay = self.scoped_relay({"stamper": {
            "value": "default",
            "accounts": {"clinic": {"value": "account"}},
            "domains": {"clinic.example": {"value": "domain"}},
            "groups": {"doctors": {"value": "doctors"}, "nurses": {"value": "nurses"}},
            "users": {"bo@clinic.example": {"value": "user"}}}}).start()
        wanted = {"ada@clinic.example": "nurses", "bo@clinic.example": "user", "x@clinic.example": "domain",
                  "x@lab.example": "account", "eve@office.example": "doctors", "x@office.example": "default"}
        for sender in wanted:
            self.send(relay, sender)
        found = self.stamps(len(wanted))
        self.assertEqual({sender: fields["X-Stamp"] for sender, fields in found.items()}, wanted)
        self.assertIn("stamper pass stamp 1 [user bo@clinic.example, domain clinic.example, account clinic]",
                      relay.log())

    def test_conditions(self):
        """`when` of entries and routes knows groups and accounts."""
        elsewhere = str(self.mail) + "-doctors"
        relay = self.scoped_relay(
            {"stamper": {"value": "here"}}, [{"stamper": {"when": {"account": ["clinic"]}}}],
            routes=[{"when": {"group": ["doctors"]}, "to": "maildir", "path": elsewhere},
                    {"to": "maildir", "path": str(self.mail)}]).start()
        self.send(relay, "eve@office.example")
        self.send(relay, "bo@clinic.example")
        self.send(relay, "x@office.example")
        self.assertEqual(self.stamps(2), {"bo@clinic.example": {"X-Stamp": "here"}, "x@office.example": {}})
        self.assertEqual(len(os.listdir(os.path.join(elsewhere, "new"))), 1)


class Mistakes(ScopesCase):
    def test_what_cannot_be_overridden(self):
        """The place of every mistake, to the column, and what would be right."""
        relay = self.scoped_relay({})
        path = os.path.join(relay.conf, "scopes.yaml")
        with open(path, "w") as file:
            file.write("stamper:\n"
                       "  value: all\n"
                       "  groups:\n"
                       "    doktors: { value: x }\n"
                       "    nurses: { name: X-Other, valeu: x }\n"
                       "  users:\n"
                       "    ada: { value: x }\n"
                       "    bo@clinic.example:\n"
                       "      value: [x]\n"
                       "      enabled: perhaps\n")
        done = relay.ctl("check", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.splitlines(), [
            f'{path}:4:5: stamper.groups: no group is called "doktors"; define it in directory.groups; '
            'did you mean "doctors"?',
            f"{path}:5:15: stamper.groups.nurses.name: is one for all and cannot be set per group",
            f'{path}:5:30: stamper.groups.nurses: unknown option "valeu"; did you mean "value"?',
            f'{path}:7:5: stamper.users: "ada" is not an address; write for example ada@example.com',
            f"{path}:9:14: stamper.users.bo@clinic.example.value: must be a text, not a list",
            f'{path}:10:16: stamper.users.bo@clinic.example.enabled: "perhaps" is neither yes nor no',
            f"posternctl: {relay.conf}: 6 errors"])

    def test_help_says_what_is_scoped(self):
        relay = self.scoped_relay({})
        said = relay.ctl("help", "stamper").stdout
        self.assertIn("value: text; required; scoped\n", said)
        self.assertIn("name: text; default X-Stamp\n", said)
