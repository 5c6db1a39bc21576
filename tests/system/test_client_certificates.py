# SPDX-License-Identifier: Apache-2.0
"""Clients with certificates: who is verified, SASL EXTERNAL, accounts by certificate (SPEC A2, A3)."""
import json
import os
import smtplib
import socket
import ssl
import subprocess

from tests.lib import proc
from tests.lib.backends import coded, unverified
from tests.lib.case import USER, RelayCase
from tests.lib.certificates import certificate
from tests.lib.client_ca import ClientCA, fingerprint

BOB, JO = "bob@clinic.example", "jürgen@clinic.example"
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
IN, WRONG, NOT_OFFERED = (235, "2.7.0"), (535, "5.7.8"), (504, "5.5.4")
CLIENT = "198.51.100.9"


def context(shown=None, version=None):
    made = unverified()
    if shown:
        made.load_cert_chain(*shown)
    if version:
        made.minimum_version = made.maximum_version = version
    return made


class ProxiedSSL(smtplib.SMTP_SSL):
    """As if from another machine: what comes from this one is trusted."""

    def _get_socket(self, host, port, timeout):
        plain = socket.create_connection((host, port), timeout)
        plain.sendall(f"PROXY TCP4 {CLIENT} 192.0.2.1 1025 465\r\n".encode())
        return self.context.wrap_socket(plain, server_hostname="localhost")


