# SPDX-License-Identifier: Apache-2.0
"""Module address-book: which book and which entry protects mail, what is read and written of books, a directory server
as a book (SPEC T2 3, T7; S1-08 to S1-10)."""
import base64
import email
import email.policy
import json
import os
import pathlib
import re

from tests.lib import openpgp, proc, slapd, smime
from tests.lib.case import TREE
from tests.system.test_protection import SECRET, ProtectionCase, message

ADA, EVE, ALICE = "ada@clinic.example", "eve@clinic.example", "alice@openpgp.example"
MESSAGE = message("a quiet word", f"To: {ALICE}", "Date: Tue, 24 Nov 2026 10:00:00 +0000",
                  "Message-ID: <1@clinic.example>", "MIME-Version: 1.0", "Content-Type: text/plain")
CARDS = TREE / "tests" / "data" / "addressbook"
CHOICE = r"^question answer1\$[\w-]{64} "


class BookCase(ProtectionCase):
    def books(self, pipeline=("address-book", "pki", "portal"), **section):
        self.begin(list(pipeline), protection={"wanted": "always"}, **{"address-book": section}, directory={
            "attribute_by": ["user", "sender"], "accounts": {"clinic": {"domains": ["clinic.example"]}},
            "users": {ADA: {}, EVE: {}}})
        return self.server

    def book(self, *arguments, check=True, stdin=""):
        done = self.server.ctl("--json", "address-book", *map(str, arguments), check=check, stdin=stdin)
        return json.loads(done.stdout or "[]") if check else done.stderr

    def write(self, name, text):
        path = pathlib.Path(self.directory, name)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def make(self, owner, name, rows=""):
        """A book, and what of CSV is in it."""
        self.book("book", "create", owner, name)
        if rows:
            self.book("import", "--csv", owner, name, self.write("rows.csv", rows))

    def look_up(self, address, user=ADA):
        row, = self.book("look-up", user, address)
        return row["method"], row["where"]

    def certificate(self, name, address):
        paths = [os.path.join(self.directory, f"{name}.{kind}") for kind in ("pem", "key")]
        smime.run("openssl", "req", "-x509", "-newkey", *smime.KINDS["ec"], "-nodes", "-days", "30", "-subj",
                  f"/CN={name}", "-addext", f"subjectAltName=email:{address}", "-out", paths[0], "-keyout", paths[1])
        os.chmod(paths[1], 0o644)
        return paths

    def copies(self, count):
        return {recipients[0].strip("<>"): data for _, recipients, data in self.bare.wait(count, 60)}

    def opened(self, data, paths):
        mail = self.write("mail", data)
        self.assertNotIn(SECRET.encode(), data)
        return smime.run("openssl", "cms", "-decrypt", "-in", mail, "-recip", paths[0], "-inkey", paths[1]).decode()


