# SPDX-License-Identifier: Apache-2.0
"""Module pki: whether a recipient's certificate is revoked, by lists and by responders (STANDARDS 8551 item 5)."""
import json
import os
import smtplib

from tests.lib import smime
from tests.lib.case import RelayCase
from tests.lib.responder import Responder

BO, CY = "bo@partner.example", "cy@partner.example"


class Revocation(RelayCase):
    def setUp(self):
        super().setUp()
        self.authority = smime.Authority(os.path.join(self.directory, "ca"))
        self.responder = self.enterContext(Responder())
        self.responder.authority = self.authority

    def begin(self, **section):
        self.server = self.relay(
            {"plain": {"tls": "none", "auth": "off"}}, pipeline=["auth", "pki", "protection"],
            sections={"pki": {"trust": self.authority.pem, **section},
                      "protection": {"wanted": "always"}})
        return self.server

    def person(self, name, address, **which):
        paths = self.authority.certify(name, address, more=self.responder.extensions(**which))
        self.server.ctl("pki", "import", paths[0])
        return paths

    def send(self, recipient):
        """The reply to its data, and what stands in the log about it."""
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            client.ehlo()
            client.mail("ada@clinic.example")
            code, text = client.rcpt(recipient)
            if code == 250:
                code, text = client.data("From: ada@clinic.example\r\nSubject: x\r\n\r\nbody\r\n")
        return code, text.decode()

    def judged(self, address):
        done = self.server.ctl("--json", "pki", "check", address, check=False)
        return json.loads(done.stdout)[0]["result"]

    def test_responder(self):
        """OCSP: good, revoked, and one that cannot be asked, which defers and is never "good"; an answer is kept."""
        self.begin(revocation="ocsp")
        for name, address in (("bo", BO), ("cy", CY)):
            paths = self.person(name, address)
        self.server.start()
        for _ in range(3):
            self.assertEqual(self.send(BO)[0], 250)
        self.assertEqual(self.responder.count("/ocsp"), 1)
        self.assertEqual(self.responder.count("/crl"), 0)
        self.authority.revoke(paths[0])
        code, text = self.send(CY)
        self.assertEqual(code, 550, text)
        self.assertIn("is revoked", self.judged(CY))
        self.assertIn("is revoked", self.server.log())
        for mode in ("error", "garbage"):
            self.responder.mode = mode
            name = f"{mode}@partner.example"
            self.person(mode, name)
            self.assertEqual(self.send(name)[0], 451)
            asked = self.responder.count("/ocsp")
            self.assertEqual(self.send(name)[0], 451)  # at once: it has failed a moment ago
            self.assertEqual(self.responder.count("/ocsp"), asked)
            self.assertIn("may be revoked or not", self.judged(name))
        self.assertEqual(self.send(BO)[0], 250)
        self.responder.mode = "answer"
        self.responder.authority = smime.Authority(os.path.join(self.directory, "other"), "root")
        self.responder.authority.certify("any", "any@partner.example")
        self.person("forged", "forged@partner.example")
        self.assertEqual(self.send("forged@partner.example")[0], 451)

    def test_lists(self):
        """CRL: by address and in a file; one of somebody else, one that has ended and none defer, unless that is allowed."""
        self.begin(revocation="crl")
        bo, cy = self.person("bo", BO), self.person("cy", CY, ocsp=False)
        self.person("mute", "mute@partner.example", ocsp=False, crl=False)
        self.authority.revoke(cy[0])
        self.server.start()
        self.assertEqual(self.send(BO)[0], 250)
        self.assertEqual(self.send(CY)[0], 550)
        self.assertEqual(self.responder.count("/crl"), 1)
        self.assertEqual(self.send("mute@partner.example")[0], 451)
        self.assertIn("names nobody who could be asked", self.judged("mute@partner.example"))
        self.responder.mode = "error"
        listed = os.path.join(self.directory, "listed.pem")
        self.server.sections["pki"]["crl_files"] = [listed]
        self.server.write()
        stranger = smime.Authority(os.path.join(self.directory, "other"), "stranger")
        stranger.certify("any", "any@partner.example")
        for path, words in ((stranger.crl(), "may be revoked or not"),
                            (self.authority.crl("old.pem", "-crl_lastupdate", "20240101000000Z", "-crl_nextupdate",
                                                "20240201000000Z"), "may be revoked or not"),
                            (self.authority.crl("new.pem"), "usable")):
            with open(path, "rb") as source, open(listed, "wb") as target:
                target.write(source.read())
            self.assertIn(words, self.judged(BO))
        self.assertIn("is revoked", self.judged(CY))
        self.authority.revoke(bo[0])
        self.authority.crl("listed.new")
        os.replace(self.authority.path("listed.new"), listed)
        self.assertIn("is revoked", self.judged(BO))
        self.server.ctl("reload")
        self.assertEqual(self.send(BO)[0], 550)
        os.unlink(listed)
        self.server.sections["pki"].update(revocation_required=False, crl_files=[])
        self.server.write()
        self.assertEqual(self.judged("mute@partner.example"), "usable")
        del self.server.sections["pki"]["trust"]
        self.server.write()
        done = self.server.ctl("check", check=False)
        self.assertIn("pki.revocation: needs `trust`", done.stdout + done.stderr)
