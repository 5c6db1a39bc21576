# SPDX-License-Identifier: Apache-2.0
"""Module pki: what `posternctl pki` keeps and refuses."""
import json
import os
import subprocess

from tests.lib.case import RelayCase

ADA, BO = "ada@clinic.example", "bo@partner.example"


class PkiCase(RelayCase):
    def certificate(self, name, address, *more, days=30):
        """A self-signed certificate of a person with its key: their paths."""
        paths = [os.path.join(self.directory, f"{name}.{kind}") for kind in ("pem", "key")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", str(days), "-subj", f"/CN={name}", "-addext", f"subjectAltName=email:{address}", *more,
                        "-out", paths[0], "-keyout", paths[1]], check=True, stderr=subprocess.DEVNULL)
        return paths

    def begin(self, **section):
        self.server = self.relay({"plain": {"tls": "none", "auth": "off"}}, pipeline=["auth", "pki"],
                                 sections={"directory": {"users": {ADA: {}}}, "pki": section})
        return self.server

    def pki(self, *arguments, check=True):
        done = self.server.ctl("--json", "pki", *arguments, check=check)
        return json.loads(done.stdout or "[]"), done


class Commands(PkiCase):
    def test_keys_come_and_go(self):
        """C53: what is stored and what is not is said; each change is a row of the audit log."""
        self.begin()
        ada, bo = self.certificate("ada", "Ada@clinic.example"), self.certificate("bo", BO)
        bundle = os.path.join(self.directory, "all.p7b")
        subprocess.run(["openssl", "crl2pkcs7", "-nocrl", "-certfile", ada[0], "-certfile", bo[0], "-out", bundle],
                       check=True)
        rows, _ = self.pki("import", bundle)
        self.assertEqual([(row["address"], row["result"]) for row in rows], [(ADA, "stored"), (BO, "stored")])
        prints = {row["address"]: row["fingerprint"] for row in rows}
        rows, _ = self.pki("list")
        self.assertEqual({row["address"]: row["fingerprint"] for row in rows}, prints)
        row, = self.pki("show", "ADA@clinic.example")[0]
        self.assertEqual((row["result"], row["subject"]), ("usable", "/CN=ada"))
        self.pki("remove", BO, prints[BO][:8].upper())
        self.assertEqual([row["address"] for row in self.pki("check")[0]], [ADA])
        rows = json.loads(self.server.ctl("--json", "audit", "list").stdout)
        said = [(row["action"], row["object"]) for row in rows if row["action"].startswith("pki")]
        self.assertEqual(said, [("pki import", f"pki smime {ADA} {prints[ADA]}"),
                                ("pki import", f"pki smime {BO} {prints[BO]}"),
                                ("pki remove", f"pki smime {BO} {prints[BO]}")])

    def test_what_cannot_be_used_is_not_stored(self):
        """C53: a reason for each certificate."""
        self.begin()
        for name, more, words in (
                ("servers", ["-addext", "extendedKeyUsage=serverAuth"], "is not for mail"),
                ("signer", ["-addext", "keyUsage=digitalSignature"], "is not for encryption")):
            path = self.certificate(name, BO, *more)[0]
            done = self.pki("import", path, check=False)[1]
            self.assertNotEqual(done.returncode, 0)
            self.assertRegex(done.stderr, f"nothing of it was stored: {BO}: [0-9a-f]{{12}}...: .*{words}")
        broken = os.path.join(self.directory, "broken")
        with open(broken, "wb") as file:
            file.write(b"\x01" + os.urandom(4999))     # with the first bit set it might be OpenPGP
        for path, words in ((broken, "neither PEM nor DER"), (self.directory, "cannot read"),
                            (os.path.join(self.directory, "none"), "cannot open")):
            done = self.pki("import", path, check=False)[1]
            self.assertIn(words, done.stderr)
        self.assertEqual(self.pki("list")[0], [])

    def test_trust(self):
        """Only what leads to an authority of the file; a file that is none is refused with its place."""
        root = self.certificate("root", "ca@clinic.example")[0]
        self.begin(trust=root)
        done = self.pki("import", self.certificate("bo", BO)[0], check=False)[1]
        self.assertIn("does not lead to a trusted authority", done.stderr)
        self.begin(trust=os.path.join(self.directory, "none"))
        done = self.server.ctl("check", check=False)
        self.assertIn("pki.trust: ", done.stdout + done.stderr)
        self.assertIn("No such file", done.stdout + done.stderr)
