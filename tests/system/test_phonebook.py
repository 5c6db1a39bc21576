# SPDX-License-Identifier: Apache-2.0
"""A stranger's module that asks a directory server (tests/modules/phonebook.c), with a real slapd."""
import contextlib
import os
import re
import smtplib

from tests.lib import proc, slapd
from tests.lib.case import RelayCase
from tests.lib.certificates import certificate
from tests.lib.postern import File

PEOPLE = (slapd.person("Ada", mail=["ada@clinic.example"], description=["ada@ward.example"]) +
          slapd.person("Odd", mail=["a*b(c)@clinic.example"]) +
          slapd.person("One", mail=["many@clinic.example"]) +
          slapd.person("Two", mail=["many@clinic.example"]))


class Phonebook(RelayCase):
    def serve(self, **more):
        try:
            server = slapd.Slapd(os.path.join(self.directory, "slapd"), self.builddir, PEOPLE, **more)
        except proc.CannotRun as reason:
            self.skipTest(str(reason))
        server.__enter__()
        self.addCleanup(server.__exit__)
        return server

    def start(self, directory, **more):
        secret = os.path.join(self.directory, "password")
        with open(secret, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(slapd.PASSWORD + "\n")
        if "bind_dn" in directory:
            directory["bind_password"] = File(secret)
        relay = self.relay({"plain": {"tls": "none", "auth": "off"}}, pipeline=["phonebook"],
                           sections={"phonebook": {"directory": {"base": slapd.SUFFIX, **directory}, **more}})
        relay.programs.modules += f":{self.builddir}/tests/modules/.libs"
        return relay.start()

    def ask(self, relay, recipient):
        """The code with which RCPT is answered."""
        with smtplib.SMTP("127.0.0.1", relay.port("plain"), timeout=60) as client:
            client.helo("client.example")
            client.mail("a@clinic.example")
            return client.rcpt(recipient)[0]

    def once(self, directory, recipient="ada@clinic.example"):
        """The same with a relay of its own, and what was logged as a fault."""
        relay = self.start(directory)
        code = self.ask(relay, recipient)
        relay.stop()
        faults = re.findall(r"=fault .*error=\"([^\"]*)\"", relay.log())
        os.unlink(relay.log_path)
        return code, "; ".join(faults)

    def test_recipients(self):
        server = self.serve()
        relay = self.start({"uris": [server.uri], "starttls": False})
        self.assertEqual(self.ask(relay, "ada@clinic.example"), 250)
        self.assertEqual(self.ask(relay, "nobody@clinic.example"), 550)
        # What would find anybody if it were read as a filter.
        self.assertEqual(self.ask(relay, '"*"@clinic.example'), 550)
        self.assertEqual(self.ask(relay, '"*)(cn=*"@clinic.example'), 550)
        self.assertEqual(self.ask(relay, "*@clinic.example"), 550)
        self.assertEqual(self.ask(relay, "many@clinic.example"), 451)
        self.assertIn("Size limit exceeded", relay.log())

    def test_connection_is_kept_and_replaced(self):
        server = self.serve()
        relay = self.start({"uris": [server.uri], "starttls": False})
        for _ in range(3):
            self.assertEqual(self.ask(relay, "ada@clinic.example"), 250)
        self.assertEqual(self.connections(relay, server), 1)
        server.stop()
        self.assertEqual(self.ask(relay, "ada@clinic.example"), 451)
        server.start()
        self.assertEqual(self.ask(relay, "ada@clinic.example"), 250)
        self.assertEqual(self.connections(relay, server), 1)

    @staticmethod
    def connections(relay, server):
        """How many sockets of the relay lead to the server."""
        pid, port = relay.child("relay"), f":{server.ports[0]:04X}"
        inodes = set()
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):     # closed meanwhile
                inodes.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        with open(f"/proc/{pid}/net/tcp") as table:
            rows = [line.split() for line in table.readlines()[1:]]
        return sum(row[2].endswith(port) and f"socket:[{row[9]}]" in inodes for row in rows)

    def test_rewrites(self):
        server = self.serve()
        relay = self.start({"uris": [server.uri], "starttls": False}, attribute="description")
        with smtplib.SMTP("127.0.0.1", relay.port("plain"), timeout=60) as client:
            client.sendmail("a@clinic.example", ["ada@clinic.example"], "Subject: x\r\n\r\nx\r\n")
        self.delivered(1)
        proc.wait_until(lambda: "ada@ward.example" in relay.log(), 20, "the log names the new recipient")

    def test_protected(self):
        cert = certificate(self.directory, "127.0.0.1")
        server = self.serve(certificate=cert, security="security ssf=128\nlocalSSF 256")
        good = {"StartTLS": {"uris": [server.uri], "ca_file": cert[0]},
                "TLS": {"uris": [server.tls_uri], "ca_file": cert[0]},
                "the second of two": {"uris": ["ldap://127.0.0.1:1", server.tls_uri], "ca_file": cert[0]},
                "unix": {"uris": [server.unix_uri]},
                "logged in": {"uris": [server.uri], "ca_file": cert[0], "bind_dn": slapd.ADMIN}}
        for name, settings in good.items():
            with self.subTest(name):
                self.assertEqual(self.once(settings), (250, ""))

    def test_not_protected(self):
        cert, other = certificate(self.directory, "127.0.0.1"), certificate(self.directory, "other.test")
        server = self.serve(certificate=cert, security="security ssf=128\nlocalSSF 256")
        address = server.tls_uri.replace("127.0.0.1", "localhost")
        bad = {"StartTLS with another authority": {"uris": [server.uri], "ca_file": other[0]},
               "TLS with another authority": {"uris": [server.tls_uri], "ca_file": other[0]},
               "another name": {"uris": [address], "ca_file": cert[0]},
               "unknown to the system": {"uris": [server.tls_uri]},
               "clear": {"uris": [server.uri], "starttls": False}}
        for name, settings in bad.items():
            with self.subTest(name):
                code, fault = self.once(settings)
                self.assertEqual(code, 451)
                self.assertTrue(fault)

    def test_server_without_tls(self):
        server = self.serve()
        code, fault = self.once({"uris": [server.uri], "bind_dn": slapd.ADMIN})
        self.assertEqual(code, 451)
        self.assertIn("asking for TLS", fault)

    def test_wrong_password(self):
        server = self.serve()
        code, fault = self.once({"uris": [server.uri], "starttls": False, "bind_dn": f"cn=Ada,{slapd.SUFFIX}"})
        self.assertEqual(code, 451)
        self.assertIn("Invalid credentials", fault)
        self.assertNotIn(slapd.PASSWORD, fault)

    def test_no_such_base(self):
        server = self.serve()
        code, fault = self.once({"uris": [server.uri], "starttls": False, "base": f"ou=none,{slapd.SUFFIX}"})
        self.assertEqual(code, 451)
        self.assertIn("No such object", fault)
