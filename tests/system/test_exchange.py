# SPDX-License-Identifier: Apache-2.0
"""posternctl ... export and import: what the database has of the directory, as CSV."""
import json
import os

from tests.system.test_directory import CLINIC, DirectoryCase

FILES = {
    "account": "account,licences,paid,plan\nlab,3,no,\n",
    "domain": "domain,account\nLab.Example,lab\nm\u00fcnchen.example,lab\n",
    "user": "\ufeffphone,address,name\r\n+49 30 1,ADA@lab.example,\"King, \"\"Ada\"\"\"\r\n'=1,bo@lab.example,'=cmd\r\n",
    "group": "group,member\nnurses,\nnurses,ada@lab.example\n",
    "address": "address,who,as\ninfo@lab.example,group:nurses,delegated\na@lab.example,ada@lab.example,alias\n",
}


class Exchange(DirectoryCase):
    def setUp(self):
        super().setUp()
        self.stopped = self.directory_relay({"plain": {"tls": "none"}}, {"accounts": {"clinic": CLINIC}})

    def take(self, kind, text, *flags, check=True):
        path = os.path.join(self.directory, f"{kind}.csv")
        with open(path, "w", newline="") as file:
            file.write(text)
        return self.stopped.ctl("--json", kind, "import", *flags, path, check=check)

    def audited(self):
        return len(json.loads(self.stopped.ctl("--json", "audit", "list").stdout))

    def test_there_and_back(self):
        """What is exported changes nothing when it is imported; a dry run changes nothing at all."""
        rows = 0
        for kind, text in FILES.items():
            tried = json.loads(self.take(kind, text, "--dry-run").stdout)
            self.assertEqual(self.audited(), rows)
            done = json.loads(self.take(kind, text).stdout)
            self.assertEqual(tried, done)
            rows += len(done) + 1
            self.assertEqual(self.audited(), rows)
            exported = self.stopped.ctl(kind, "export").stdout
            self.assertEqual(json.loads(self.take(kind, exported).stdout), [], exported)
            self.assertEqual(self.audited(), rows)
        users = self.stopped.ctl("user", "export").stdout
        self.assertIn("ada@lab.example,yes,,\"King, \"\"Ada\"\"\",,'+49 30 1\n", users)
        self.assertIn("bo@lab.example,yes,,'=cmd,,'=1\n", users)
        shown = json.loads(self.stopped.ctl("--json", "user", "show", "bo@lab.example").stdout)[0]
        self.assertEqual((shown["account"], shown["name"], shown["phone"]), ("lab", "=cmd", "=1"))
        self.assertIn("xn--mnchen-3ya.example,lab\n", self.stopped.ctl("domain", "export").stdout)
        cleared = json.loads(self.take("user", "address,phone,enabled\nbo@lab.example,,no\n").stdout)
        self.assertEqual([(row["object"], row["before"], row["after"]) for row in cleared],
                         [("user", "enabled", "disabled"), ("phone", "=1", None)])

    def test_all_or_nothing(self):
        """Every mistake with its place, and nothing is changed; user 11 of 10 is the one that is named (S0-19)."""
        self.take("account", FILES["account"])
        self.take("domain", FILES["domain"])
        before = self.audited()
        for kind, text, wrong in (
                ("user", "address,enabled\na@lab.example,maybe\nno address,yes\n",
                 ['2:15: "maybe" is neither yes nor no', '3:1: "no address" is not a mail address']),
                ("user", "address\n" + "".join(f"u{n}@lab.example\n" for n in range(5)),
                 ["5:1: all licences of the account lab are taken (3)", "6:1: all licences"]),
                ("user", "address\n" + "".join(f"u{n}@lab.example\n" for n in (0, 1, 0, 1, 2, 3)),
                 ["7:1: all licences of the account lab are taken (3)"]),
                ("user", "address,account\na@lab.example,none\n", ['2:15: there is no account "none"']),
                ("user", "address,adress\n", ['1:9: "adress" is no column', "address, enabled, account, name"]),
                ("user", "name\nx\n", ['1:1: the column "address" is missing']),
                ("user", "address;name\n", ['1:1: "address;name" is no column', "separated by commas"]),
                ("user", "address,name\na@lab.example\n", ["2:1: 1 cells, and the first line names 2"]),
                ("user", "address,name\na@lab.example,\"x\n", ["2:15: the quote here has no end"]),
                ("user", "", ["1:1: the file is empty"]),
                ("domain", "domain,account\nclinic.example,lab\n",
                 ["2:1: clinic.example is a domain of the account clinic already"]),
                ("account", "account,licences\nlab,many\n", ['2:5: "many" is not a number of licences']),
                ("address", "address,who,as\na@lab.example,nobody@lab.example,alias\n",
                 ['2:15: there is no user "nobody@lab.example"']),
                ("group", "group,member\nof fice,\nx,y\n", ['2:1: "of fice" is not a name', '3:3: "y" is not'])):
            refused = self.take(kind, text, check=False)
            self.assertEqual(refused.returncode, 1, text)
            self.assertEqual(refused.stderr.count(":1: all licences"), sum(":1: all" in each for each in wrong), text)
            for each in wrong:
                self.assertIn(each, refused.stderr)
            self.assertIn("nothing was changed", refused.stderr)
        self.assertEqual(self.audited(), before)
        self.assertEqual(self.stopped.ctl("user", "export").stdout, "address,enabled,account,name,title,phone\n")
        piped = self.stopped.ctl("user", "import", "-", stdin="address\nu1@lab.example\n")
        self.assertIn("1 change made", piped.stderr)
