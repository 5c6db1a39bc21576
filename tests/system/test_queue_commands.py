# SPDX-License-Identifier: Apache-2.0
"""posternctl queue list, show, hold, release, retry, delete: each by filters, each answered from disk."""
import json
import smtplib

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.hosts import Hosts
from tests.lib.nexthop import NextHop, _Session

TEXT = "From: ada@clinic.example\r\nSubject: x\r\n\r\nhello\r\n"
ADA, BOB = "ada@clinic.example", "bob@clinic.example"


class Latin1(_Session):
    def say(self, text):
        self.wfile.write(text.encode("latin-1") + b"\r\n")


class QueueCase(RelayCase):
    """Mail to partner.example waits for a next hop that is down; mail to clinic.example comes back."""

    def setUp(self):
        super().setUp()
        self.port = proc.free_port()
        routes = [{"when": {"recipient_domain": ["clinic.example"]}, "to": "maildir", "path": str(self.mail)},
                  {"to": "smarthost", "host": f"127.0.0.1:{self.port}", "tls": "none"}]
        self.server = self.relay({"plain": {"tls": "none", "auth": "off"}}, routes,
                                 relay={"queue": {"retry_first": "1h", "retry_most": "1h"}}).start()

    def send(self, *recipients, sender=ADA, text=TEXT):
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            client.sendmail(sender, recipients, text)

    def queue(self, *words, check=True):
        done = self.server.ctl("--json", "queue", *words, check=check)
        return json.loads(done.stdout) if done.returncode == 0 else done

    def rows(self, *words):
        return self.queue("list", *words)

    def states(self, *words):
        return sorted((row["to"], row["state"]) for row in self.rows(*words))

    def change(self, *words):
        answer, = self.queue(*words)
        self.assertTrue(answer["durable"])
        self.assertNotIn("audit", answer)
        return answer

    def wait_states(self, *expected):
        proc.wait_until(lambda: self.states() == sorted(expected), 20, f"the queue is {expected}")

    def waiting(self, *recipients, **more):
        self.send(*recipients, **more)
        proc.wait_until(lambda: {"sending", "waiting"}.isdisjoint(state for _, state in self.states()), 20,
                        "all were tried")

    def hop(self):
        return self.enterContext(NextHop(port=self.port))