class Books(BookCase):
    def test_s1_09_s1_10_order(self):
        """The preferred book, the subscribed ones in order, the default one where there is none; an entry without
        a key is passed over."""
        self.books().start()
        for owner, name, people in (("clinic", "one", "a"), ("clinic", "two", "ab"), (ADA, "contacts", "abc")):
            self.make(owner, name, "address,question,answer\n" + "".join(
                f"{one.upper()}@f.example,{name}?,Answer of {name}\n" for one in people))
        self.book("entry", "add", "--name", "Bo", "clinic", "one", "b@f.example")

        def found():
            return ["".join(self.look_up(f"{one}@F.example")) for one in "abc"]

        def where(*books):
            return [f'escrowbook "{book}" ({why})' if book else "none" for book, why in books]
        one, two, none = ("one", "subscribed"), ("two", "subscribed"), ("", "")
        default, preferred = ("contacts", "default"), ("two", "preferred")
        self.assertEqual(found(), where(default, default, default))
        self.book("order", ADA, "one", "two")
        self.assertEqual(found(), where(one, two, none))
        row, = self.book("look-up", ADA, "b@f.example")
        self.assertIn('book "one" (subscribed): the entry has no key and no question', row["not_used"])
        client = self.client()
        self.assertEqual(self.send(client, ["a@f.example", "b@f.example"], MESSAGE, ADA)[0], 250)
        self.assertEqual(self.send(client, ["c@f.example"], MESSAGE, ADA)[0], 550)
        self.assertEqual(self.send(client, ["a@f.example"], MESSAGE, "nobody@clinic.example")[0], 550)
        for one_, data in self.copies(2).items():
            said = re.search(r"X-Choice: (\S+) (.*)\r", re.sub(r"\r\n[ \t]+", " ", data.decode()))
            self.assertEqual(said[1], one_)
            self.assertRegex(said[2], CHOICE + {"a": "one", "b": "two"}[one_[0]] + r"\?$")
        self.book("order", ADA, "two", "one")
        self.assertEqual(found(), where(two, two, none))
        self.book("order", ADA, "one")
        rows = self.book("preferred", ADA, "two")
        self.assertEqual([(row["book"], row["whose"], row["why"]) for row in rows],
                         [("two", "account", "preferred"), ("one", "account", "subscribed")])
        self.assertEqual(found(), where(preferred, preferred, none))
        self.book("unsubscribe", ADA, "one")
        self.assertEqual(found(), where(preferred, preferred, default))
        self.book("preferred", ADA, "--none")
        self.book("subscribe", ADA, "two")
        self.assertEqual(found(), where(two, two, none))
        # Another user sees the account's books, and nobody's own.
        self.assertIn("there is no book", self.book("subscribe", EVE, "contacts", check=False))
        self.assertEqual(self.look_up("a@f.example", EVE), ("none", ""))
        rows = json.loads(self.server.ctl("--json", "audit", "list").stdout)
        said = [(row["object"], row["before"], row["after"]) for row in rows if row["action"].startswith("address-book")]
        self.assertIn(("address-book subscriptions", "two, one", "one"), said)
        self.assertIn(('address-book clinic "one" b@f.example', None, "an address"), said)
        self.assertNotIn("Answer of", json.dumps(rows))
        for path in pathlib.Path(self.server.state).rglob("*"):  # nor is it anywhere else
            if path.is_file():
                self.assertNotIn(b"answer of", path.read_bytes().lower())

    def test_settings(self):
        """Books by settings, and settings that cannot be."""
        self.books(preferred="two", subscribed=["one", "gone"], users={EVE: {"subscribed": ["two"], "preferred": "one"}})
        for name in ("one", "two"):
            self.make("clinic", name)
        self.assertEqual([row["book"] for row in self.book("order", ADA)], ["two", "one"])
        self.assertEqual([row["book"] for row in self.book("order", EVE)], ["one", "two"])
        self.books(default_book="-x", methods=[], ldap={"p": {"directory": {"uris": ["ldap://127.0.0.1"]},
                                                              "filter": "(mail=ada@clinic.example)"}})
        said = self.server.ctl("check", check=False)
        for text in ("address-book.default_book: the name of a book begins with a hyphen",
                     "address-book.methods: is empty", "address-book.ldap.p.filter: without ?1"):
            self.assertIn(text, said.stdout + said.stderr)

    def test_s1_08_three_kinds(self):
        """One message to a certificate, to an OpenPGP key and by a question; a key that cannot be used is passed over
        for the next entry, and where there is no other the reason is said."""
        self.books().start()
        self.make("clinic", "first")
        self.make("clinic", "second")
        self.book("order", ADA, "first", "second")
        bo, cy, other = (self.certificate(name, f"{name}@f.example") for name in ("bo", "cy", "other"))
        self.book("entry", "add", "--certificate", bo[0], "clinic", "first", "Bo@f.example")
        self.book("entry", "add", "--pgp", openpgp.KEYS / "alice-public.asc", "clinic", "first", ALICE)
        row, = self.book("entry", "add", "--question", "Which ward?", "clinic", "first", "q@f.example",
                         stdin="The Fifth\n")
        self.assertEqual((row["has"], row["question"]), ("question", "Which ward?"))
        for address in ("cy@f.example", "dee@f.example"):
            self.book("entry", "add", "--certificate", other[0], "clinic", "first", address)
        self.book("entry", "add", "--certificate", cy[0], "clinic", "second", "cy@f.example")
        self.book("entry", "add", "--pgp", openpgp.KEYS / "expired.asc", "clinic", "first", "old@openpgp.example")
        for kind, path in (("--pgp", openpgp.KEYS / "alice-secret.asc"), ("--certificate", bo[1])):
            self.assertIn("that is a private key", self.book("entry", "add", kind, path, "clinic", "first",
                                                             "bo@f.example", check=False))
        client = self.client()
        people = ["BO@f.example", ALICE, "q@f.example", "cy@f.example"]
        self.assertEqual(self.send(client, people, MESSAGE, ADA)[0], 250)
        self.assertEqual(self.send(client, ["dee@f.example"], MESSAGE, ADA)[0], 550)
        self.assertEqual(self.send(client, ["old@openpgp.example"], MESSAGE, ADA)[0], 550)
        for address, words in (("dee@f.example", "other@f.example"), ("old@openpgp.example", "the OpenPGP key ")):
            row, = self.book("look-up", ADA, address)
            self.assertEqual(row["method"], "none")
            self.assertIn(words, row["not_used"])
        came = {one.lower(): data for one, data in self.copies(4).items()}
        self.assertIn(SECRET, self.opened(came["bo@f.example"], bo))
        self.assertIn(SECRET, self.opened(came["cy@f.example"], cy))
        self.assertRegex(re.sub(r"\r\n[ \t]+", " ", came["q@f.example"].decode()),
                         r"X-Choice: q@f.example question answer1\$[\w-]{64} Which ward\?\r")
        self.assertNotIn(SECRET.encode(), came[ALICE])
        armour = email.message_from_bytes(came[ALICE], policy=email.policy.SMTP).get_payload()[1].get_payload().encode()
        with openpgp.Gpg() as gpg:
            gpg.load("alice-secret.asc")
            self.assertIn(SECRET.encode(), gpg.open(armour))

    def test_methods_nobody_provides(self):
        """What no entry of the pipeline provides is passed over, and said, before it can fail."""
        self.books(["address-book", "portal"])
        bo = self.certificate("bo", "bo@f.example")
        self.make(ADA, "contacts", "address,question,answer\nbo@f.example,Who?,Me\n")
        self.book("entry", "add", "--certificate", bo[0], ADA, "contacts", "bo@f.example")
        row, = self.book("look-up", ADA, "bo@f.example")
        self.assertEqual(row["method"], "escrow")
        self.assertIn("no entry of the pipeline provides smime", row["not_used"])


