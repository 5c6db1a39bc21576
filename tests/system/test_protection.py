# SPDX-License-Identifier: Apache-2.0
"""Whether protection is wanted, TLS as protection, TLS partners (SPEC T1 to T4, D4; S1-03 to S1-05, S1-15, S4-01,
S4-04 to S4-11, B-10, B-13). The method behind TLS is the test modules' "fake": what it renders has no secret."""
import base64
import hashlib
import itertools
import json
import os
import smtplib
import ssl
import subprocess

from tests.lib import proc
from tests.lib.case import PASSWORD, USER, RelayCase
from tests.lib.certificates import certificate
from tests.lib.nexthop import NextHop

SECRET = "the secret is out"
SECOND = {"selector": {"id": "second"}}


def message(subject="hello", *fields):
    return "".join(f"{line}\r\n" for line in (f"Subject: {subject}", "From: x@clinic.example", *fields, "", SECRET))


class ProtectionCase(RelayCase):
    """Two next hops: what is below tls.example goes to `secure`, reports to the maildir, the rest to `bare`."""

    def setUp(self):
        super().setUp()
        self.tls = certificate(self.directory, "localhost")
        self.bare, self.secure = (self.enterContext(NextHop(**more)) for more in ({}, {"tls": self.tls}))

    def begin(self, pipeline, listeners=None, **sections):
        routes = [{"when": {"recipient_domain": ["clinic.example", "off.example"]},
                   "to": "maildir", "path": str(self.mail)},
                  {"when": {"recipient_domain": ["*.tls.example", "tls.example"]}, **self.secure.route, "tls": "may"},
                  {**self.bare.route, "tls": "may"}]
        self.server = self.relay(listeners or {"plain": {"tls": "none", "auth": "off"}}, routes, tls=self.tls,
                                 pipeline=pipeline, relay={"queue": {"retry_first": "1s", "retry_most": "1s"}},
                                 sections=sections)
        self.server.programs.modules += f":{self.builddir}/tests/modules/.libs"
        return self.server

    def client(self):
        client = smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60)
        self.addCleanup(client.close)
        client.ehlo()
        return client

    @staticmethod
    def send(client, recipients, text, sender="ada@clinic.example"):
        client.mail(sender)
        for recipient in recipients:
            code, reply = client.rcpt(recipient)
            if code != 250:
                client.rset()
                return code, reply
        return client.data(text)

    def came(self, hop, count):
        """By recipient: "fake" or "clear", what is read there."""
        found = {}
        for _, recipients, data in hop.wait(count, 60):
            fake = b"X-Method: fake" in data
            self.assertNotEqual(fake, SECRET.encode() in data)
            found.update({recipient.strip("<>"): "fake" if fake else "clear" for recipient in recipients})
        return found

    def reports(self, count):
        return [data.decode() for data in self.delivered(count, 60)]


