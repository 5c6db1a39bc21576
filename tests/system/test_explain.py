# SPDX-License-Identifier: Apache-2.0
"""posternctl explain and route: what would become of a message, without sending anything (SPEC P8)."""
import json
import os

from tests.lib.case import USER, RelayCase

MESSAGE = ("From: Ada <ada@clinic.example>\nTo: bo@f.example\nCc: cy@g.example\nSubject: hello\n\n"
           "the text\n")


class Explain(RelayCase):
    def setUp(self):
        super().setUp()
        self.stopped = self.relay({"plain": {"tls": "none", "auth": "off"}},
                                  routes=[{"when": {"recipient_domain": ["f.example"]}, "to": "smarthost",
                                           "host": "mx.f.example:2525", "tls": "verify"}, {"to": "discard"}],
                                  pipeline=["selector", "provider", {"taglines": {"id": "legal"}}],
                                  sections={"selector": {"want": "sender", "rules": ["f.example=fake"]},
                                            "legal": {"text": "Of the clinic.",
                                                      "users": {USER: {"text": "Of Ada."}}}})
        self.stopped.programs.modules += f":{self.builddir}/tests/modules/.libs"
        self.stopped.write()

    def write(self, text):
        path = os.path.join(self.directory, "mail.eml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def explain(self, *words, message=MESSAGE):
        done = self.stopped.ctl("--json", "explain", *words, self.write(message))
        return json.loads(done.stdout)

    def test_who_decided_what(self):
        rows = self.explain("--from", USER, "--user", USER, "--to", "bo@f.example", "--to", "cy@g.example")
        refused = [row for row in rows if row["recipient"] == "cy@g.example" and row["why"] and "550 5.7.1" in row["why"]]
        self.assertTrue(refused, rows)
        added = [row for row in rows if row["entry"] == "legal"]
        self.assertEqual((added[0]["verdict"], added[0]["why"]), ("pass", "added"))
        self.assertIn(USER, added[0]["scope"])
        chosen = [row for row in rows if row["entry"] == "selector" and row["recipient"] == "bo@f.example"]
        self.assertTrue(any("by rule" in (row["why"] or "") for row in chosen), rows)

    def test_the_envelope_comes_from_the_header(self):
        rows = self.explain()
        self.assertEqual({row["recipient"] for row in rows} - {None}, {"bo@f.example", "cy@g.example"})

    def test_nothing_is_kept(self):
        self.explain("--from", USER, "--to", "bo@f.example")
        spool = os.path.join(self.stopped.state, "spool")
        self.assertFalse(os.path.isdir(spool) and os.listdir(spool))
        self.assertFalse(self.mail.exists())

    def test_mistakes(self):
        for words, said in ((["--frm", USER], "frm"), (["--from", "nobody at all"], "nobody at all"),
                            (["--listener", "none"], "none")):
            done = self.stopped.ctl("explain", *words, self.write(MESSAGE), check=False)
            self.assertNotEqual(done.returncode, 0, words)
            self.assertIn(said, done.stderr)
        done = self.stopped.ctl("explain", "/nonexistent/mail.eml", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nonexistent/mail.eml", done.stderr)

    def test_route(self):
        row = json.loads(self.stopped.ctl("--json", "route", USER, "bo@f.example").stdout)[0]
        self.assertEqual(row["route"], "smarthost:mx.f.example:2525")
        row = json.loads(self.stopped.ctl("--json", "route", USER, "cy@g.example").stdout)[0]
        self.assertEqual(row["route"], "discard")
        self.assertEqual(self.stopped.ctl("route", USER, "nobody at all", check=False).returncode, 1)
