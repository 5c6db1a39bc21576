# SPDX-License-Identifier: Apache-2.0
"""posternctl explain and route: what would become of a message, without sending anything (SPEC P8)."""
import json
import os

from tests.lib import proc
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

    def test_limits_are_those_of_the_relay(self):
        def reply(message, *words):
            return [row["why"] for row in self.explain(*words, message=message) if row["step"] == "reply"]

        self.stopped.relay["limits"] = {"message_size": "64k", "header_size": "16k", "received_fields": 5,
                                        "line_length": 2000, "header_count": 20, "recipients": 2}
        self.stopped.write()
        for message, said in (
                (MESSAGE + "x" * 70 + "\n" + "text of a line\n" * 6000, "552 5.3.4 The message is larger than the limit"),
                ("X-Long: " + " \n more" * 4000 + "\n" + MESSAGE, "552 5.3.4 The header is larger than the limit"),
                ("X: y\n" * 20 + MESSAGE, "552 5.3.4 Too many header fields"),
                ("Received: by here\n" * 6 + MESSAGE, "554 5.4.6 Too many hops, this mail is looping"),
                (MESSAGE + "x" * 2001 + "\n", "554 5.6.0 A line of the message is too long")):
            self.assertEqual(reply(message, "--from", USER, "--to", "bo@f.example"), [said])
        self.assertIn("250 2.0.0 Ok: queued as", reply("Received: by here\n" * 5 + MESSAGE, "--to", "bo@f.example")[0])
        rows = self.explain("--to", "a@f.example", "--to", "b@f.example", "--to", "A@f.example", "--to", "b@f.example")
        self.assertEqual([row["why"] for row in rows if row["verdict"] == "refused"], ["452 4.5.3 Too many recipients"] * 2)

    def test_bare_newlines_are_seen(self):
        path = os.path.join(self.directory, "bare.eml")
        with open(path, "wb") as file:
            file.write(MESSAGE.replace("\n", "\r\n").encode() + b"bare\nline\r\n")
        rows = json.loads(self.stopped.ctl("--json", "explain", "--to", "bo@f.example", path).stdout)
        self.assertIn("550 5.6.0 Bare CR or LF", rows[-1]["why"])

    def test_output_has_the_bytes(self):
        folder = os.path.join(self.directory, "out")
        rows = self.explain("--from", USER, "--user", USER, "--to", "bo@f.example", "--to", "dy@f.example",
                            "--client", "192.0.2.7", "--output", folder)
        files = {row["recipient"]: row["file"] for row in rows if row["step"] == "result"}
        self.assertEqual({os.path.dirname(name) for name in files.values()}, {folder})
        self.assertEqual(len(set(files.values())), 2)  # a Bcc recipient's is his own
        self.assertEqual(sorted(os.listdir(folder)), sorted({os.path.basename(name) for name in files.values()}))
        for row in rows:
            if row["step"] != "result":
                self.assertIsNone(row["file"])
                continue
            with open(row["file"], "rb") as file:
                data = file.read()
            self.assertIn(f"{len(data)} bytes", row["why"])
            self.assertTrue(data.startswith(b"X-Postern-Method: fake (protection was wanted)\r\nReceived: from localhost "
                                            b"([192.0.2.7])"), data[:200])
            self.assertIn(b"with ESMTPA id ", data)
            self.assertIn(f"\r\nX-Group: {row['recipient']}(".encode(), data)
        again = self.stopped.ctl("explain", "--to", "bo@f.example", "--from", USER, "--output", folder,
                                 self.write(MESSAGE), check=False)
        self.assertEqual(again.returncode, 1)
        self.assertIn("File exists", again.stderr)

    def routes(self, *words):
        return json.loads(self.stopped.ctl("--json", "route", *words).stdout)

    def test_route(self):
        row, = self.routes(USER, "bo@f.example")
        self.assertEqual((row["route"], row["verdict"]), ("smarthost:mx.f.example:2525", "taken"))
        self.assertEqual(row["why"], "recipient_domain is f.example")
        self.assertRegex(row["place"], r"\.yaml:\d+$")
        first, second = self.routes(USER, "cy@g.example")
        self.assertEqual((first["verdict"], first["why"]), ("passed", "recipient_domain is g.example; wanted: f.example"))
        self.assertEqual((second["route"], second["verdict"]), ("discard", "taken"))
        self.assertEqual(self.stopped.ctl("route", USER, "nobody at all", check=False).returncode, 1)

    def test_route_by_every_condition(self):
        self.stopped.sections["directory"] = {"accounts": {"clinic": {"domains": ["clinic.example"]}},
                                              "groups": {"doctors": [USER]}}
        conditions = {"user": [USER], "listener": ["other"], "tag": ["phi", "x"], "network": ["192.0.2.0/24"],
                      "larger_than": "10k", "group": ["doctors"], "account": ["clinic"], "sender": ["cy@h.example"],
                      "sender_domain": ["*.i.example"], "recipient": ["bo@f.example"]}
        self.stopped.listeners["other"] = {"tls": "none", "auth": "off"}
        self.stopped.ports["other"] = proc.free_port()
        for key, wanted in conditions.items():
            self.stopped.routes = [{"when": {key: wanted}, "to": "discard"}]
            self.stopped.write()
            words = {"user": ["--user", USER], "listener": ["--listener", "other"], "tag": ["--tag", "a", "--tag", "phi"],
                     "network": ["--client", "192.0.2.9"], "larger_than": ["--size", "11k"], "group": ["--user", USER],
                     "account": ["--user", "any@clinic.example"]}.get(key, [])
            sender = {"sender": "cy@h.example", "sender_domain": "cy@a.i.example"}.get(key, "dy@j.example")
            fits = self.routes(*words, sender, "bo@f.example")
            self.assertEqual([row["verdict"] for row in fits], ["taken"], (key, fits))
            self.assertTrue(fits[0]["why"].startswith(f"{key} is "), fits)
            misses = self.routes("dy@j.example", "al@k.example")
            self.assertEqual([row["verdict"] for row in misses], ["passed", "refused"], (key, misses))
            self.assertIn("; wanted: ", misses[0]["why"])
            self.assertIn("550 5.4.4", misses[1]["why"])

    def test_route_mistakes(self):
        for words, said in ((["--size", "lots"], '--size: "lots" is not a size'), (["--listener", "none"], "none"),
                            (["--client", "somewhere"], "somewhere"), (["--user", "no body"], "no body")):
            done = self.stopped.ctl("route", *words, USER, "bo@f.example", check=False)
            self.assertEqual(done.returncode, 1, words)
            self.assertIn(said, done.stderr)
        self.assertEqual(self.stopped.ctl("route", "--tga", "x", USER, "bo@f.example", check=False).returncode, 2)