class TlsOnly(ProtectionCase):
    def test_s1_03_truth_table(self):
        """TLS alone, exactly where it is enabled, the next hop has it, nobody excluded and the sender did not
        ask for more (S1-03a to S1-03d, S1-05)."""
        self.begin(["tls-only", SECOND, "provider", {"selector": {"id": "wanting"}}],
                   wanting={"want": "sender"}, second={"rules": ["=fake"]},
                   **{"tls-only": {"exclude": ["out.tls.example", "out.bare.example"],
                                   "opt_out": {"subject": "[no-tls-only]", "header": "X-TLS-Only: no"},
                                   "domains": {"off.example": {"enabled": False}}}}).start()
        expected = {True: {}, False: {}}
        client = self.client()
        for number, row in enumerate(itertools.product((True, False), repeat=4)):
            enabled, has_tls, included, stays = row
            domain = f"{'in' if included else 'out'}.{'tls' if has_tls else 'bare'}.example"
            recipient = f"row{number}@{domain}"
            text = message("hello" if stays or number % 4 == 1 else "[No-TLS-Only ] hello",
                           *([] if stays or number % 4 != 1 else ["X-Tls-Only:  No"]))
            answer = self.send(client, [recipient], text, "ada@clinic.example" if enabled else "ada@off.example")
            self.assertEqual(answer[0], 250, row)
            expected[has_tls][recipient] = "clear" if all(row) else "fake"
        self.assertEqual(self.came(self.secure, 8), expected[True])
        self.assertEqual(self.came(self.bare, 8), expected[False])
        self.assertEqual({secure for secure, line in self.secure.lines if line.startswith(b"MAIL")}, {True})

    def test_modes(self):
        """B-13: forced falls back, exclusive does not, opportunistic is no protection by itself."""
        users = {f"{mode}@clinic.example": {"mode": mode} for mode in ("exclusive", "opportunistic")}
        self.begin(["tls-only", SECOND, "provider", {"selector": {"id": "wanting"}}],
                   wanting={"want": "sender"}, second={"rules": ["=fake"]}, **{"tls-only": {"users": users}}).start()
        client = self.client()
        for mode in ("forced", "exclusive", "opportunistic"):
            for domain in ("tls.example", "bare.example"):
                self.assertEqual(self.send(client, [f"{mode}@{domain}"], message(), f"{mode}@clinic.example")[0], 250)
        self.assertEqual(self.came(self.secure, 3), {
            "forced@tls.example": "clear", "exclusive@tls.example": "clear", "opportunistic@tls.example": "fake"})
        self.assertEqual(self.came(self.bare, 2), {"forced@bare.example": "fake", "opportunistic@bare.example": "fake"})
        report, = self.reports(1)
        self.assertIn("exclusive@bare.example", report)
        self.assertIn("Diagnostic-Code: smtp; 503 5.7.0 encryption too weak 0 less than 112\r\n", report)

    def test_partners(self):
        """S4-04, S4-06, S4-07, S4-09, S4-10: by TLS or not at all, whether or not protection is wanted."""
        self.begin(["tls-only"], **{"tls-only": {"partners": ["lab.example", "billing@insurer.example", "tls.example"]}})
        self.server.start()
        client = self.client()
        free = ["x@notlab.example", "x@lab.example.test", "sales@insurer.example"]
        bound = ["x@lab.example", "x@sales.LAB.example", "billing@insurer.example"]
        for recipient in [*free, *bound, "x@a.tls.example"]:
            self.assertEqual(self.send(client, [recipient], message())[0], 250)
        self.assertEqual(self.came(self.bare, 3), dict.fromkeys(free, "clear"))
        self.assertEqual(self.came(self.secure, 1), {"x@a.tls.example": "clear"})
        reports = self.reports(3)
        for recipient in bound:
            report, = [one for one in reports if recipient.lower() in one.lower()]
            self.assertIn("Diagnostic-Code: smtp; 503 5.7.0 encryption too weak 0 less than 112\r\n", report)
        said = b"".join(line for _, line in self.bare.lines).lower()
        for recipient in bound:
            self.assertNotIn(f"<{recipient.lower()}>".encode(), said)

    def test_s4_11_more_bits(self):
        self.secure.tls.maximum_version = ssl.TLSVersion.TLSv1_2
        self.secure.tls.set_ciphers("ECDHE+AES128:@SECLEVEL=1")
        self.begin(["tls-only"], **{"tls-only": {
            "partners": ["tls.example"], "users": {"most@clinic.example": {"minimum_bits": 256}}}}).start()
        client = self.client()
        for sender in ("ada@clinic.example", "most@clinic.example"):
            self.assertEqual(self.send(client, [f"for-{sender[:3]}@tls.example"], message(), sender)[0], 250)
        self.assertEqual(self.came(self.secure, 1), {"for-ada@tls.example": "clear"})
        self.assertIn("503 5.7.0 encryption too weak 128 less than 256\r\n", self.reports(1)[0])

    def test_s4_own_terms(self):
        """Pins, version and ciphers (ASKS C03); letters on one connection are judged each by its own."""
        certificate = subprocess.run(["openssl", "x509", "-in", self.tls[0], "-outform", "DER"], check=True,
                                     capture_output=True).stdout
        key = subprocess.run(["openssl", "x509", "-in", self.tls[0], "-noout", "-pubkey"], check=True,
                             capture_output=True).stdout
        key = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, check=True,
                             capture_output=True).stdout
        good, same = (hashlib.sha256(it).digest() for it in (key, certificate))
        other = "sha256/" + "00" * 32
        terms = [{"partners": ["key.tls.example"], "level": "pin",
                  "pins": [other, "sha256/" + base64.b64encode(good).decode()]},
                 {"partners": ["cert.tls.example"], "pins": ["cert-sha256/" + same.hex(":").upper()]},
                 {"partners": ["wrong.tls.example", "two.tls.example"], "pins": [other]},
                 {"partners": ["two.tls.example"], "pins": ["cert-sha256/" + same.hex()]},
                 {"partners": ["dane.tls.example"], "level": "dane"},
                 {"partners": ["cipher.tls.example"], "ciphers": ["ECDHE-RSA-AES128-GCM-SHA256"]},
                 {"partners": ["new.tls.example"], "minimum_version": "TLSv1.3"}]
        self.begin(["tls-only"], **{"tls-only": {"partner_terms": terms}}).start()
        to = [f"x@{name}.tls.example" for name in ("key", "wrong", "cert", "two", "dane", "cipher", "new", "free")]
        self.assertEqual(self.send(self.client(), to, message())[0], 250)
        self.assertEqual(set(self.came(self.secure, 4)), {to[0], to[2], to[6], to[7]})
        for text in ("503 5.7.0 certificate of 127.0.0.1 not one of those pinned",
                     "503 5.7.0 127.0.0.1 is not authenticated by DANE",
                     "503 5.7.0 cipher not allowed TLS_"):
            proc.wait_until(lambda: text in " ".join(" ".join(self.reports(1)).split()), 60, text)
        said = b"".join(line for _, line in self.secure.lines).lower()
        for recipient in (to[1], to[3], to[4], to[5]):
            self.assertNotIn(f"<{recipient}>".encode(), said)

    def test_on_weak_defer(self):
        """It waits, over a kill as well, until the next hop has TLS."""
        self.begin(["tls-only"], **{"tls-only": {"partners": ["lab.example"], "on_weak": "defer"}}).start()
        self.assertEqual(self.send(self.client(), ["x@lab.example"], message())[0], 250)

        def row():
            rows = json.loads(self.server.ctl("--json", "queue", "list").stdout)
            return rows and rows[0]["state"] == "deferred" and rows[0]
        waits = proc.wait_until(row, 60, "it is deferred")
        self.assertIn("403 4.7.0 encryption too weak 0 less than 112", json.dumps(waits))
        self.server.kill_relay()
        self.server.wait_ready()
        proc.wait_until(row, 60, "it is deferred again")
        self.bare.tls = self.secure.tls
        self.assertEqual(self.came(self.bare, 1), {"x@lab.example": "clear"})
        self.assertEqual([secure for secure, line in self.bare.lines if line.startswith(b"MAIL")], [True])

    def test_on_weak_defer_of_what_is_wanted(self):
        """Also where TLS was chosen and nobody else is to be asked, or is left."""
        self.begin([{"selector": {"id": "wanting"}}, "tls-only"], wanting={"want": "sender"}, **{"tls-only": {
            "on_weak": "defer", "users": {"x@clinic.example": {"mode": "exclusive"}}}}).start()
        client = self.client()
        for sender, recipient in ((USER, "a@bare.example"), ("x@clinic.example", "b@bare.example")):
            self.assertEqual(self.send(client, [recipient], message(), sender)[0], 250)

        def rows():
            found = json.loads(self.server.ctl("--json", "queue", "list").stdout)
            return [row["state"] for row in found] == ["deferred"] * 2 and found
        self.assertEqual(json.dumps(proc.wait_until(rows, 60, "both wait")).count("403 4.7.0 encryption too weak"), 2)

    def test_s4_08_everyone(self):
        """An empty entry is everyone, and is warned about."""
        self.begin(["tls-only"], **{"tls-only": {"partners": [""]}})
        done = self.server.ctl("check")
        self.assertIn("partners[0]: everyone", done.stdout + done.stderr)
        self.server.start()
        client = self.client()
        self.assertEqual(self.send(client, ["x@any.example"], message())[0], 250)
        self.assertEqual(self.send(client, ["x@tls.example"], message())[0], 250)
        self.assertEqual(self.came(self.secure, 1), {"x@tls.example": "clear"})
        self.assertIn("x@any.example", self.reports(1)[0])

    def test_mistakes(self):
        for settings, says in (({"partners": ["a b"]}, 'tls-only.partners[0]: "a b" is neither address nor domain'),
                               ({"opt_out": {"header": "no colon"}},
                                "tls-only.opt_out.header: must be a field with its value")):
            self.begin(["tls-only"], **{"tls-only": settings})
            done = self.server.ctl("check", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(says, done.stdout + done.stderr)


class Wanted(ProtectionCase):
    PIPELINE = ["auth", "selector", "provider"]

    def prepare(self, **protection):
        self.begin(self.PIPELINE, {"plain": {"tls": "none", "auth": "off"},
                                   "submissions": {"tls": "implicit", "auth": "required"}},
                   selector={"rules": ["@f.example=fake"]}, protection=protection,
                   directory={"groups": {"doctors": [USER]}})

    def login(self, user):
        client = smtplib.SMTP_SSL("127.0.0.1", self.server.port("submissions"), timeout=60,
                                  context=ssl._create_unverified_context())
        self.addCleanup(client.close)
        client.login(user, PASSWORD)
        return client

    def rows(self, client, sender, rows):
        """Each with a recipient of its own, so that what came can be told apart."""
        base = len(self.bare.messages)
        for number, (_, text) in enumerate(rows):
            self.assertEqual(self.send(client, [f"r{base + number}@f.example"], text, sender)[0], 250)
        came = self.came(self.bare, base + len(rows))
        for number, (expected, text) in enumerate(rows):
            with self.subTest(text=text):
                self.assertEqual(came[f"r{base + number}@f.example"], expected)

    def test_asked(self):
        """T1: by a word of the subject, in any spelling, or by a field."""
        self.prepare(ask={"subject": "[secure]", "header": "X-Protect: yes"},
                     domains={"never.example": {"wanted": "never"}})
        self.server.start()
        self.rows(self.client(), USER, [
            ("clear", message("hello")), ("fake", message("[secure] hello")), ("fake", message("Re: hello [ SECURE ]")),
            ("fake", message("=?utf-8?b?W3NlY3VyZV0gaGVsbG8=?=")), ("clear", message("secure hello")),
            ("fake", message("hello", "X-Protect: yes")), ("fake", message("hello", "x-protect:YES ")),
            ("clear", message("hello", "X-Protect: yesterday")), ("clear", message("hello", "X-Protect-Me: yes"))])
        self.rows(self.client(), "x@never.example", [("clear", message("[secure] hello"))])

    def test_b_10_opt_out(self):
        """Who may, and only where the same message does not ask for protection; the rest is protected."""
        self.prepare(wanted="always", ask={"header": "X-Protect: yes"}, opt_out={
            "subject": "[plain]", "confirm": "no phi", "allowed_groups": ["doctors"]})
        other = "bo@clinic.example"
        for user in (USER, other):
            self.server.add_user(user, PASSWORD)
        self.server.start()
        self.rows(self.login(USER), USER, [
            ("fake", message("hello")), ("clear", message("[Plain] hello, no PHI")), ("clear", message("No phi [plain]")),
            ("fake", message("[plain] hello")), ("fake", message("Re: [plain] no phi, hello")),
            ("fake", message("Re: hello, no phi [plain]")), ("clear", message("[plain] Re: hello, no phi")),
            ("fake", message("hello, no phi [plain]", "In-Reply-To: <x@partner.example>")),
            ("fake", message("[plain] no phi", "X-Protect: yes"))])
        self.rows(self.login(other), other, [("fake", message("[plain] no phi"))])
        self.rows(self.client(), USER, [("fake", message("[plain] no phi"))])  # who did not log in is nobody
        # Refused while the client is there, but not of somebody whose message may yet opt out.
        self.assertEqual(self.send(self.login(other), ["x@g.example"], message(), other)[0], 550)
        client = self.login(USER)
        self.assertEqual(self.send(client, ["x@g.example"], message("[plain] no phi"), USER)[0], 250)
        code, text = self.send(client, ["x@g.example"], message(), USER)
        self.assertEqual((code, text[:5]), (550, b"5.7.1"))

    def test_s1_15_failure(self):
        """Bounce or send insecurely, by scope; nobody else of the message is concerned."""
        self.prepare(ask={"subject": "[secure]"}, users={"x@clinic.example": {"failure": "send-insecurely"}})
        done = self.server.ctl("check")
        self.assertIn("leaves without it where no method applies", done.stdout + done.stderr)
        self.server.start()
        client = self.client()
        both = ["a@f.example", "a@g.example"]
        self.assertEqual(self.send(client, both, message("[secure]"))[0], 250)
        self.assertEqual(self.came(self.bare, 1), {both[0]: "fake"})
        report, = self.reports(1)
        self.assertIn("Final-Recipient: rfc822; a@g.example", report)
        self.assertNotIn("Final-Recipient: rfc822; a@f.example", report)
        both = ["b@f.example", "b@g.example"]
        self.assertEqual(self.send(client, both, message("[secure]"), "x@clinic.example")[0], 250)
        self.assertEqual(self.came(self.bare, 3), {"a@f.example": "fake", both[0]: "fake", both[1]: "clear"})

    def test_mistakes(self):
        self.prepare(ask={"subject": " ", "header": ":x"}, opt_out={"allowed_groups": ["*"]})
        self.server.pipeline = ["protection", "auth"]
        self.server.write()
        done = self.server.ctl("check", check=False)
        self.assertEqual(done.returncode, 1)
        said = done.stdout + done.stderr
        self.assertIn("protection must be the last entry", said)
        self.server.pipeline = self.PIPELINE
        self.server.write()
        done = self.server.ctl("check", check=False)
        self.assertEqual(done.returncode, 1)
        for text in ("protection.ask.subject: is empty", "protection.ask.header: must be a field with its value",
                     "protection.opt_out.allowed_groups: there is no way to opt out"):
            self.assertIn(text, done.stdout + done.stderr)

    def test_set_while_it_runs(self):
        """The section is overridden as any other."""
        self.prepare(wanted="never")
        self.server.start()
        self.rows(self.client(), USER, [("clear", message())])
        self.server.ctl("settings", "set", "protection", "wanted", "always", "--user", USER)

        def protects():
            count = len(self.bare.messages)
            self.assertEqual(self.send(self.client(), [f"p{count}@f.example"], message(), USER)[0], 250)
            return self.came(self.bare, count + 1)[f"p{count}@f.example"] == "fake"
        proc.wait_until(protects, 60, "what is set holds")
