# SPDX-License-Identifier: Apache-2.0
"""Module pki: private keys, sealed and handed out to nobody else, and mail that is signed with them."""
import json
import os
import pathlib
import secrets
import smtplib
import sqlite3

from tests.lib import smime
from tests.lib.case import PASSWORD, RelayCase
from tests.lib.postern import File

ADA, BO = "ada@clinic.example", "bo@clinic.example"
PHRASE = "a phrase for a key"


class PrivateCase(RelayCase):
    def begin(self, recovery=False, protection=False, **section):
        self.authority = smime.Authority(os.path.join(self.directory, "ca"))
        self.out = os.path.join(self.directory, "for-recovery")  # posternctl works as the relay's user
        os.mkdir(self.out)
        os.chmod(self.out, 0o777)
        self.keys = os.path.join(self.directory, "keys")
        self.write_keys("2026-11")
        if recovery:
            section["recovery"] = self.recovery = self.authority.certify("recovery", "r@clinic.example")[0]
        self.section = {"seal_with": File(self.keys), **section}
        self.server = self.relay(
            {"plain": {"tls": "none", "auth": "offered", "auth_without_tls": True}}, pipeline=["auth", "pki"] + ["protection"] * protection,
            sections={**({"protection": {"wanted": "always"}} if protection else {}), "directory": {"accounts": {"us": {"domains": ["clinic.example"]}},
                                    "users": {ADA: {"aliases": ["ada.l@clinic.example"]}, BO: {}}},
                      "pki": self.section})
        for user in (ADA, BO):
            self.server.add_user(user, PASSWORD)

    def write_keys(self, *names):
        old = dict(line.split() for line in open(self.keys)) if os.path.exists(self.keys) else {}
        with open(self.keys, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.writelines(f"{name} {old.get(name) or secrets.token_hex(32)}\n" for name in names)

    def private(self, *arguments, **more):
        done = self.server.ctl("--json", "pki", "private", *map(str, arguments), **more)
        return json.loads(done.stdout or "[]") if done.returncode == 0 else done.stderr

    def audited(self):
        rows = json.loads(self.server.ctl("--json", "audit", "list").stdout)
        return [(row["action"], row["object"], row["after"]) for row in rows if row["action"].startswith("pki private")]

    def everything(self):
        """All bytes of the state directory and of what was said."""
        files = [path for path in pathlib.Path(self.server.state).rglob("*") if path.is_file()]
        return b"".join(path.read_bytes() for path in files)



class Private(PrivateCase):
    def test_no_private_keys_unless_asked_for(self):
        """S1-23: without keys to seal them with, none is taken, and nobody can have one."""
        self.begin()
        del self.section["seal_with"]
        self.server.write()
        ada = self.authority.certify("ada", ADA)
        self.assertIn("no private keys are kept here", self.private("import", ADA, ada[2], check=False))
        self.assertIn("no private keys are kept here",
                      self.private("export", ADA, os.path.join(self.out, "out"), check=False))

    def test_kept_sealed(self):
        """S1-23, escrow of keys off, the default: what is kept opens for signing alone and is handed out to nobody."""
        self.begin()
        ada = self.authority.certify("ada", ADA)
        phrase = os.path.join(self.directory, "phrase")
        pathlib.Path(phrase).write_text(PHRASE + "\n")
        box, locked = self.authority.path("ada.p12"), self.authority.path("locked.pem")
        smime.run("openssl", "pkcs12", "-export", "-in", ada[0], "-inkey", ada[1], "-certfile", self.authority.pem,
                  "-passout", f"pass:{PHRASE}", "-out", box)
        smime.run("openssl", "pkey", "-in", ada[1], "-aes256", "-passout", f"pass:{PHRASE}", "-out", locked)
        os.chmod(box, 0o644)
        with open(locked, "a") as file:
            file.write(pathlib.Path(ada[0]).read_text())
        os.chmod(locked, 0o644)
        for path, arguments in ((box, ["--pass-file", phrase]), (locked, ["--pass-file", phrase]), (ada[2], [])):
            row, = self.private("import", *arguments, "Ada@Clinic.example", path)
            self.assertEqual(row["name"], ADA)
        for path, arguments, name, words in (
                (box, [], ADA, "name a file of it with --pass-file"), (locked, [], ADA, "name a file of it"),
                (box, ["--pass-file", ada[0]], ADA, "the pass phrase is not that of the file"),
                (locked, ["--pass-file", ada[0]], ADA, "the pass phrase is wrong"),
                (ada[0], [], ADA, "there is no private key in it"), (ada[1], [], ADA, "no certificate beside the key"),
                (ada[2], [], BO, "cannot sign for bo@clinic.example: "), (ada[2], [], "not a domain", "neither a mail"),
                (self.authority.certify("old", BO, end="20260101000000Z", start="20250101000000Z")[2], [], BO,
                 "expired on 2026-01-01")):
            self.assertIn(words, self.private("import", *arguments, name, path, check=False))
        self.assertEqual([row["name"] for row in self.private("list")], [ADA])
        der = smime.run("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", ada[1], "-outform", "DER")
        state = self.everything()
        self.assertNotIn(der[-600:-400], state)
        self.assertNotIn(PHRASE.encode(), state)
        out = os.path.join(self.out, "out")
        self.assertIn("keys are not handed out here", self.private("export", ADA, out, check=False))
        self.assertFalse(os.path.exists(out))
        self.assertEqual(self.audited(), [("pki private import", f"pki private key of {ADA}",
                                           self.private("list")[0]["fingerprint"])] * 3)
        self.server.ctl("user", "remove", ADA)
        self.assertEqual(self.private("list"), [])

    def test_rotation(self):
        """After `reseal` the old key can go; a row that was put under another name opens for nobody."""
        self.begin(recovery=True)
        self.private("import", ADA, self.authority.certify("ada", ADA)[2])
        self.private("import", "clinic.example", self.authority.certify("gate", kind="ec")[2])
        self.write_keys("2026-12", "2026-11")
        self.assertEqual(self.private("reseal"), [{"resealed": "2"}])
        self.write_keys("2026-12")
        self.assertEqual(self.private("reseal"), [{"resealed": "0"}])
        self.private("export", ADA, os.path.join(self.out, "one"))
        with sqlite3.connect(os.path.join(self.server.state, "postern.db"), timeout=20) as db:
            db.execute("UPDATE pki_private SET name = ? WHERE name = ?", (BO, ADA))
        db.close()
        self.assertIn("cannot be opened", self.private("export", BO, os.path.join(self.out, "two"), check=False))
        self.assertFalse(os.path.exists(os.path.join(self.out, "two")))
        self.private("import", ADA, "-", stdin=pathlib.Path(self.authority.path("ada.both")).read_text())
        self.write_keys("2027-01")
        self.assertIn("under a key that is not configured", self.private("reseal", check=False))

    def test_recovery(self):
        """S1-23, escrow of keys on: whoever has the recovery certificate's key opens what was exported, and each export is
        in the audit log."""
        self.begin(recovery=True)
        ada = self.authority.certify("ada", ADA)
        self.private("import", ADA, ada[2])
        out = os.path.join(self.out, "out")
        self.private("export", ADA, out)
        self.assertEqual(os.stat(out).st_mode & 0o777, 0o600)
        clear = smime.run("openssl", "cms", "-decrypt", "-inform", "PEM", "-in", out, "-recip", self.recovery,
                          "-inkey", self.authority.path("recovery.key"))
        self.assertEqual(smime.run("openssl", "pkey", "-pubout", input=clear),
                         smime.run("openssl", "pkey", "-pubout", "-in", ada[1]))
        self.assertNotIn(b"PRIVATE KEY", pathlib.Path(out).read_bytes())
        self.assertIn("File exists", self.private("export", ADA, out, check=False))
        said = [row for row in self.audited() if row[0].endswith("export")]
        self.assertEqual([row[1] for row in said], [f"pki private key of {ADA}"] * 2)
        self.assertRegex(said[0][2], "^exported to [0-9a-f]{64}$")
        self.assertNotEqual(self.private("list")[0]["exported"], "-")


class Signing(PrivateCase):
    def begin(self, **section):
        super().begin(sign=["smime"], **section)
        self.certificates = {ADA: self.authority.certify("ada", ADA), "clinic.example":
                             self.authority.certify("gate", "gate@clinic.example", kind="ec")}
        for name, paths in self.certificates.items():
            self.private("import", name, paths[2])
        self.server.start()

    def send(self, mail, user=ADA, sender=None):
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            if user:
                client.login(user, PASSWORD)
            client.ehlo()
            return client.sendmail(sender or user or ADA, ["to@somewhere.example"], mail, ["BODY=8BITMIME"])

    def signed(self, mail, **how):
        """What arrives of it."""
        self.count = getattr(self, "count", 0) + 1
        self.send(mail, **how)
        return self.delivered(self.count)[-1]

    def test_opened_by_others(self):
        """STANDARDS 8551 item 3: OpenSSL, gpgsm and NSS verify it; micalg, names, seven bits; the domain's key where the
        sender has none."""
        self.begin()
        for number, (user, head, body, there) in enumerate((
                (ADA, "", b"plain\r\n", b"plain\r\n"),
                (BO, "", b"no end of line", b"no end of line"),
                (ADA, "MIME-Version: 1.0\r\nContent-Type: text/plain;\r\n charset=utf-8\r\n"
                 "Content-Transfer-Encoding: 8bit\r\n", b"caf\xc3\xa9\r\n\r\n--dashes\r\n", b"caf=C3=A9\r\n"),
                (ADA, "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n",
                 b"--b\r\n\r\none\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n"
                 b"Content-Transfer-Encoding: 8bit\r\n\r\ntw\xc3\xb6  \r\n\r\n--b\r\nContent-Type: text/x\r\n\r\n"
                 + 3000 * b"seven bits only \r\n" + b"--b--\r\n", b"\r\n\r\none\r\n--b\r\n"))):
            mail = self.signed(f"From: {user}\r\nSubject: {number}\r\n{head}\r\n".encode() + body, user=user)
            content, _ = smime.taken_apart(mail)
            self.assertIn(there, content)
            self.assertTrue(mail.isascii())
            self.assertRegex(mail, b'Content-Type: multipart/signed; protocol="application/pkcs7-signature";\r\n '
                                   b"micalg=sha-256; boundary=")
            self.assertEqual(mail.count(b"MIME-Version:"), 1)
            self.assertIn(b'\r\nContent-Type: application/pkcs7-signature; name="smime.p7s"\r\n', mail)
            self.assertEqual(smime.verify_openssl(mail, self.authority.pem), content)
            smime.verify_nss(mail, self.authority.pem)
            smime.verify_gpgsm(mail, self.authority.pem)
            with self.assertRaises(AssertionError):
                smime.verify_openssl(mail.replace(there[:5], there[:4] + b"#", 1), self.authority.pem)

    def test_who_is_signed_for(self):
        """Nobody is signed for by somebody else, and nothing twice."""
        self.begin()
        text = "Subject: x\r\n\r\nbody\r\n"
        for user, header in ((BO, f"From: {ADA}\r\n"), (ADA, f"From: {BO}\r\n"), (None, f"From: {ADA}\r\n"),
                             (ADA, f"From: {ADA}, {BO}\r\n"), (ADA, f"From: {ADA}\r\nFrom: {BO}\r\n"),
                             (ADA, "From: ada@elsewhere.example\r\n"),
                             (ADA, f"From: {ADA}\r\nContent-Type: multipart/signed; boundary=b\r\n"),
                             (ADA, f"From: {ADA}\r\nContent-Type:\r\n application/PKCS7-mime\r\n"),
                             (ADA, f"From: {ADA}\r\nContent-Type: multipart/encrypted\r\n"),
                             (ADA, f"From: {ADA}\r\nContent-Type: text/x\r\nContent-Type: text/y\r\n")):
            mail = self.signed(header + text, user=user)
            self.assertNotIn(b"pkcs7-signature", mail, header)
            self.assertTrue(mail.endswith(b"\r\n\r\nbody\r\n"))
        mail = self.signed(f"From: ada.l@clinic.example\r\n{text}")
        self.assertIn(b"CN = gate", smime.run("openssl", "pkcs7", "-inform", "DER", "-print_certs", "-noout",
                                              input=smime.taken_apart(mail)[1]))

    def test_signed_then_encrypted(self):
        """STANDARDS 8551 item 7: what is encrypted is the signed message; whoever opens it verifies it."""
        self.begin(protection=True)
        to = self.authority.certify("to", "to@somewhere.example")
        self.server.ctl("pki", "import", to[0])
        mail = self.signed(f"From: {ADA}\r\nTo: to@somewhere.example\r\nSubject: the subject\r\n"
                           "Content-Type: text/plain\r\n\r\nthe text\r\n")
        self.assertNotIn(b"the subject", mail)
        self.assertNotIn(b"multipart/signed", mail)
        path = os.path.join(self.directory, "mail")
        pathlib.Path(path).write_bytes(mail)
        inner = smime.run("openssl", "cms", "-decrypt", "-in", path, "-recip", to[0], "-inkey", to[1])
        self.assertIn(b"Subject: the subject", inner)
        self.assertIn(b"the text", smime.verify_openssl(inner, self.authority.pem))
        smime.verify_nss(inner, self.authority.pem)

    def test_required(self):
        """What cannot be signed is refused where it must be: another's address, eight bits without a charset."""
        self.begin(sign_required=True)
        for mail, words in ((f"From: {BO}\r\n\r\nx\r\n".encode(), b"From is not the user's"),
                            (f"From: {ADA}\r\nSubject: \xe9\r\n\r\nx\r\n".encode("latin1"), b"has to be signed")):
            with self.assertRaises(smtplib.SMTPDataError) as refused:
                self.send(mail)
            self.assertEqual(refused.exception.smtp_code, 550)
            self.assertIn(words, refused.exception.smtp_error)
        self.write_keys("other")
        self.server.ctl("reload")
        with self.assertRaises(smtplib.SMTPDataError) as refused:
            self.send(f"From: {ADA}\r\n\r\nx\r\n")
        self.assertEqual(refused.exception.smtp_code, 451)
