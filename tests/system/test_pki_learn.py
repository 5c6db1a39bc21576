# SPDX-License-Identifier: Apache-2.0
"""Module pki: certificates learnt from signed mail that passes (S4-14)."""
import json
import os
import re
import smtplib
import sqlite3

from tests.lib import proc, smime
from tests.lib.case import PASSWORD, TREE, RelayCase

DATA = TREE / "tests" / "data" / "smime"
ALICE, BOB, CARL = "alice@example.com", "bob@example.com", "carl@example.com"


class Learning(RelayCase):
    def begin(self, **section):
        self.server = self.relay(
            {"plain": {"tls": "none", "auth": "offered", "auth_without_tls": True}}, pipeline=["auth", "pki"],
            sections={"directory": {"accounts": {"us": {"domains": ["example.com"]}},
                                    "users": {ALICE: {}, BOB: {}, CARL: {}}}, "pki": section})
        for user in (ALICE, BOB, CARL):
            self.server.add_user(user, PASSWORD)
        self.server.start()

    def send(self, mail, user=ALICE):
        mail = re.sub(rb"\r?\n", b"\r\n", mail)
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            if user:
                client.login(user, PASSWORD)
            client.sendmail(user or ALICE, ["to@elsewhere.example"], mail)

    def rows(self, query="SELECT address, source, fingerprint FROM pki_keys ORDER BY added, fingerprint"):
        with sqlite3.connect(f"file:{self.server.state}/postern.db?mode=ro", uri=True, timeout=20) as db:
            found = db.execute(query).fetchall()
        db.close()
        return found

    def settled(self):
        """What came before has been looked at: a mail behind it, of somebody new, was learnt from."""
        self.sent = getattr(self, "sent", 0) + 1
        address = f"probe{self.sent}@example.com"
        self.server.add_user(address, PASSWORD)
        paths = self.authority.certify(f"probe{self.sent}", address)
        self.send(self.signed(paths, address), user=address)
        proc.wait_until(lambda: any(row[0] == address for row in self.rows()), 20, f"{address} is learnt")
        return [row for row in self.rows() if not row[0].startswith("probe")]

    def signed(self, paths, sender, *more):
        body = b"Content-Type: text/plain\r\n\r\nsigned\r\n"
        mail = smime.run("openssl", "cms", "-sign", "-signer", paths[0], "-inkey", paths[1], "-crlfeol", *more, input=body)
        return f"From: {sender}\r\nTo: to@elsewhere.example\r\nSubject: x\r\n".encode() + mail

    def test_from_whom(self):
        """S4-14: only what its author has signed, over this content, and only by mail of the author's own; the
        capabilities come along."""
        self.authority = smime.Authority(os.path.join(self.directory, "ca"))
        self.begin(learn="owners")
        good = (DATA / "alice.dsig.SHA256.multipart.eml").read_bytes()
        for name in ("alice.dsig.SHA256.multipart.bad.eml", "alice.dsig.SHA256.multipart.mismatch-econtent.eml",
                     "alice.env.eml"):
            self.send((DATA / name).read_bytes())
        self.send(good.replace(b"test message", b"forged message"))
        self.send(good.replace(b"From: Alice@", b"From: Bob@"), user=BOB)
        self.send(good, user=BOB)
        self.send(good, user=None)
        self.send(good.replace(b"From: Alice@", b"From: Bob@example.com, Alice@"))
        self.send(good.replace(b"MIIDZD", b"MIIDZE", 1).replace(b"MIAG", b"MIIG", 1))
        carl = self.authority.certify("carl", CARL)
        self.send(self.signed(carl, CARL, "-md", "sha1"), user=CARL)
        self.send(self.signed(self.authority.certify("late", CARL, start="20240101000000Z", end="20250101000000Z"), CARL),
                  user=CARL)
        self.send(self.signed(self.authority.certify("servers", CARL, more=["extendedKeyUsage=serverAuth"]), CARL),
                  user=CARL)
        self.assertEqual(self.settled(), [])
        self.send(good)
        self.send(good)
        self.send((DATA / "alice.sig.SHA256.opaque.eml").read_bytes())
        self.send(self.signed(carl, "Carl@example.com"), user=CARL)
        found = self.settled()
        self.assertEqual(sorted(row[:2] for row in found), [(ALICE, "learnt"), (CARL, "learnt")])
        declared, material = self.rows(f"SELECT declared, material FROM pki_keys WHERE address = '{CARL}'")[0]
        self.assertIn(bytes.fromhex("60864801650304012a"), declared)  # AES-256-CBC
        self.assertEqual(material[:2], b"\x30\x82")
        shown, = json.loads(self.server.ctl("--json", "pki", "show", CARL).stdout)
        self.assertEqual((shown["source"], shown["result"]), ("learnt", "usable"))

    def test_bounds(self):
        """Four of an address, the oldest goes; so many in all; and never anything where somebody has imported one."""
        self.authority = smime.Authority(os.path.join(self.directory, "ca"))
        self.begin(learn="anybody", trust=self.authority.pem, learn_most=7)
        stranger = smime.Authority(os.path.join(self.directory, "other"), "stranger")
        self.send(self.signed(stranger.certify("stranger-bob", BOB), BOB), user=None)
        prints = []
        for number in range(5):
            paths = self.authority.certify(f"bob{number}", BOB)
            prints.append(smime.run("openssl", "x509", "-in", paths[0], "-noout", "-fingerprint", "-sha256").decode()
                          .partition("=")[2].strip().replace(":", "").lower())
            self.send(self.signed(paths, BOB), user=None)
            proc.wait_until(lambda: prints[-1] in [row[2] for row in self.rows()], 20, "it is learnt")
        self.assertEqual(len(self.settled()), 4)
        self.assertIn(prints[4], [row[2] for row in self.rows()])
        carl = self.authority.certify("carl", CARL)
        self.server.ctl("pki", "import", carl[0])
        self.send(self.signed(self.authority.certify("carl2", CARL), CARL), user=CARL)
        self.assertEqual([row[1] for row in self.settled() if row[0] == CARL], ["import"])
        self.send(self.signed(self.authority.certify("x1", "x1@example.com"), "x1@example.com"), user=None)
        proc.wait_until(lambda: "x1@example.com" in [row[0] for row in self.rows()], 20, "the seventh")
        self.send(self.signed(self.authority.certify("x2", "x2@example.com"), "x2@example.com"), user=None)
        proc.wait_until(lambda: "learn_most" in self.server.log(), 20, "the log says that there is no room")
        self.assertNotIn("x2@example.com", [row[0] for row in self.rows()])
        self.server.sections["pki"] = {"learn": "owners", "sign_for": "account"}
        self.server.write()
        done = self.server.ctl("check", check=False)
        self.assertIn("pki.learn: \"owners\" together with", done.stdout + done.stderr)
        self.server.sections["pki"] = {"learn": "anybody"}
        self.server.write()
        done = self.server.ctl("check", check=False)
        self.assertIn("needs `trust`", done.stdout + done.stderr)