class ClientCertificates(RelayCase):
    def setUp(self):
        super().setUp()
        self.ca = ClientCA(self.directory)

    def serve(self, accounts=None, crl=True, **auth):
        asking = {"client_certificate": "ask", "client_ca": self.ca.certificate}
        if crl:
            asking["client_crl"] = self.ca.revoked
        secure = {"tls": "implicit", "auth": "offered"}
        relay = self.relay({"off": secure, "ask": {**secure, **asking},
                            "need": {**secure, **asking, "client_certificate": "require"},
                            "start": {**secure, **asking, "tls": "starttls-required"},
                            "proxied": {**secure, **asking, "proxy": ["127.0.0.1"]}},
                           pipeline=["auth", "registrar"], tls=certificate(self.directory, "localhost"),
                           sections={"auth": {"mechanisms": ["plain", "external"], **auth},
                                     "directory": {"accounts": accounts or {}, "users": {BOB: {}, JO: {}}}})
        relay.programs.modules += ":" + os.path.join(self.builddir, "tests", "modules", ".libs")
        relay.ctl("user", "add", USER)
        self.server = relay.start()
        return relay

    def connect(self, listener, shown=None, version=None):
        port = self.server.port(listener)
        if listener == "start":
            client = smtplib.SMTP("127.0.0.1", port, timeout=60)
            client.starttls(context=context(shown, version))
        else:
            kind = ProxiedSSL if listener == "proxied" else smtplib.SMTP_SSL
            client = kind("127.0.0.1", port, timeout=60, context=context(shown, version))
        client.ehlo("client.example")
        return client

    def external(self, listener, shown, identity="", version=None):
        with self.connect(listener, shown, version) as client:
            code, said = client.docmd("AUTH EXTERNAL " + (coded(identity) or "="))
            return code, said.decode().split()[0]

    def test_who_is_let_in(self):
        """A2: by address and by fingerprint, stated or not; nobody by a certificate that is not good."""
        ca, other = self.ca, ClientCA(self.directory, "strangers")
        ada = ca.issue("ada", f"email:{USER}, DNS:laptop.example")
        both = ca.issue("both", f"email:{USER}, email:{BOB}")
        stored, shared, yaml = ca.issue("stored"), ca.issue("shared"), ca.issue("yaml")
        nobody = ca.issue("nobody", "email:nobody@clinic.example")
        bad = {"expired": ca.issue("expired", f"email:{USER}", expired=True),
               "revoked": ca.issue("revoked", f"email:{USER}"),
               "server": ca.issue("server", f"email:{USER}", usage="serverAuth"),
               "stranger": other.issue("stranger", f"email:{USER}"),
               "self": certificate(self.directory, "self.example")}
        ca.revoke(bad["revoked"])
        relay = self.serve(external_by=["fingerprint", "address"],
                           certificates={BOB: [fingerprint(yaml), fingerprint(shared).lower().replace(":", "")]})
        relay.ctl("user", "certificate", "add", USER, stored[0])
        relay.ctl("user", "certificate", "add", USER, fingerprint(shared))
        letter = ca.issue("letter", mailbox=JO)
        wrong_kind = ca.issue("kind", mailbox=USER)  # what ASCII can write must be an rfc822Name
        for shown, identity, expected in (
                (letter, "", IN), (letter, JO, IN), (wrong_kind, "", WRONG),
                (ada, "", IN), (ada, USER, IN), (ada, USER.upper(), IN), (ada, BOB, WRONG), (ada, "x", WRONG),
                (both, "", WRONG), (both, BOB, IN), (both, USER, IN), (stored, "", IN), (stored, BOB, WRONG),
                (yaml, "", IN), (yaml, USER, WRONG), (shared, "", WRONG), (shared, USER, IN), (shared, BOB, IN),
                (nobody, "", WRONG), (nobody, "nobody@clinic.example", WRONG), (nobody, USER, WRONG)):
            with self.subTest(shown[0], identity=identity):
                self.assertEqual(self.external("ask", shown, identity), expected)
        for listener in ("ask", "need", "start", "proxied"):
            for version in VERSIONS:
                with self.subTest(listener, version=version):
                    self.assertEqual(self.external(listener, ada, version=version), IN)
        for name, shown in bad.items():
            with self.subTest(name):  # the session goes on, and nobody is offered anything
                self.assertEqual(self.external("ask", shown), NOT_OFFERED)
                for version in VERSIONS:
                    with self.assertRaises((ssl.SSLError, OSError, smtplib.SMTPServerDisconnected)):
                        self.external("need", shown, version=version)
        self.assertEqual(self.external("ask", None), NOT_OFFERED)
        self.assertEqual(self.external("off", ada), NOT_OFFERED)
        for version in VERSIONS:
            with self.assertRaises((ssl.SSLError, OSError, smtplib.SMTPServerDisconnected)):
                self.external("need", None, version=version)
        log = relay.log()
        for why in ("certificate has expired", "certificate revoked", "unsuitable certificate purpose"):
            self.assertIn(f'why="{why}"', log)
        self.assertIn("the certificate is several users', and none was named", log)
        with self.connect("ask", ada) as client:  # the rounds without an initial response, and a broken one
            self.assertEqual(client.docmd("AUTH EXTERNAL")[0], 334)
            self.assertEqual(client.docmd("*")[0], 501)
            self.assertEqual(client.docmd("AUTH EXTERNAL " + coded(USER + "\0"))[0], 501)
            self.assertEqual(client.docmd("AUTH EXTERNAL")[0], 334)
            self.assertEqual(client.docmd("")[0], 235)

    def test_users_and_certificates_go(self):
        """A2, A7: taken away, disabled, or revoked while the relay runs; each change is in the audit log."""
        ada = self.ca.issue("ada", f"email:{USER}")  # an address says nothing unless it is to
        relay = self.serve()
        relay.ctl("user", "certificate", "add", USER, ada[0])
        bob = self.ca.issue("bob")  # whom the files name
        relay.ctl("user", "certificate", "add", BOB, bob[0])
        self.assertEqual(self.external("ask", bob), IN)
        relay.ctl("user", "certificate", "remove", BOB, bob[0])
        self.assertEqual(self.external("ask", bob), WRONG)
        again = relay.ctl("user", "certificate", "add", USER, ada[0], check=False)
        self.assertIn("already", again.stderr)
        for wrong in ("/nowhere", ada[1], "ab" * 31):
            self.assertNotEqual(relay.ctl("user", "certificate", "add", USER, wrong, check=False).returncode, 0)
        print_ = fingerprint(ada).replace(":", "").lower()
        rows = json.loads(relay.ctl("--json", "user", "certificate", "list", USER).stdout)
        self.assertEqual([row["fingerprint"] for row in rows], [print_])
        self.assertEqual(self.external("ask", ada), IN)
        self.assertEqual(self.external("ask", ada, USER), IN)
        relay.ctl("user", "certificate", "remove", USER, print_)
        self.assertEqual(self.external("ask", ada), WRONG)
        relay.ctl("user", "certificate", "add", USER, print_)
        relay.ctl("user", "disable", USER)
        proc.wait_until(lambda: self.external("ask", ada) == WRONG, 60, "a disabled user is nobody")
        relay.ctl("user", "enable", USER)
        proc.wait_until(lambda: self.external("ask", ada) == IN, 60, "an enabled user logs in")
        with self.connect("ask", ada) as open_one, self.connect("ask") as other:  # who was let in by it goes, too
            self.assertEqual(open_one.docmd("AUTH EXTERNAL =")[0], 235)
            self.ca.revoke(ada)
            proc.wait_until(lambda: b"verified anew" in open_one.noop()[1], 60, "the open session ends")
            self.assertEqual(other.noop()[0], 250)
        proc.wait_until(lambda: self.external("ask", ada) == NOT_OFFERED, 60, "the new list is read")
        audit = [(row["before"], row["after"]) for row in json.loads(relay.ctl("--json", "audit", "list").stdout)
                 if row["object"] == "certificate"]
        bob_print = fingerprint(bob).replace(":", "").lower()
        self.assertCountEqual(audit, [(None, bob_print), (bob_print, None), (None, print_), (print_, None),
                                      (None, print_)])

    def test_resumption(self):
        """No ticket of a session without a certificate opens one that has, nor keeps one for longer."""
        ada = self.ca.issue("ada", f"email:{USER}")
        self.serve()
        for version in VERSIONS:
            for first, second, show in (("off", "ask", None), ("off", "need", ada), ("ask", "ask", ada),
                                        ("need", "need", ada), ("ask", "off", ada)):
                with self.subTest(version=version, first=first, second=second):
                    client = context(show, version)
                    one, session = self.once(client, first, None)
                    self.assertFalse(one)
                    resumed, _ = self.once(client, second, session)
                    self.assertFalse(resumed)
            client = context(None, version)  # and what is not asked for resumes as ever
            _, session = self.once(client, "off", None)
            self.assertTrue(self.once(client, "off", session)[0])

    def once(self, client, listener, session):
        """Whether the session was resumed, and what could be the next."""
        with socket.create_connection(("127.0.0.1", self.server.port(listener)), 60) as plain:
            with client.wrap_socket(plain, server_hostname="localhost", session=session) as tls:
                tls.recv(3)
                tls.sendall(b"QUIT\r\n")
                while tls.recv(512):
                    pass
                return tls.session_reused, tls.session

    def asked_for(self, listener):
        said = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.server.port(listener)}"],
                              input=b"", capture_output=True, timeout=60).stdout.decode(errors="replace")
        self.assertIn("BEGIN CERTIFICATE", said)
        return "No client certificate CA names sent" not in said

    def test_accounts(self):
        """S2-39: nobody is asked who need not be; A3: a certificate of an account lets its server send."""
        server, ada = self.ca.issue("server"), self.ca.issue("ada", f"email:{USER}")
        relay = self.serve({"clinic": {"domains": ["clinic.example"], "certificates": [fingerprint(server)]}})
        self.assertFalse(self.asked_for("off"))
        self.assertTrue(self.asked_for("ask"))
        for shown, code in ((None, 530), (ada, 530), (server, 250)):
            with self.connect("proxied", shown) as client:
                self.assertEqual(client.docmd("MAIL FROM:<app@clinic.example>")[0], code)
        with self.connect("proxied", server) as client:
            client.sendmail("app@clinic.example", ["x@example.net"], "Subject: hello\r\n\r\nHello.\r\n")
        message = self.delivered(1)[0].decode()
        unfolded = message.replace("\r\n\t", " ").replace("\n\t", " ")
        self.assertIn("account=clinic by=certificate", unfolded)
        self.assertIn("(client certificate verified, SHA-256 "
                      + fingerprint(server).replace(":", "").lower() + ")", unfolded)
        relay.listeners["proxied"]["auth"] = "required"  # then a certificate alone is not enough
        relay.write()
        relay.reload()

        def refused():
            with self.connect("proxied", server) as client:
                return client.docmd("MAIL FROM:<app@clinic.example>")[0] == 530
        proc.wait_until(refused, 60, "the listener requires AUTH")

    def test_required_later(self):
        """A session that began before its listener required a certificate does not go on without."""
        relay = self.serve()
        with self.connect("ask") as client:
            relay.listeners["ask"]["client_certificate"] = "require"
            relay.write()
            relay.reload()
            proc.wait_until(lambda: client.noop()[0] == 421, 60, "the session ends")
