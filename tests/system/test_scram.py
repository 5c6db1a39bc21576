# SPDX-License-Identifier: Apache-2.0
"""AUTH SCRAM-SHA-256 on the wire: a client of our own, which can also do wrong, and msmtp."""
import base64
import os
import shutil
import smtplib
import ssl
import subprocess

from tests.lib.case import PASSWORD, USER, RelayCase
from tests.lib.certificates import certificate
from tests.lib.proc import CannotRun
from tests.lib.scram import Scram
from tests.lib.unpack import libraries, unpack

PLAIN_ONLY, OFF, NOBODY = "plain@clinic.example", "off@clinic.example", "nobody@clinic.example"


class Scrambled(RelayCase):
    def setUp(self):
        super().setUp()
        self.server = self.make()
        for user, more in ((USER, ["--scram"]), (PLAIN_ONLY, []), (OFF, ["--scram"])):
            self.server.ctl("user", "add", user)
            self.server.ctl("user", "passwd", *more, user, stdin=PASSWORD + "\n")
        self.server.ctl("user", "disable", OFF)

    def make(self, **auth):
        auth.setdefault("mechanisms", ["plain", "scram-sha-256"])
        return self.relay({"submissions": {"tls": "implicit", "auth": "required"}}, pipeline=["auth"],
                          tls=certificate(self.directory, "localhost"), sections={"auth": auth})

    def start(self, **auth):
        if auth:
            self.server.sections["auth"].update(auth)
            self.server.write()
        self.server.start()

    def connect(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client = smtplib.SMTP_SSL("127.0.0.1", self.server.port("submissions"), timeout=60, context=context)
        self.addCleanup(client.close)
        client.ehlo("client.example")
        return client

    @staticmethod
    def say(client, text, initial=False):
        """The code, and what the server says with it: of 334 undone from base64."""
        line = base64.b64encode(text.encode()).decode() or ("=" if initial else "")
        code, answer = client.docmd(f"AUTH SCRAM-SHA-256 {line}" if initial else line)
        return code, base64.b64decode(answer).decode() if code == 334 else answer.decode()

    def log_in(self, user, password, header="n,,", initial=True):
        """The last code and the exchange."""
        client, scram = self.connect(), Scram(user, password, header)
        if not initial:
            self.assertEqual(client.docmd("AUTH SCRAM-SHA-256"), (334, b""))
        code, text = self.say(client, scram.first(), initial)
        if code != 334:
            return code, scram
        code, text = self.say(client, scram.final(text))
        if code != 334:
            return code, scram
        self.assertTrue(scram.proves(text), text)
        return self.say(client, "")[0], scram

    def plain(self, user, password):
        client = self.connect()
        try:
            client.user, client.password = user, password
            return client.auth("PLAIN", client.auth_plain)[0]
        except smtplib.SMTPAuthenticationError as refused:
            return refused.smtp_code

    def test_offered_where_configured(self):
        self.start()
        self.assertIn("SCRAM-SHA-256", self.connect().esmtp_features["auth"].split())
        self.server.stop()
        del self.server.sections["auth"]["mechanisms"]
        self.server.write()
        self.server.start()
        client = self.connect()
        self.assertEqual(client.esmtp_features["auth"].split(), ["PLAIN", "LOGIN"])
        self.assertEqual(client.docmd("AUTH", "SCRAM-SHA-256")[0], 504)

    def test_right(self):
        self.start()
        self.assertEqual(self.log_in(USER, PASSWORD)[0], 235)
        self.assertEqual(self.log_in(USER.replace("clinic", "CLINIC"), PASSWORD, initial=False)[0], 235)
        self.assertEqual(self.log_in(USER, PASSWORD, f"n,a={USER},")[0], 235)
        self.assertEqual(self.plain(USER, PASSWORD), 235)
        self.assertIn("auth-ok", self.server.log())

    def test_channel_binding(self):
        """RFC 5802 section 6: 'y' is right where no -PLUS is offered, 'p' is wrong without -PLUS."""
        self.start()
        self.assertEqual(self.log_in(USER, PASSWORD, "y,,")[0], 235)
        self.assertEqual(self.log_in(USER, PASSWORD, "p=tls-unique,,")[0], 501)
        self.assertEqual(self.log_in(USER, PASSWORD, "p=tls-exporter,,")[0], 501)
        # Somebody in between has made an 'n' of our 'y': the proof is over what we said.
        client, scram = self.connect(), Scram(USER, PASSWORD)
        code, text = self.say(client, scram.first(), True)
        self.assertEqual(self.say(client, scram.final(text, "y,,"))[0], 535)

    def say_plus(self, header, binding):
        """An exchange by -PLUS; the last code."""
        client, scram = self.connect(), Scram(USER, PASSWORD, header, binding)
        code, text = client.docmd("AUTH SCRAM-SHA-256-PLUS " + base64.b64encode(scram.first().encode()).decode())
        if code != 334:
            return code
        return self.say(client, scram.final(base64.b64decode(text).decode()))[0]

    def test_plus(self):
        """RFC 9266, RFC 5802 section 6: bound to the connection; who was led to believe otherwise is refused."""
        self.start(mechanisms=["plain", "scram-sha-256", "scram-sha-256-plus"])
        self.assertIn("SCRAM-SHA-256-PLUS", self.connect().esmtp_features["auth"].split())
        self.assertEqual(self.log_in(USER, PASSWORD, "y,,")[0], 501)  # we do offer it
        self.assertEqual(self.log_in(USER, PASSWORD)[0], 235)
        self.assertEqual(self.log_in(USER, PASSWORD, "p=tls-exporter,,")[0], 501)
        self.assertEqual(self.say_plus("n,,", b""), 501)
        self.assertEqual(self.say_plus("y,,", b""), 501)
        # The proof is right, but for another connection.
        self.assertEqual(self.say_plus("p=tls-exporter,,", bytes(32)), 535)
        self.assertIn(self.say_plus("p=tls-unique,,", bytes(12)), (501, 535))

    def test_plus_by_gsasl(self):
        """A client of somebody else's, which binds; over TLS 1.2 it is not offered."""
        self.start(mechanisms=["scram-sha-256-plus"])
        try:
            root = unpack(self.builddir, "gsasl")
        except CannotRun as reason:
            self.skipTest(str(reason))
        cert = certificate(self.directory, "localhost")[0]
        self.server.stop()
        self.server.listeners = {"submission": {"tls": "starttls", "auth": "required"}}
        self.server.ports = {"submission": self.server.port("submissions")}
        self.server.write()
        self.server.start()
        for password, code in ((PASSWORD, 0), ("wrong", 1)):
            done = subprocess.run(
                [os.path.join(root, "usr/bin/gsasl"), "--smtp", "--starttls", "--connect",
                 f"localhost:{self.server.port('submission')}", "--mechanism=SCRAM-SHA-256-PLUS",
                 f"--authentication-id={USER}", f"--password={password}", f"--x509-ca-file={cert}"],
                env=dict(os.environ, LD_LIBRARY_PATH=libraries(root)), input="", capture_output=True, text=True,
                timeout=60, check=False)
            self.assertEqual(bool(done.returncode), bool(code), done.stdout + done.stderr)
        self.assertRegex(self.server.log(), "auth-ok .*mechanism=SCRAM-SHA-256-PLUS .*tls=TLSv1.3")

    def test_wrong(self):
        self.start()
        for user, password in ((USER, "wrong"), (USER, ""), (PLAIN_ONLY, PASSWORD), (NOBODY, PASSWORD),
                               (OFF, PASSWORD), (OFF, "wrong")):
            with self.subTest(user=user, password=password):
                self.assertEqual(self.log_in(user, password)[0], 535)
                self.assertIn(f"user={user}", [line for line in self.server.log().splitlines()
                                               if "auth-failed" in line][-1])
        self.assertEqual(self.log_in(USER, PASSWORD, f"n,a={NOBODY},")[0], 535)
        self.assertNotIn("wrong", [word for line in self.server.log().splitlines() if "auth-failed" in line
                                   for word in line.split("=")])

    def test_nobody_looks_like_somebody(self):
        """Salt and count of those without keys: of the same kind, and the same ones the next time."""
        self.start()
        seen = {user: self.log_in(user, "wrong")[1] for user in (USER, PLAIN_ONLY, NOBODY, OFF)}
        self.assertEqual({len(scram.salt) for scram in seen.values()}, {16})
        self.assertEqual(len({scram.iterations for scram in seen.values()}), 1)
        self.assertEqual(len({scram.salt for scram in seen.values()}), 4)
        self.server.stop()
        self.server.start()
        for user, before in seen.items():
            with self.subTest(user):
                local = user.partition("@")[0]
                for spelling in (f"{local}@Clinic.example", f'"{local}"@clinic.example'):
                    self.assertEqual(self.log_in(spelling, "wrong")[1].salt, before.salt, spelling)

    def test_replay(self):
        self.start()
        client, scram = self.connect(), Scram(USER, PASSWORD)
        code, text = self.say(client, scram.first(), True)
        final = scram.final(text)
        self.assertEqual(self.say(client, final)[0], 334)
        self.assertEqual(self.say(client, "")[0], 235)
        client = self.connect()
        self.assertEqual(self.say(client, scram.first(), True)[0], 334)
        self.assertEqual(self.say(client, final)[0], 535)

    def test_malformed(self):
        self.start()
        for first in ("", "n", "n,,", "n,,r=abc", "n,,n=,r=abc", "n,,n=a", "x,,n=a,r=abc", "\0", "n,,n=a=zz,r=abc"):
            with self.subTest(first):
                client = self.connect()
                code, _ = self.say(client, first, True)
                if first == "":
                    self.assertEqual(code, 334)
                    code, _ = self.say(client, "")
                if code == 334:
                    code, _ = self.say(client, "c=biws,r=abc,p=AAAA")
                self.assertIn(code, (501, 535))
        client, scram = self.connect(), Scram(USER, PASSWORD)
        code, text = self.say(client, scram.first(), True)
        self.assertEqual(self.say(client, scram.final(text))[0], 334)
        self.assertEqual(self.say(client, "more")[0], 501)
        self.assertEqual(client.docmd("MAIL", f"FROM:<{USER}>")[0], 530)

    def test_a_new_password_takes_the_keys_away(self):
        self.server.ctl("user", "passwd", USER, stdin="another\n")
        self.start()
        self.assertEqual(self.log_in(USER, PASSWORD)[0], 535)
        self.assertEqual(self.log_in(USER, "another")[0], 535)
        self.assertEqual(self.plain(USER, "another"), 235)
        self.server.ctl("user", "passwd", "--scram", USER, stdin="third\n")
        self.assertEqual(self.log_in(USER, "third")[0], 235)
        self.assertEqual(self.server.ctl("user", "passwd", "--other", USER, stdin="x\n", check=False).returncode, 1)

    def test_guessing_is_limited(self):
        self.start(failures={"per_client_and_user": 3})
        for user in (USER, NOBODY):
            with self.subTest(user):
                self.assertEqual([self.log_in(user, "wrong")[0] for _ in range(4)], [535, 535, 535, 454])
                self.assertEqual(self.log_in(user, PASSWORD)[0], 454)
                self.assertEqual(self.plain(user, PASSWORD), 454)

    def test_msmtp(self):
        if not shutil.which("msmtp"):
            self.skipTest("msmtp is not installed")
        self.start()
        done = subprocess.run(
            ["msmtp", "--host=127.0.0.1", f"--port={self.server.port('submissions')}", "--tls=on",
             "--tls-starttls=off", "--tls-certcheck=off", "--auth=scram-sha-256", f"--user={USER}",
             f"--passwordeval=echo {PASSWORD}", f"--from={USER}", "b@partner.example"],
            input="Subject: by msmtp\n\nx\n", capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"with ESMTPSA", self.delivered(1)[0])