class Filters(QueueCase):
    def test_by_everything(self):
        self.waiting("b@partner.example", "c@other.example")
        self.waiting("d@partner.example", sender=BOB, text=TEXT + "x" * 5000 + "\r\n")
        everybody = {"b", "c", "d"}
        for words, expected in (
                ((), everybody), (("--sender", "bob@*"), {"d"}), (("--sender", "ADA@clinic.example"), {"b", "c"}),
                (("--recipient", "c@other.example"), {"c"}), (("--domain", "partner.example"), {"b", "d"}),
                (("--domain", "partner.example", "--sender", ADA), {"b"}), (("--older", "1h"), set()),
                (("--newer", "1h"), everybody), (("--larger", "1k"), {"d"}), (("--smaller=1k",), {"b", "c"}),
                (("--state", "deferred"), everybody), (("--state", "held"), set()),
                (("--route", f"smarthost:127.0.0.1:{self.port}"), everybody), (("--route", "maildir:*"), set()),
                (("--reply", "REFUSED"), everybody), (("--reply", "no such user"), set()),
                (("--client", "127.0.0.1"), everybody), (("--user", "*"), set()), (("--tag", "*"), set()),
                (("--attempts", "1"), everybody), (("--attempts", "2"), set()), (("--method", "none"), everybody)):
            with self.subTest(words=words):
                self.assertEqual({row["to"][0] for row in self.rows(*words)}, expected)

    def test_pages(self):
        for name in "abcde":
            self.waiting(f"{name}@partner.example")
        first = self.rows("--limit", "2")
        self.assertEqual([row["to"][0] for row in first], ["a", "b"])
        rest = self.rows("--limit", "9", "--after", first[-1]["item"])
        self.assertEqual([row["to"][0] for row in rest], ["c", "d", "e"])
        count, = self.rows("--count", "--domain", "partner.example")
        self.assertEqual(count, {"messages": 5, "recipients": 5})

    def test_mistakes(self):
        for words, reason in ((("list", "--sendr", "x"), 'did you mean "sender"?'),
                              (("list", "--state", "lost"), "is none of waiting"),
                              (("list", "--older", "soon"), "is not a duration"),
                              (("list", "--older"), "needs a value"),
                              (("hold", "--reason", "x"), "--all for every one"),
                              (("delete", "--all", "--then", "release"), "there is no filter --then"),
                              (("release", "nonsense!"), "is no id of a message"),
                              (("release", "0123456789ABC"), "nothing in the queue matches")):
            with self.subTest(words=words):
                done = self.server.ctl("queue", *words, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(reason, done.stderr)


class Changes(QueueCase):
    def test_hold_survives_kill_and_is_released(self):
        self.waiting("b@partner.example", "c@other.example")
        answer = self.change("hold", "--domain", "partner.example", "--reason", "legal asks")
        self.assertEqual((answer["changed"], answer["messages"]), (1, 1))
        row, = answer["recipients"]
        self.assertEqual((row["to"], row["state"], row["reason"]), ("b@partner.example", "held", "legal asks"))
        self.assertTrue(row["held_by"])
        self.server.kill_relay()
        self.server.wait_ready()
        self.wait_states(("b@partner.example", "held"), ("c@other.example", "deferred"))
        hop = self.hop()
        self.assertEqual(self.change("retry", "--all")["changed"], 1)
        hop.wait(1)
        self.wait_states(("b@partner.example", "held"))
        self.assertEqual([row["reason"] for row in self.rows("--held-by", "*", "--reason", "LEGAL")],
                         ["legal asks"])
        status, = json.loads(self.server.ctl("--json", "status").stdout)
        self.assertEqual(status["held_recipients"], 1)
        self.change("release", row["id"])
        hop.wait(2)
        self.assertEqual([recipients for _, recipients, _ in hop.messages],
                         [["<c@other.example>"], ["<b@partner.example>"]])
        self.wait_states()

    def test_hold_survives_a_restart(self):
        self.waiting("b@partner.example")
        self.change("hold", "--all", "--reason", "for good")
        self.server.stop()
        self.server.start()
        self.wait_states(("b@partner.example", "held"))
        self.assertEqual(self.rows()[0]["reason"], "for good")

    def test_delete_tells_nobody(self):
        self.waiting("b@partner.example", "c@other.example")
        answer = self.change("delete", "--recipient", "b@partner.example")
        self.assertEqual([row["state"] for row in answer["recipients"]], ["failed"])
        self.assertEqual(self.states(), [("c@other.example", "deferred")])
        answer = self.change("delete", "--all")
        self.assertEqual([row["state"] for row in answer["recipients"]], ["gone"])
        self.server.kill_relay()
        self.server.wait_ready()
        self.send("e@partner.example")
        self.wait_states(("e@partner.example", "deferred"))
        self.assertFalse((self.mail / "new").exists())
        self.assertEqual(self.server.log().count("relay event=deleted "), 2)

    def test_delete_with_report(self):
        self.waiting("b@partner.example")
        self.change("delete", "--bounce", "--sender", ADA)
        report, = self.delivered(1)
        self.assertIn(b"b@partner.example", report)
        self.assertIn(b"deleted by the administrator", report)
        self.wait_states()

    def test_time_of_a_hold_ends(self):
        for then, state in (("release", "deferred"), ("delete", None), ("bounce", None)):
            with self.subTest(then=then):
                self.waiting("b@partner.example")
                row, = self.change("hold", "--all", "--for", "1s", "--then", then)["recipients"]
                self.assertEqual(row["then"], then)
                self.wait_states(*([("b@partner.example", state)] if state else []))
                if state:
                    self.change("delete", "--all")
        self.delivered(1)

    def test_show_has_every_attempt(self):
        self.waiting("b@partner.example")
        identity = self.rows()[0]["id"]
        self.change("retry", identity)
        proc.wait_until(lambda: self.rows("--attempts", "2"), 20, "it was tried twice")
        answer, = self.queue("show", identity)
        row, = answer["recipients"]
        self.assertEqual((row["attempts"], row["client"]), (2, "127.0.0.1"))
        self.assertEqual(sum("=deferred " in line for line in answer["history"][identity]), 2)
        self.assertIn("b@partner.example", self.server.ctl("queue", "show", identity).stdout)

    def test_show_tells_how_the_next_hop_fares(self):
        """Back-off, connections and rate beside a message that waits; what is said of it outlives a restart."""
        self.server.sections = {"destinations": [{"connections": 7, "rate": {"messages": 50, "per": "1m"},
                                                  "back_off": {"first": "1h", "most": "1h"}}]}
        self.server.write()
        self.server.ctl("reload")
        self.waiting("b@partner.example")
        row, = self.queue("show", "--domain", "partner.example")[0]["recipients"]
        self.assertEqual(row["destination"], f"smarthost:127.0.0.1:{self.port}")
        self.assertGreater(row["blocked_until"], row["last_attempt"])
        self.assertIn("refused", row["blocked_because"])
        self.assertEqual((row["connections"], row["connections_most"], row["in_line"], row["rate"]),
                         (0, 7, 0, "50 messages in 60 s"))
        self.assertGreaterEqual(row["failures_in_a_row"], 1)
        before = {name: row[name] for name in ("attempts", "reply", "last_attempt", "due", "remote")}
        self.assertEqual(before["attempts"], 1)
        self.server.stop()
        self.server.start()
        self.wait_states(("b@partner.example", "deferred"))
        row, = self.queue("show", "--domain", "partner.example")[0]["recipients"]
        self.assertEqual({name: row[name] for name in before}, before)
        self.assertIsNone(row["destination"])   # nothing has gone there since

    def test_show_tells_what_all_loops_know(self):
        """Each loop has mail in line for the same next hop, which never greets: all of it is counted."""
        count = 12
        hosts = self.enterContext(Hosts(silent={"127.0.0.1"}))
        for _ in range(count):
            self.send("b@partner.example")
        self.wait_states(*[("b@partner.example", "deferred")] * count)
        self.server.stop()
        self.server.relay["loops"] = 4      # of which each gets some of what waits on disk
        self.server.routes[1]["host"] = f"127.0.0.1:{hosts.port}"
        self.server.write()
        self.server.start()
        self.wait_states(*[("b@partner.example", "deferred")] * count)
        self.change("retry", "--all")

        def in_line():
            rows = self.queue("show", "--domain", "partner.example")[0]["recipients"]
            return [row.get("in_line") for row in rows] == [count] * count
        proc.wait_until(in_line, 60, "all of it is in line, whichever loop is asked")

    def test_replies_that_are_not_utf_8(self):
        with NextHop(answers={"RCPT TO:<b@partner.example>": ["450 4.2.0 sp\xe4ter"] * 9}) as hop:
            hop.RequestHandlerClass = Latin1
            self.server.routes[-1]["host"] = f"127.0.0.1:{hop.port}"
            self.server.write()
            self.server.ctl("reload")
            self.waiting("b@partner.example")
            row, = self.rows()
            self.assertEqual(row["state"], "deferred")
            self.assertIn("450 4.2.0 sp", row["reply"])
            self.assertEqual(len(self.queue("show", "--domain", "partner.example")[0]["recipients"]), 1)

    def test_audit(self):
        self.waiting("b@partner.example")
        self.change("hold", "--domain", "partner.example", "--reason", "legal asks")
        self.change("release", "--all")
        rows = [row for row in json.loads(self.server.ctl("--json", "audit", "list").stdout)
                if row["action"].startswith("queue")]
        self.assertEqual([row["action"] for row in rows], ["queue hold", "queue release"])
        self.assertIn("--domain partner.example", rows[0]["scope"])
        self.assertEqual(rows[0]["object"], "legal asks")