class Exchange(BookCase):
    def rows(self, name):
        return {row["address"]: (row["name"], row["has"]) for row in self.book("entry", "list", "clinic", name)}

    def test_round_trips(self):
        """vCard 4 and 3 and CSV: what is exported comes back the same, but for questions, which stay."""
        self.books()
        bo = self.certificate("bo", "bo@f.example")
        self.make("clinic", "one", 'address,name,question,answer\nbo@f.example,"Müller; B\\o, Dr.",,\n'
                                   "=cmd@f.example,=1+1,,\nnone@f.example,,,\nq@f.example,漢字,Which ward?,The Fifth\n")
        self.book("entry", "add", "--certificate", bo[0], "--pgp", openpgp.KEYS / "alice-public.asc", "clinic", "one",
                  "bo@f.example")
        out = os.path.join(self.directory, "exported")
        os.mkdir(out)
        os.chmod(out, 0o777)  # posternctl writes as the relay's user
        whole = self.rows("one")
        self.assertEqual(whole, {"bo@f.example": ("Müller; B\\o, Dr.", "smime pgp"), "=cmd@f.example": ("=1+1", ""),
                                 "none@f.example": ("", ""),
                                 "q@f.example": ("漢字", "question")})
        for form, back in (("--vcard", "--vcard"), ("--vcard3", "--vcard"), ("--csv", "--csv")):
            path, again = (os.path.join(out, f"{name}{form}") for name in ("out", "again"))
            self.book("export", form, "clinic", "one", path)
            text = pathlib.Path(path).read_text()
            self.assertNotIn("answer1$", text)
            self.assertIn("File exists", self.book("export", form, "clinic", "one", path, check=False))
            self.assertEqual(self.server.ctl("address-book", "export", form, "clinic", "one", "-").stdout.replace(
                "\r\n", "\n"), text)
            self.book("import", back, "clinic", "one", path)  # its own: nothing changes
            self.assertEqual(self.rows("one"), whole)
            name = f"copy{form}"
            self.make("clinic", name)
            rows = self.book("import", back, "clinic", name, path)
            self.assertIn("comes without its answer", rows[-1]["problem"])
            self.assertEqual(self.rows(name), {**whole, "q@f.example": ("漢字", "")})
            self.book("export", form, "clinic", name, again)
            self.assertEqual([line for line in pathlib.Path(again).read_text().splitlines() if "QUESTION" not in line],
                             [line.replace(",Which ward?", ",") for line in text.splitlines() if "QUESTION" not in line])

    def test_others_files(self):
        """Cards of real clients; a file with an error anywhere changes nothing; a book has an end."""
        self.books(most_entries=20)
        self.make("clinic", "one")
        for path in sorted(CARDS.glob("*.vcf")):
            self.book("import", "--vcard", "clinic", "one", path)
        came = self.rows("one")
        self.assertEqual(came["jdoe@hotmail.com"], ("John Doe III", "smime"))
        self.assertEqual(came["Frank_Dawson@Lotus.com"][0], "Frank Dawson")
        self.assertEqual(len(came), 9)
        good = "".join(f"new{number}@f.example\n" for number in range(11))
        for form, text, words in (
                ("--csv", "address\n" + good + "no address\n", 'line 13: "no address" is no address'),
                ("--csv", "address,pgp\nx@f.example,QUJD\n", "line 2: pgp: "),
                ("--csv", "address,answer\nx@f.example,Me\n", "an answer without question"),
                ("--csv", "mail\nx@f.example\n", 'there is no column "mail"'),
                ("--vcard", "BEGIN:VCARD\nEMAIL:x@f.example\nEND:VCARD\nBEGIN:VCARD\n", "line 4: this card has no END"),
                ("--csv", "address\n" + good + "last@f.example\n", "the book would have 21 entries")):
            self.assertIn(words, self.book("import", form, "clinic", "one", self.write("in", text), check=False))
            self.assertEqual(len(self.rows("one")), 9)
        self.book("import", "--csv", "clinic", "one", self.write("in", "address\n" + good))
        self.assertIn("as many as may be", self.book("entry", "add", "clinic", "one", "last@f.example", check=False))
        self.book("entry", "remove", "clinic", "one", "NEW1@f.example")
        self.assertIn("is not in the book", self.book("entry", "show", "clinic", "one", "new1@f.example", check=False))

    def test_goes_with_its_user(self):
        """What is a user's goes with the user; a book that goes takes subscriptions with it."""
        self.books()
        self.server.ctl("user", "add", "bob@clinic.example")
        self.make("bob@clinic.example", "contacts", "address\nx@f.example\n")
        self.make("clinic", "shared")
        self.book("subscribe", "bob@clinic.example", "shared")
        self.book("book", "remove", "clinic", "shared")
        self.assertEqual([row["why"] for row in self.book("order", "bob@clinic.example")], ["default"])
        for arguments, words in ((("book", "create", "nobody", "x"), "there is no account"),
                                 (("book", "create", "bob@clinic.example", "contacts"), "has a book \"contacts\" already"),
                                 (("book", "create", "clinic", "a\nb"), "has a control character"),
                                 (("entry", "add", "clinic", "gone", "x@f.example"), 'has no book "gone"')):
            self.assertIn(words, self.book(*arguments, check=False))
        self.server.ctl("user", "remove", "bob@clinic.example")
        self.assertEqual(self.book("book", "list"), [])


