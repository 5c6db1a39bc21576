# SPDX-License-Identifier: Apache-2.0
"""Module user-relays on the wire: the checklist's lines S3-01 to S3-12. The domain's gateway is one next hop; the server
of partnerdomain.com, which wants TLS and a name, is another."""
import base64
import json
import os
import pathlib
import secrets
import smtplib
import sqlite3
import ssl
import time

from tests.lib import logs, proc
from tests.lib.case import PASSWORD, RelayCase
from tests.lib.certificates import certificate
from tests.lib.nexthop import NextHop
from tests.lib.postern import File

ADA, BO = "ada@yourdomain.com", "bo@yourdomain.com"
OUTSIDE, CONFIRMED = "user.name@partnerdomain.com", "ada@elsewhere.example"
NAME, SECRET = "login-at-partner", "a very secret sentence"
DIRECTORY = {"accounts": {"us": {"domains": ["yourdomain.com"]}},
             "users": {ADA: {"aliases": [OUTSIDE, "ada.l@yourdomain.com"]}, BO: {}},
             "delegations": {"boss@elsewhere.example": {"users": [ADA]}}}


class UserRelays(RelayCase):
    def begin(self, gateway, section=None, login=(NAME, SECRET), answers=None, own=None, users=(ADA, BO)):
        """A relay, the gateway as its route; the user's server as self.hop."""
        self.tls = certificate(os.path.join(self.directory, "tls"), "localhost")
        self.keys = os.path.join(self.directory, "keys")
        self.write_keys("2026-11")
        self.hop = self.enterContext(NextHop(tls=self.tls, login=login, answers=answers))
        own = {"seal_with": File(self.keys), "ports": [str(self.hop.port)], "refused_networks": [],
               "ca_file": self.tls[0], **(own or {})}
        self.server = self.relay(
            {"plain": {"tls": "none", "auth": "offered", "auth_without_tls": True}}, [gateway.route],
            pipeline=["auth", "sender-restrictions", "user-relays"],
            relay={"loops": 2, "user_relays": own, "queue": {"retry_first": "200ms", "retry_most": "200ms"}},
            sections={"directory": DIRECTORY, "user-relays": section if section is not None else {"allow": True},
                      "sender-restrictions": {"from_header": "add-sender"},
                      "destinations": [{"host": ["localhost"], "prefer": "ipv4-only",
                                    "back_off": {"first": "100ms", "most": "100ms"}}]})
        for user in users:
            self.server.add_user(user, PASSWORD)
        return self.server

    def write_keys(self, *names):
        old = dict(line.split() for line in open(self.keys)) if os.path.exists(self.keys) else {}
        with open(self.keys, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.writelines(f"{name} {old.get(name) or secrets.token_hex(32)}\n" for name in names)

    def add(self, address=OUTSIDE, user=ADA, secret=SECRET, check=True, options=(), host=None):
        return self.server.ctl("user-relay", "add", *options, user, address, host or f"localhost:{self.hop.port}", NAME,
                               stdin=secret + "\n", check=check)

    def confirm(self, user, address):
        """What the mailed code does."""
        with sqlite3.connect(os.path.join(self.server.state, "postern.db"), timeout=20) as db:
            db.execute("INSERT INTO directory_confirmed (address, member, confirmed) VALUES (?, ?, '1')",
                       (address, user))
            db.execute("UPDATE directory_version SET number = number + 1")
        db.close()
        self.server.ctl("user-relay", "list")  # has the relay look

    def rows(self):
        with sqlite3.connect(f"file:{self.server.state}/postern.db?mode=ro", uri=True) as db:
            found = db.execute("SELECT * FROM user_relays").fetchall()
        db.close()
        return found

    def send(self, own, sender=ADA, user=ADA, to="to@somewhere.example", more="", **hello):
        client = smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60, **hello)
        with client:
            if user:
                client.login(user, PASSWORD)
            client.sendmail(sender, [to], f"From: {own}\r\n{more}Subject: x\r\n\r\nbody\r\n")

    def told(self, event, address=None):
        lines = (logs.logfmt(line) for line in self.server.log().splitlines() if f"event={event}" in line)
        return [line for line in lines if address in (None, line.get("to"))]

    def ends(self, address, *events):
        return proc.wait_until(lambda: [line for event in events for line in self.told(event, address)] or None, 60,
                               f"{address}: {events}")

    def taken(self, change, *arguments):
        """What is changed is in force when the relay says so; nothing else is changed meanwhile."""
        before = len(self.told("settings-taken"))
        change(*arguments)
        proc.wait_until(lambda: len(self.told("settings-taken")) > before, 60, "settings-taken")

    def settings(self, value):
        self.taken(self.server.ctl, "settings", "set", "user-relays", "allow", value, "--user", ADA)

    def test_ways(self):
        """S3-01 to S3-07, S3-10, S3-12: which way mail goes, and how it looks there."""
        with NextHop() as gateway:
            relay = self.begin(gateway).start()
            self.send(f"Ada <{OUTSIDE}>", to="s3-03@x.example")
            gateway.wait(1)
            self.assertEqual(self.hop.messages, [], "S3-03: without a server of the user's own, as any mail")
            began = time.monotonic()
            self.taken(self.add)
            self.assertLess(time.monotonic() - began, 60, "S3-12: within a minute, without a reload")
            self.assertEqual(self.told("reloaded"), [])
            self.send(f"Ada <{OUTSIDE}>", to="s3-04@x.example")
            self.send(f"=?utf-8?q?Ad=C3=A4?= <{OUTSIDE.upper()}>", sender=OUTSIDE, to="s3-04b@x.example",
                      local_hostname="another.client.example")
            self.send(f"Ada <{ADA}>", to="own@x.example")
            self.send("Ada <ada.l@yourdomain.com>", to="alias@x.example")
            self.send(f"{OUTSIDE}, {ADA}", to="two@x.example")
            self.send(f"Ada <{OUTSIDE}>", sender="", to="null@x.example")
            # Bo may not write as that; add-sender says whose it is, and Bo has no such server.
            self.send(f"Ada <{OUTSIDE}>", sender=BO, user=BO, to="bo@x.example")
            mine, others = self.hop.wait(3), gateway.wait(5)
            to = [message[1][0].split("@")[0][1:] for message in mine]
            self.assertEqual(sorted(to), ["null", "s3-04", "s3-04b"], "S3-04: whatever client; other mail does not")
            to = [message[1][0].split("@")[0][1:] for message in others]
            self.assertEqual(sorted(to), ["alias", "bo", "own", "s3-03", "two"], "S3-05: not by the gateway")
            for sender, recipients, data in mine:
                head = data.split(b"\r\n\r\n")[0]
                self.assertNotIn(b"\r\nSender:", head, "S3-06")
                self.assertIn(sender.split(">")[0].lower(), ("<" + OUTSIDE, "<"), "the return path is that address")
                self.assertEqual(sender.startswith("<>"), recipients == ["<null@x.example>"])
            self.assertIn(b"\r\nSender:", [data for _, to, data in others if to == ["<bo@x.example>"]][0])
            auth = [line for secure, line in self.hop.lines if line.startswith(b"AUTH") and secure]
            self.assertTrue(auth, "S3-07: it is authenticated there, in TLS")
            self.assertFalse([line for secure, line in self.hop.lines if not secure and line.startswith(b"AUTH")])
            line = self.ends("s3-04@x.example", "delivered")[0]
            self.assertEqual((line["route"], line["verified"]),
                             (f"user-relay:localhost:{self.hop.port}/{OUTSIDE}", "yes"))
            self.assert_told_nowhere(relay)
            self.explained(relay)
            relay.stop()

    def explained(self, relay):
        """What is stored counts in a trial as well."""
        path = pathlib.Path(self.directory, "explained.eml")
        path.write_text(f"From: Ada <{OUTSIDE}>\r\nSubject: x\r\n\r\nbody\r\n")
        said = relay.ctl("--json", "explain", "--user", ADA, "--from", ADA, "--to", "to@x.example", str(path)).stdout
        self.assertIn(f"leaves by localhost:{self.hop.port}, which {ADA} has for {OUTSIDE}", said)

    def assert_told_nowhere(self, relay):
        """S3-10: sealed where it lies, and in no log, no list and no audit row."""
        for path in [*pathlib.Path(relay.state).rglob("*"), pathlib.Path(relay.log_path)]:
            if path.is_file():
                self.assertNotIn(SECRET.encode(), path.read_bytes(), path)
                self.assertNotIn(NAME.encode(), path.read_bytes(), path)
        said = relay.ctl("user-relay", "list").stdout + relay.ctl("audit", "list").stdout
        self.assertNotIn(SECRET, said)
        self.assertIn(f"localhost:{self.hop.port} starttls", said)
        self.assertIn(OUTSIDE, said)

    def test_not_allowed(self):
        """S3-08, S3-09: by default nobody has one, and nothing can be stored; switched off, what is there is not
        used. S3-02: it takes an address of the user's, from elsewhere."""
        with NextHop() as gateway:
            relay = self.begin(gateway, section={}).start()
            done = self.add(check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("may not have a server of his own", done.stderr)
            self.assertEqual(self.rows(), [], "S3-09: nothing was stored")
            self.settings("yes")
            for address, why in (("x@elsewhere.example", "has to confirm it first"), ("ada.l@yourdomain.com", "is here"),
                                 ("boss@elsewhere.example", "somebody else's"), (ADA, "is here")):
                self.assertIn(why, self.add(address, check=False).stderr)
            self.assertIn("may not have", self.add(user=BO, check=False).stderr, "the option has scopes")
            self.assertIn("there is no user", self.add(user="nobody@yourdomain.com", check=False).stderr)
            self.taken(self.confirm, ADA, CONFIRMED)
            self.assertEqual(self.rows(), [])
            self.taken(self.add, CONFIRMED)
            self.settings("no")
            self.send(f"Ada <{CONFIRMED}>", to="off@x.example")
            gateway.wait(1)
            self.settings("yes")
            self.send(f"Ada <{CONFIRMED}>", to="on@x.example")
            self.assertEqual(self.hop.wait(1)[0][1], ["<on@x.example>"])
            self.assertEqual(len(gateway.messages), 1)
            relay.ctl("user", "remove", ADA)
            self.assertEqual(self.rows(), [], "it goes with its user")
            relay.stop()

    def test_contradiction(self):
        """S3-11, with the place where it stands; in scopes and from the database, too."""
        with NextHop() as gateway:
            relay = self.begin(gateway, section={"force_gateway": True, "users": {ADA: {"allow": True}}}, users=())
            done = relay.ctl("check", check=False)
            self.assertNotEqual(done.returncode, 0)
            text = pathlib.Path(relay.conf, "test.yaml").read_text().splitlines()
            line = max(number for number, each in enumerate(text, 1) if "allow:" in each)
            column = text[line - 1].index("allow")
            self.assertRegex(done.stderr, rf"test\.yaml:{line}:\d+: .*allow.*contradicts force_gateway")
            self.assertGreater(int(done.stderr.split(f"test.yaml:{line}:")[1].split(":")[0]), column)
            relay.sections["user-relays"] = {"force_gateway": True}
            relay.write()
            done = relay.ctl("settings", "set", "user-relays", "allow", "yes", "--user", ADA, check=False)
            self.assertIn("contradicts force_gateway", done.stderr)

    def test_credentials(self):
        """S3-10: wrong ones, test, another key, a server that is removed; over a restart."""
        with NextHop() as gateway:
            relay = self.begin(gateway).start()
            self.add(secret="wrong" + SECRET)
            done = relay.ctl("user-relay", "test", ADA, OUTSIDE, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("AUTH: 535 5.7.8 who are you", done.stderr)
            self.add()
            self.assertIn("logged in", relay.ctl("user-relay", "test", ADA, OUTSIDE).stdout)
            sealed = self.rows()
            self.write_keys("2026-12", "2026-11")
            said = json.loads(relay.ctl("--json", "user-relay", "reseal").stdout)
            self.assertEqual(said[0]["resealed"], "1")
            self.assertNotEqual(self.rows(), sealed)
            self.write_keys("2026-12")
            self.assertIn("logged in", relay.ctl("user-relay", "test", ADA, OUTSIDE).stdout)
            self.write_keys("2027-01")
            self.assertIn("cannot be opened", relay.ctl("user-relay", "test", ADA, OUTSIDE, check=False).stderr)
            relay.stop()

    def test_turned_away(self):
        """What the server wants nothing of goes back after three attempts, with its words but not with the password
        that it repeats; it never leaves by the gateway."""
        with NextHop() as gateway:
            line = "AUTH PLAIN " + base64.b64encode(f"\0{NAME}\0{SECRET}".encode()).decode()
            relay = self.begin(gateway, answers={line: [f"535 5.7.8 no such command: {line}"] * 9}).start()
            self.taken(self.add)
            self.send(f"Ada <{OUTSIDE}>", to="refused@x.example")
            self.assertRegex(self.ends("refused@x.example", "bounced")[0]["reply"],
                             r"^554 5\.7\.8 localhost.*AUTH: 535$")
            self.assertEqual(len(self.told("deferred", "refused@x.example")), 2)
            sender, recipients, data = gateway.wait(1)[0]
            self.assertTrue(sender.startswith("<>"), sender)
            self.assertEqual(recipients, [f"<{OUTSIDE}>"])
            self.assertIn(b"AUTH: 535", data)
            self.assertNotIn(line.split()[2].encode(), data.replace(b"\r\n", b"") + relay.log().encode())
            self.assertEqual(self.hop.messages, [])
            self.assert_told_nowhere(relay)
            relay.stop()

    def test_removed_while_it_waits(self):
        """The choice is in the spool; without the server behind it the message goes back, over a restart, too."""
        with NextHop() as gateway:
            relay = self.begin(gateway, answers={"RCPT TO:<gone@x.example>": ["451 4.3.0 later"] * 500}).start()
            self.taken(self.add)
            self.send(f"Ada <{OUTSIDE}>", to="gone@x.example")
            self.ends("gone@x.example", "deferred")
            shown = relay.ctl("queue", "list").stdout
            self.assertIn("user-relay:localhost", shown + relay.ctl("--json", "queue", "list").stdout)
            relay.stop()
            relay.ctl("user-relay", "remove", ADA, OUTSIDE)
            relay.start()
            line = self.ends("gone@x.example", "bounced")[0]
            self.assertIn("is not there any more", line["reply"])
            self.assertTrue(gateway.wait(1)[0][0].startswith("<>"), "the report alone")
            relay.stop()

    def test_inside(self):
        """Users do not get at what is on this machine and its networks, by name or by address."""
        with NextHop() as gateway:
            relay = self.begin(gateway, own={"refused_networks": ["private"]}).start()
            for host, why in ((f"127.0.0.1:{self.hop.port}", "is in 127.0.0.0/8"),
                              (f"[::ffff:127.0.0.1]:{self.hop.port}", "is in 127.0.0.0/8"),
                              ("localhost:22", "port 22 is not one of those"), ("localhost:x", "is not a host"),
                              ("unix:/run/x", "is not a host"), (f"not a host:{self.hop.port}", "not the name")):
                self.assertIn(why, self.add(host=host, check=False).stderr)
            self.assertIn("--unverified is not allowed", self.add(options=["--unverified"], check=False).stderr)
            self.taken(self.add)
            self.assertIn("not for users' servers",
                          relay.ctl("user-relay", "test", ADA, OUTSIDE, check=False).stderr)
            self.send(f"Ada <{OUTSIDE}>", to="inside@x.example")
            line = self.ends("inside@x.example", "bounced")[0]
            self.assertIn("not for users' servers", line["reply"])
            self.assertEqual(self.hop.connections, 0)
            relay.stop()

    def test_certificate(self):
        """It has to be valid for the name, unless an administrator and the user both say otherwise."""
        other = certificate(os.path.join(self.directory, "other"), "other.example")
        with NextHop() as gateway:
            relay = self.begin(gateway, section={"allow": True, "unverified": True})
            self.hop.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.hop.tls.load_cert_chain(*other)
            self.add()
            self.assertIn("TLS", relay.ctl("user-relay", "test", ADA, OUTSIDE, check=False).stderr)
            self.add(options=["--unverified"])
            self.assertIn("logged in", relay.ctl("user-relay", "test", ADA, OUTSIDE).stdout)
