# SPDX-License-Identifier: Apache-2.0
"""Module address-book: books, entries, import and export, and which entry is used (S1-08 to S1-10, S1-14)."""
import json
import os
import pathlib

from tests.system.test_pki import PkiCase

ADA, BO = "ada@clinic.example", "bo@partner.example"
CARDS = pathlib.Path(__file__).resolve().parent.parent / "data" / "addressbook"


class AddressBook(PkiCase):
    def begin_books(self, **section):
        self.server = self.relay(
            {"plain": {"tls": "none", "auth": "off"}}, pipeline=["auth", "pki", "address-book"],
            sections={"directory": {"users": {ADA: {}}}, "address-book": section})

    def book(self, *arguments, stdin="", check=True):
        done = self.server.ctl("--json", "address-book", *arguments, stdin=stdin, check=check)
        return json.loads(done.stdout or "[]") if done.returncode == 0 else done.stderr

    def look_up(self):
        row, = self.book("look-up", ADA, BO)
        return row["method"], row["where"], row["not_used"]

    def test_order(self):
        """S1-08 to S1-10: the preferred book, subscriptions, else the default one; entries without key do not count."""
        self.begin_books()
        good = self.certificate("bo", BO)[0]
        other = self.certificate("eve", "eve@partner.example")[0]
        for name in ("contacts", "work", "first"):
            self.book("book", "create", ADA, name)
        self.assertEqual(self.look_up()[0], "none")
        self.book("entry", "add", "--certificate", good, ADA, "contacts", BO.upper())
        self.assertEqual(self.look_up()[:2], ("smime", 'book "contacts" (default)'))
        self.book("subscribe", ADA, "work")
        self.assertEqual(self.look_up()[0], "none", "S1-10: the default book is not asked")
        self.book("entry", "add", "--name", "Bo", ADA, "work", BO)
        self.book("subscribe", ADA, "contacts")
        method, where, why = self.look_up()
        self.assertEqual((method, where), ("smime", 'book "contacts" (subscribed)'), "S1-09")
        self.assertIn("has no key", why)
        self.book("preferred", ADA, "first")
        self.book("entry", "add", "--certificate", other, ADA, "first", BO)
        method, where, why = self.look_up()
        self.assertEqual(method, "smime")
        self.assertIn('book "first" (preferred): the certificate ', why)
        self.assertEqual([row["why"] for row in self.book("order", ADA)], ["preferred", "subscribed", "subscribed"])
        # A question: of the answer nothing is kept that could be read.
        self.book("entry", "add", "--question", "Which ward?", ADA, "first", BO, stdin="East Wing 7\n")
        self.assertIn("no entry of the pipeline provides escrow", self.look_up()[2])
        for path in pathlib.Path(self.server.state).rglob("*"):
            if path.is_file():
                self.assertNotIn(b"East Wing", path.read_bytes())

    def test_exchange(self):
        """What clients export is taken; what is exported comes back."""
        self.begin_books()
        for name in ("contacts", "again"):
            self.book("book", "create", ADA, name)
        for path in sorted(CARDS.glob("*.vcf")):
            self.book("import", "--vcard", ADA, "contacts", str(path))
        rows = {row["address"]: row["has"] for row in self.book("entry", "list", ADA, "contacts")}
        self.assertEqual(rows["jdoe@hotmail.com"], "smime")
        self.assertEqual(len(rows), 9)
        self.book("entry", "add", "--certificate", self.certificate("bo", BO)[0], ADA, "contacts", BO)
        before = self.book("entry", "list", ADA, "contacts")
        for kind, read in (("--vcard", "--vcard"), ("--vcard3", "--vcard"), ("--csv", "--csv")):
            path = os.path.join(self.directory, "export" + kind)
            done = self.server.ctl("address-book", "export", kind, ADA, "contacts", "-")
            pathlib.Path(path).write_text(done.stdout)
            self.book("import", read, ADA, "again", path)
            self.assertEqual(self.book("entry", "list", ADA, "again"), before, kind)
            self.book("book", "remove", ADA, "again")
            self.book("book", "create", ADA, "again")
        broken = os.path.join(self.directory, "broken.csv")
        pathlib.Path(broken).write_text("address,name\nx@y.example,X\nnobody,N\n")
        self.assertIn("line 3", self.book("import", "--csv", ADA, "again", broken, check=False))
        self.assertEqual(self.book("entry", "list", ADA, "again"), [])