class Directory(BookCase):
    def test_a_directory_server(self):
        """T7: LDAP as a book; one that does not answer is never one without an entry, unless settings say so."""
        bo = self.certificate("bo", "bo@f.example")
        der = smime.run("openssl", "x509", "-in", bo[0], "-outform", "DER")
        bundle = smime.run("openssl", "crl2pkcs7", "-nocrl", "-certfile", bo[0], "-outform", "DER")
        key = (openpgp.KEYS / "alice-public.asc").read_bytes()
        people = "".join(slapd.person(name, mail=[mail], **{f"{attribute}:": [base64.b64encode(value).decode()]})
                         for name, mail, attribute, value in (
                             ("Bo", "bo@f.example", "userCertificate;binary", der),
                             ("Bob", "b.o@f.example", "userSMIMECertificate", bundle),
                             ("Alice", ALICE, "description", key),
                             ("Odd", "odd@f.example", "description", b"not a key")))
        try:
            server = slapd.Slapd(os.path.join(self.directory, "slapd"), self.builddir, people)
        except proc.CannotRun as reason:
            self.skipTest(str(reason))
        self.enterContext(server)

        def ldap(**more):
            return {"ldap": {"people": {"directory": {"uris": [server.uri], "starttls": False, "base": slapd.SUFFIX},
                                        "pgp": ["description"], **more}}}
        self.books(subscribed=["people", "behind"], users={EVE: ldap(on_unreachable="skip")}, **ldap())
        self.make("clinic", "behind", "address,question,answer\nodd@f.example,Who?,Me\nbo@f.example,Who?,Me\n")
        self.server.start()
        found = {one: self.look_up(one) for one in ("bo@f.example", "b.o@f.example", ALICE, "odd@f.example")}
        self.assertEqual(found, {
            "bo@f.example": ("smime", 'book "people" (subscribed)'), "b.o@f.example": ("none", ""),
            ALICE: ("pgp", 'book "people" (subscribed)'), "odd@f.example": ("escrow", 'book "behind" (subscribed)')})
        row, = self.book("look-up", ADA, "b.o@f.example")
        self.assertIn("bo@f.example", row["not_used"])
        client = self.client()
        self.assertEqual(self.send(client, ["bo@f.example"], MESSAGE, ADA)[0], 250)
        self.assertIn(SECRET, self.opened(self.copies(1)["bo@f.example"], bo))
        server.stop()
        code, text = self.send(client, ["bo@f.example"], MESSAGE, ADA)
        self.assertEqual((code, text.split(b" ")[0]), (451, b"4.4.3"))
        self.assertEqual(self.look_up("bo@f.example"), ("deferred", ""))
        self.assertEqual(self.look_up("bo@f.example", EVE), ("escrow", 'book "behind" (subscribed)'))
        self.assertEqual(self.send(client, ["bo@f.example"], MESSAGE, EVE)[0], 250)
        self.assertIn("selection waits: book", self.server.log())
