# SPDX-License-Identifier: Apache-2.0
"""Other people's mail servers send through Postern, and take from it, as docs/neighbours.md tells them to."""
import os
import pathlib
import re
import smtplib

from tests.lib import proc
from tests.lib.case import PASSWORD, USER, RelayCase, rounds
from tests.lib.certificates import certificate
from tests.lib.neighbours import Exim, OpenSMTPD, Sendmail, recipe
from tests.lib.postfix import Postfix

try:
    import yaml
except ImportError:
    yaml = None

SLOW = True
TORTURE = True
MESSAGES = 8
RELAY = "relay.clinic.example"  # in the recipes, and in sendmail's room


def subjects(messages):
    return sorted(int(re.search(rb"^Subject: number (\d+)", each, re.MULTILINE)[1]) for each in messages)


class Neighbours(RelayCase):
    def begin(self, neighbour):
        """Starts it, or says aloud why it cannot run."""
        try:
            made = neighbour()
            self.addCleanup(getattr(made, "room", made).remove)
            made.start()
        except proc.CannotRun as reason:
            self.skipTest(str(reason))
        self.addCleanup(made.stop)
        return made

    @property
    def folder(self):
        return os.path.join(self.directory, "neighbour")

    def feed(self, port, count=MESSAGES):
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
            for number in range(count):
                client.sendmail(USER, [f"b{number}@partner.example"], f"Subject: number {number}\r\n\r\nbody\r\n")

    def keep(self, name, text):
        """A file that a recipe names; its path."""
        path = pathlib.Path(self.directory, name)
        path.write_text(text)
        path.chmod(0o644)
        return str(path)

    def postern(self):
        """With a user, and a certificate for the name that a recipe has put in: its path, and that name."""
        self.authority = certificate(self.directory, "localhost", [RELAY])[0]
        self.server = self.relay_with_user().start()
        return {"relay.clinic.example": "localhost", "587": str(self.server.port("submission"))}

    def arrived_over_few(self, count=MESSAGES, most=MESSAGES - 1):
        """All are here; they came with TLS and a password, and more than one over a connection."""
        messages = self.delivered(count, 60)
        self.assertEqual(subjects(messages), list(range(count)))
        for each in messages:
            self.assertIn(b"with ESMTPSA", each)
        connections = self.server.log().count("event=auth-ok ")
        self.assertEqual(self.server.log().count("event=accepted "), count)
        self.assertGreaterEqual(connections, 1)
        self.assertLessEqual(connections, most)

    def test_postfix_sends_S2_15_S2_46(self):
        """relayhost, default time-outs, connection caching on: a thousand messages (100 in `make check`) over
        few connections."""
        count = rounds(100, 1000)
        where = self.postern()
        password = recipe("postfix-password", {**where, "server@clinic.example": USER, "secret": PASSWORD})
        main = recipe("postfix-client", {**where, "/etc/ssl/certs/ca-certificates.crt": self.authority,
                                         "/etc/postfix/relay_password": self.keep("password", password)})
        # Few messages, and a machine that may be slow: a cached connection waits for the next one.
        main += "initial_destination_concurrency = 1\ndefault_destination_concurrency_limit = 1\n"
        main += "smtp_connection_cache_time_limit = 60s\n"
        main += "smtp_tls_loglevel = 1\n"
        relayhost = f"localhost:{self.server.port('submission')}"
        postfix = self.begin(lambda: Postfix(self.folder, self.builddir, "relay", relayhost, main))
        self.feed(postfix.port, count)
        self.arrived_over_few(count, count // 10)
        self.assertIn("Verified TLS connection established", postfix.log())

    def sends(self, neighbour, client):
        made = self.begin(lambda: neighbour(self.folder, self.builddir, client, self.authority))
        made.hold()
        self.feed(made.port)
        self.assertNotIn("event=accepted ", self.server.log())
        made.flush()
        try:
            self.arrived_over_few()
        except proc.Failed as problem:
            self.fail(f"{problem}\n{made.log()[-4000:]}\n{self.server.log()[-2000:]}")

    def test_exim_sends(self):
        self.sends(Exim, recipe("exim-client", {
            **self.postern(), "server@clinic.example": USER, "secret": PASSWORD,
            "/etc/ssl/certs/ca-certificates.crt": self.authority,
            # Only this test's relay is on the same machine as Exim.
            "  transport = postern\n": "  transport = postern\n  self = send\n",
            "  driver = smtp\n": "  driver = smtp\n  allow_localhost\n"}))

    def test_opensmtpd_sends(self):
        where = self.postern()
        secrets = recipe("opensmtpd-secrets", {"server@clinic.example": USER, "secret": PASSWORD})
        self.sends(OpenSMTPD, recipe("opensmtpd-client", {
            **where, "/etc/mail/secrets": self.keep("secrets", secrets)}))

    def test_sendmail_sends_S2_43(self):
        where = self.postern()
        main = recipe("sendmail-client", {"587": where["587"], "/etc/mail/": "/var/lib/mail/"})
        self.sends(Sendmail, {
            "sendmail.mc": main, "access": recipe("sendmail-access", {}),
            "authinfo": recipe("sendmail-authinfo", {"server@clinic.example": USER, "secret": PASSWORD})})

    def takes(self, neighbour):
        """All arrive, over one connection: the one that Postern may have to this host."""
        if yaml is None:
            self.skipTest("python3-yaml is not installed")
        made = self.begin(lambda: neighbour(self.folder, self.builddir))
        routes = yaml.safe_load(recipe("next-hop", {"mail.clinic.example:25": f"127.0.0.1:{made.port}"}))["routes"]
        self.server = self.relay({"plain": {"tls": "none", "auth": "off"}}, routes, sections={
            "destinations": [{"connections": 1, "idle_connection": "5m"}]}, relay={"loops": 1}).start()
        self.feed(self.server.port("plain"))
        proc.wait_until(lambda: self.server.log().count("event=delivered ") == MESSAGES, 60, "all are delivered")
        try:
            proc.wait_until(lambda: len(made.messages()) == MESSAGES, 60, "the neighbour has them all")
        except proc.Failed as problem:
            self.fail(f"{problem}\n{made.log()[-4000:]}")
        self.assertEqual(subjects(made.messages()), list(range(MESSAGES)))
        for each in made.messages():
            self.assertIn(b"by postern.test", each)
        return made

    def test_postfix_takes(self):
        made = self.takes(Postfix)
        self.server.stop()
        proc.wait_until(lambda: f" mail={MESSAGES} rcpt={MESSAGES} " in made.log(), 60, "one session had all")

    def test_exim_takes(self):
        made = self.takes(Exim)
        self.assertLessEqual(made.sessions(), 2)  # with the test's own look whether it listens

    def test_opensmtpd_takes(self):
        made = self.takes(OpenSMTPD)
        self.assertLessEqual(made.sessions(), 2)  # with the test's own look whether it listens

    def test_sendmail_takes(self):
        self.assertEqual(self.takes(Sendmail).sessions(), 1)
