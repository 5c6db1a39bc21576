# SPDX-License-Identifier: Apache-2.0
"""directory.ldap with a real slapd: who is read, how soon, and what holds while the server is away."""
import json
import os

from tests.lib import proc, slapd
from tests.lib.case import PASSWORD, USER
from tests.lib.certificates import certificate
from tests.lib.postern import File
from tests.lib.unpack import unpack
from tests.system.test_directory import CLINIC, DirectoryCase

WITHOUT_TLS = {"tls": "none", "networks": ["127.0.0.0/8"]}


def group(name, *members):
    lines = [f"dn: cn={name},{slapd.SUFFIX}", "objectClass: groupOfNames", f"cn: {name}"]
    return "\n".join(lines + [f"member: cn={member},{slapd.SUFFIX}" for member in members]) + "\n\n"


class DirectoryServer(DirectoryCase):
    def serve(self, entries, **more):
        try:
            unpack(self.builddir, "ldap-utils")
            server = slapd.Slapd(os.path.join(self.directory, "slapd"), self.builddir, entries, **more)
        except proc.CannotRun as reason:
            self.skipTest(str(reason))
        server.__enter__()
        self.addCleanup(server.__exit__)
        return server

    def served_relay(self, server, directory=None, listeners=None, pipeline=("registrar",), **ldap):
        settings = {"url": server.uri, "starttls": False, "base": slapd.SUFFIX, "interval": "1s", **ldap}
        more = {"tls": certificate(self.directory, "localhost")} if listeners else {}
        return self.directory_relay(listeners or {"plain": WITHOUT_TLS},
                                    {"accounts": {"clinic": CLINIC}, **(directory or {}), "ldap": settings},
                                    pipeline, **more)

    def users(self, relay):
        return {row["user"]: row for row in json.loads(relay.ctl("--json", "user", "list").stdout)}

    def test_read_and_followed(self):
        """A1, A7: users, aliases, groups, profiles by pages; changes hold soon, in every process."""
        many = "".join(slapd.person(f"p{n}", mail=[f"p{n}@clinic.example"]) for n in range(7))
        server = self.serve(many + slapd.person("Bo", mail=["BO@clinic.example", "b@lab.example"], title=["Dr"]) +
                            group("nurses", "Bo", "p1"))
        relay = self.served_relay(server, {"groups": {"nurses": []}}, page_size=2,
                                  groups={"filter": "(objectClass=groupOfNames)"}).start()
        self.send(relay, "plain", "bo@clinic.example")
        bo = self.said(1)["bo@clinic.example", "127.0.0.1"]
        self.assertEqual((bo["known"], bo["member"], bo["owns"]), ("1", "1", "self"))
        shown = self.users(relay)
        self.assertEqual((len(shown), shown["bo@clinic.example"]["from"]), (8, "directory server"))
        self.assertEqual(json.loads(relay.ctl("--json", "user", "show", "bo@clinic.example").stdout)[0]["title"], "Dr")
        server.modify("dn: cn=Cy,%s\nchangetype: add\nobjectClass: inetOrgPerson\nsn: c\nmail: cy@clinic.example\n\n"
                      "dn: cn=Bo,%s\nchangetype: delete\n" % (slapd.SUFFIX, slapd.SUFFIX))
        proc.wait_until(lambda: {"cy@clinic.example"} == set(self.users(relay)) - set(shown), 60, "Cy is known")
        self.assertNotIn("bo@clinic.example", self.users(relay))
        self.assertEqual(relay.status()["directory_server_users"], 8)

    def test_away_and_emptied(self):
        """What was read last holds while the server is away, over a restart, and where most users vanish."""
        server = self.serve("".join(slapd.person(name, mail=[f"{name}@clinic.example"]) for name in ("a", "b", "c")))
        relay = self.served_relay(server).start()
        server.stop()
        proc.wait_until(lambda: "event=directory-not-read" in relay.log(), 60, "the log says so")
        self.assertIn("directory_server_failure", relay.status())
        relay.stop()
        relay.start()
        self.send(relay, "plain", "a@clinic.example")
        self.assertEqual(self.said(1)["a@clinic.example", "127.0.0.1"]["known"], "1")
        server.start()
        proc.wait_until(lambda: "directory_server_failure" not in relay.status(), 60, "the server is read again")
        server.modify("".join(f"dn: cn={name},{slapd.SUFFIX}\nchangetype: delete\n\n" for name in "ab"))
        proc.wait_until(lambda: "of 3 users only 1 are left" in relay.log(), 60, "the loss is refused")
        self.assertEqual(len(self.users(relay)), 3)
        tried = json.loads(relay.ctl("--json", "directory", "refresh", "--force", "--dry-run").stdout)[0]
        self.assertEqual((tried["users"], tried["kept"], len(self.users(relay))), (1, False, 3))
        self.assertEqual(relay.ctl("directory", "refresh", check=False).returncode, 1)
        relay.ctl("directory", "refresh", "--force")
        self.assertEqual(set(self.users(relay)), {"c@clinic.example"})
        proc.wait_until(lambda: "directory_server_failure" not in relay.status(), 60, "all is well again")

    def test_nothing_to_go_by(self):
        """A first start without the server is refused; so are settings that were never read by."""
        server = self.serve(slapd.person("a", mail=["a@clinic.example"]))
        relay = self.served_relay(server).start()
        relay.sections["directory"]["ldap"]["filter"] = "(nonsense"
        relay.write()
        refused = relay.ctl("reload", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("nothing was read by these settings before", refused.stderr)
        self.assertEqual(self.send(relay, "plain", "a@clinic.example"), None)
        del relay.sections["directory"]["ldap"]
        relay.write()
        relay.ctl("reload")
        self.assertEqual(self.users(relay), {})
        relay.sections["directory"]["ldap"] = {"url": server.uri, "starttls": False, "base": slapd.SUFFIX}
        relay.write()
        relay.ctl("reload")
        self.assertIn("a@clinic.example", self.users(relay))

    def test_other_settings(self):
        """A filter that leaves most behind is meant so; what is read by it before the reload is not in force."""
        server = self.serve("".join(slapd.person(name, mail=[f"{name}@clinic.example"]) for name in ("a", "b", "c")))
        relay = self.served_relay(server, interval="1h").start()
        relay.sections["directory"]["ldap"]["filter"] = "(cn=c)"
        relay.write()
        relay.ctl("directory", "refresh")
        proc.wait_until(lambda: "the directory stays as it was" in relay.log(), 60, "the relay holds what it had")
        proc.wait_until(lambda: "event=directory-read" in relay.log(), 60, "and reads by its own settings")
        self.send(relay, "plain", "a@clinic.example")
        self.assertEqual(self.said(1)["a@clinic.example", "127.0.0.1"]["known"], "1")
        relay.ctl("reload")
        self.assertIn("of what was read by others", relay.log())
        self.assertEqual(set(self.users(relay)), {"c@clinic.example"})

    def test_licences(self):
        """S0-19: each user once, whoever names him; the server's users beyond the licences are nobody's."""
        names = [f"u{number}" for number in range(3)]
        server = self.serve("".join(slapd.person(name, mail=[f"{name}@clinic.example"]) for name in names))
        relay = self.served_relay(server, {"users": {"u0@clinic.example": {}, "y@clinic.example": {}}}).start()
        count = json.loads(relay.ctl("--json", "account", "show", "clinic").stdout)[0]["users"]
        self.assertEqual(count, 3)  # of 4: u0, y and one of the server's
        self.assertIn("all licences of the account", relay.log())
        off = [user for user, row in self.users(relay).items() if not row["enabled"]]
        self.assertEqual(off, ["u2@clinic.example"])
        refused = relay.ctl("user", "add", "z@clinic.example", check=False)
        self.assertIn("all licences of the account clinic are taken (3)", refused.stderr)

    def test_passwords_and_sheets(self):
        """Whoever names a user: a password in the database, its app passwords, a setup sheet; until he is gone."""
        server = self.serve(slapd.person("Ada", mail=["Ada@clinic.example"]))
        relay = self.served_relay(server, {"users": {"yan@clinic.example": {}}}, pipeline=["auth"], listeners={
            "submission": {"tls": "starttls", "auth": "required"}})
        relay.sections["auth"] = {"recheck": "0s"}
        relay.write()
        relay.start()
        for user in (USER, "yan@clinic.example"):
            relay.ctl("user", "passwd", "--scram", user, stdin=PASSWORD + "\n")
            self.assertIn("password", relay.ctl("user", "app-password", "add", user, "phone").stdout)
            self.assertIn("== Postfix", relay.ctl("setup-sheet", user).stdout)
        self.assertIn("there is no user", relay.ctl("setup-sheet", "nobody@clinic.example", check=False).stderr)
        self.assertIn("no account's domain", relay.ctl("setup-sheet", "lab.example", check=False).stderr)
        relay.ctl("setup-sheet", "clinic.example")
        self.assertIsNone(self.send(relay, "submission", USER, login=True))
        relay.ctl("user", "disable", USER)
        proc.wait_until(lambda: self.send(relay, "submission", USER, login=True) == 535, 60,
                        "who is disabled cannot log in")
        relay.ctl("user", "enable", USER)
        relay.ctl("user", "set", USER, "title", "Countess")
        relay.ctl("user", "remove", "yan@clinic.example")  # the password and all that hung on it
        self.assertIn("is removed there", relay.ctl("user", "remove", "yan@clinic.example", check=False).stderr)
        server.modify(f"dn: cn=Ada,{slapd.SUFFIX}\nchangetype: delete\n")
        relay.ctl("directory", "refresh", "--force")
        self.assertEqual(self.users(relay)[USER]["from"], "nobody (kept)")
        self.assertIn("there is no user", relay.ctl("user", "passwd", USER, stdin="x\n", check=False).stderr)
        relay.ctl("user", "add", USER)  # somebody else
        self.assertNotIn("Countess", relay.ctl("user", "show", USER).stdout)
        proc.wait_until(lambda: self.send(relay, "submission", USER, login=True) == 535, 60, "the password is gone")

    def test_an_alias_is_one_users(self):
        """What is somebody's own address is nobody's alias, whoever says so."""
        server = self.serve(slapd.person("Bo", mail=["bo@clinic.example", "ada@clinic.example", "b@clinic.example"]))
        relay = self.served_relay(server, {"users": {USER: {"aliases": ["b@clinic.example"]}}}).start()
        self.assertIn("not an alias of", relay.log())
        rows = json.loads(relay.ctl("--json", "address", "list").stdout)
        self.assertEqual([(row["address"], row["who"]) for row in rows], [("b@clinic.example", USER)])
        for words in (["user", "add", "B@clinic.example"], ["address", "alias", "BO@clinic.example", USER],
                      ["address", "alias", USER.upper(), USER]):
            refused = relay.ctl(*words, check=False)
            self.assertEqual(refused.returncode, 1, words)
            self.assertRegex(refused.stderr, "is an alias of|is an address of")

    def test_over_tls_and_logged_in(self):
        cert = certificate(self.directory, "127.0.0.1")
        server = self.serve(slapd.person("a", mail=["a@clinic.example"]), certificate=cert,
                            security="security ssf=128\nlocalSSF 256")
        secret = os.path.join(self.directory, "password")
        with open(secret, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(slapd.PASSWORD + "\n")
        for more in ({"starttls": True}, {"url": server.tls_uri}):
            relay = self.served_relay(server, ca_file=cert[0], bind_dn=slapd.ADMIN, bind_password=File(secret), **more)
            relay.ctl("directory", "refresh")
            self.assertEqual(set(self.users(relay)), {"a@clinic.example"})
