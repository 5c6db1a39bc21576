# SPDX-License-Identifier: Apache-2.0
"""Limits on the wire, a test for each line of the checklist, by its number (S0-16..S0-18, S2-01..S2-14, S2-17)."""
import email
import email.policy
import json
import os
import socket
import threading

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.nexthop import NextHop

PLAIN = {"tls": "none", "auth": "off", "networks": ["127.0.0.0/8"]}
ADA, BO, EVE = "ada@clinic.example", "bo@clinic.example", "eve@sub.clinic.test"

USER = b"550 5.4.5 Daily SMTP relay limit exceeded for user.\r\n"
CUSTOMER = b"550 5.7.1 Daily SMTP relay limit exceeded for customer.\r\n"
PEAK = b"450 4.2.1 Peak SMTP relay limit exceeded for customer.\r\n"


class Client:
    """A session, byte for byte."""

    def __init__(self, port, source="127.0.0.1", helo="client.example"):
        self.socket = socket.create_connection(("127.0.0.1", port), 60, source_address=(source, 0))
        self.file = self.socket.makefile("rb")
        self.reply()
        self.ask(f"EHLO {helo}")

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        self.file.close()
        self.socket.close()

    def reply(self):
        while True:
            line = self.file.readline()
            if not line:
                raise EOFError
            if line[3:4] != b"-":
                return line

    def ask(self, *lines):
        """Pipelined; the reply to the last one."""
        self.socket.sendall("".join(line + "\r\n" for line in lines).encode())
        return [self.reply() for _ in lines][-1]

    def message(self, sender, *recipients):
        """The first refusal, else the reply to the message."""
        self.socket.sendall(b"".join([b"MAIL FROM:<%s>\r\n" % sender.encode()]
                                     + [b"RCPT TO:<%s>\r\n" % to.encode() for to in recipients]))
        replies = [self.reply() for _ in range(1 + len(recipients))]
        refused = [reply for reply in replies if reply[:1] != b"2"]
        if refused:
            self.ask("RSET")
            return refused[0]
        self.ask("DATA")
        return self.text()

    def text(self):
        self.socket.sendall(b"Subject: x\r\n\r\ntext\r\n.\r\n")
        return self.reply()


class LimitsCase(RelayCase):
    def start(self, clinic=None, by=("user", "network"), pipeline=("limits",), deny=(), **limits):
        clinic = dict({"domains": ["clinic.example", "clinic.test"], "networks": [{"range": "127.0.0.0/24"}]},
                      **(clinic or {}))
        directory = {"accounts": {"clinic": clinic}, "attribute_by": list(by)}
        self.server = self.relay({"plain": PLAIN}, [{"to": "discard"}], pipeline=list(pipeline),
                                 sections={"directory": directory, "limits": limits,
                                           **({"recipient-restrictions": {"deny": list(deny)}} if deny else {})})
        return self.server.start()

    def client(self, **more):
        return Client(self.server.port("plain"), **more)

    def shown(self, name):
        """Of a user or an account: counter -> row."""
        rows = json.loads(self.server.ctl("--json", "limits", "show", name).stdout)
        return {row["counter"]: row for row in rows if name in (row.get("user"), row.get("account"))}

    def used(self, name):
        return {counter: int(row["used"]) for counter, row in self.shown(name).items()}

    def wait_used(self, name, **counters):
        """Until the journal has so much: a second behind."""
        want = {counter.replace("_", " "): count for counter, count in counters.items()}
        proc.wait_until(lambda: want.items() <= self.used(name).items(), 20, f"{name} has {want}")

    def passes(self, sender):
        """A session of its own: relays have a limit of errors for each."""
        with self.client() as client:
            return client.message(sender, "to@partner.example").startswith(b"250 ")

    def accepted(self, reply):
        self.assertTrue(reply.startswith(b"250 "), reply)


class Users(LimitsCase):
    def test_messages(self):
        """S2-01, S2-03, D1: at MAIL; what is not accepted does not count, RSET gives back."""
        self.start(user={"messages": 3})
        with self.client() as client, self.client() as other:
            self.accepted(client.message(ADA, "to@partner.example"))
            client.ask("MAIL FROM:<ada@clinic.example>", "RCPT TO:<a@partner.example>", "RSET")
            self.accepted(client.message(ADA, "to@partner.example"))
            # What is under way counts as well: sessions side by side do not overshoot.
            self.accepted(client.ask("MAIL FROM:<ada@CLINIC.example>"))
            self.assertEqual(other.ask("MAIL FROM:<ada@clinic.example>"), USER)
            self.accepted(client.ask("RSET"))
            self.accepted(other.message(ADA, "to@partner.example"))
            self.assertEqual(client.message(ADA, "to@partner.example"), USER)
            self.accepted(client.message(BO, "to@partner.example"))
        self.wait_used(ADA, messages=3, unique_recipients=1)

    def test_case(self):
        """S2-01: a user is the same in any spelling of the name, on the wire and in commands."""
        self.start(user={"messages": 1})
        with self.client() as client:
            self.accepted(client.message(ADA, "to@partner.example"))
            for spelling in ("ADA@clinic.example", "aDa@Clinic.Example"):
                self.assertEqual(client.message(spelling, "to@partner.example"), USER)
            client.ask("MAIL FROM:<jürg@clinic.example> SMTPUTF8", "RCPT TO:<to@partner.example>", "DATA")
            self.accepted(client.text())
            self.assertEqual(client.ask("MAIL FROM:<JÜRG@clinic.example> SMTPUTF8"), USER)
        self.wait_used(ADA, messages=1)
        self.assertEqual([row["used"] for row in json.loads(
            self.server.ctl("--json", "limits", "show", "Ada@clinic.example").stdout) if row.get("user") == ADA],
            ["1", "1"])

    def test_unique_recipients(self):
        """S2-02, S2-03, D2: at RCPT; repeats are free, in any spelling of the domain."""
        self.start(user={"unique_recipients": 3})
        with self.client() as client:
            self.accepted(client.message(ADA, "a@partner.example", "b@partner.example", "c@xn--bcher-kva.example"))
            for _ in range(3):
                self.accepted(client.message(ADA, "a@PARTNER.example", "c@XN--BCHER-KVA.example"))
            self.accepted(client.ask("MAIL FROM:<ada@clinic.example>"))
            self.assertEqual(client.ask("RCPT TO:<d@partner.example>"), USER)
            self.assertEqual(client.ask("RCPT TO:<A@partner.example>"), USER)    # the local part as it is
            self.accepted(client.ask("RCPT TO:<b@partner.example>"))
            client.ask("DATA")
            self.accepted(client.text())
            self.accepted(client.message(BO, "d@partner.example"))
        self.wait_used(ADA, messages=5, unique_recipients=3)

    def test_scopes_and_reset(self):
        """Figures by user; `limits reset` is audited and taken within a second."""
        self.start(user={"messages": 1}, users={BO: {"user": {"messages": 2}}})
        with self.client() as client:
            for sender, count in ((ADA, 1), (BO, 2)):
                for _ in range(count):
                    self.accepted(client.message(sender, "to@partner.example"))
                self.assertEqual(client.message(sender, "to@partner.example"), USER)
            self.wait_used(BO, messages=2)
            self.assertEqual(self.shown(BO)["messages"]["limit"], "2")
            self.server.ctl("limits", "reset", ADA)
            proc.wait_until(lambda: self.passes(ADA), 20, "it is reset")
        audit = json.loads(self.server.ctl("--json", "audit", "list").stdout)
        self.assertEqual([(row["scope"], row["before"]) for row in audit if row["action"] == "limits reset"],
                         [(f"user {ADA}", "1 messages, 1 unique recipients")])
        refused = self.server.ctl("limits", "reset", "nobody", check=False)
        self.assertEqual((refused.returncode, "no account is called" in refused.stderr), (1, True))


class Customers(LimitsCase):
    def test_day(self):
        """S2-04, S2-05, S2-06, S2-11: all its users and domains together, every recipient each time."""
        self.start({"licences": 2}, account={"recipients_per_licence": 3}, user={"messages": 3, "unique_recipients": 2})
        with self.client() as client, self.client(source="127.0.1.1") as stranger:
            self.accepted(client.message(ADA, "a@partner.example", "b@partner.example"))
            self.accepted(client.message(EVE, "a@partner.example", "b@partner.example"))
            self.accepted(client.ask("MAIL FROM:<ada@clinic.example>"))
            self.accepted(client.ask("RCPT TO:<a@partner.example>"))
            self.accepted(client.ask("RCPT TO:<b@partner.example>"))
            self.assertEqual(client.ask("RCPT TO:<c@partner.example>"), CUSTOMER)     # not the user's text
            client.ask("DATA")
            self.accepted(client.text())
            self.assertEqual(client.message(BO, "a@partner.example"), CUSTOMER)
            self.accepted(stranger.message(BO, "a@partner.example"))                  # nobody's mail
        self.wait_used("clinic", recipients=6, peak_recipients=6)

    def test_peak(self):
        """S2-07, S2-08, S2-10: five licences, 45 recipients in 10 minutes; then again."""
        self.start({"licences": 5})
        with self.client() as client:
            self.accepted(client.message(ADA, *[f"to{i}@partner.example" for i in range(45)]))
            self.accepted(client.ask("MAIL FROM:<ada@clinic.example>"))
            self.assertEqual(client.ask("RCPT TO:<to1@partner.example>"), PEAK)
        self.wait_used("clinic", peak_recipients=45)
        self.assertEqual([(row["counter"], row["limit"], row["window"]) for row in self.shown("clinic").values()],
                         [("messages", "none", "24h"), ("recipients", "650", "24h"), ("peak recipients", "45", "10m")])
        self.server.sections["limits"] = {"peak": {"per": "1s"}}
        self.server.write()
        self.server.ctl("reload")
        proc.wait_until(lambda: self.passes(ADA), 20, "the window is over")

    def test_unpaid(self):
        """S2-13: 100 recipients a day, 50 in 10 minutes, the same texts."""
        self.start({"licences": 50, "paid": False})
        with self.client() as client:
            self.accepted(client.message(ADA, *[f"to{i}@partner.example" for i in range(50)]))
            self.assertEqual(client.message(BO, "to1@partner.example"), PEAK)
            self.server.sections["limits"] = {"unpaid": {"peak": 1000}}
            self.server.write()
            self.server.ctl("reload")
            self.accepted(client.message(ADA, *[f"to{i}@partner.example" for i in range(50)]))
            self.assertEqual(client.message(BO, "to1@partner.example"), CUSTOMER)

    def test_a_thousand_to_each_of_two(self):
        """S2-09: 1,000 messages to A and 1,000 to B are 2 for the user, 2,000 for the customer and for S2-01."""
        self.start({"licences": 300}, user={"messages": 2000, "unique_recipients": 2})

        def send():
            with self.client() as client:
                for _ in range(125):
                    for recipient in ("a@partner.example", "b@partner.example"):
                        self.accepted(client.message(ADA, recipient))
        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.wait_used(ADA, messages=2000, unique_recipients=2)
        self.wait_used("clinic", recipients=2000)
        with self.client() as client:
            self.assertEqual(client.message(ADA, "a@partner.example"), USER)
            self.assertEqual(client.message(BO, "c@partner.example", "d@partner.example", "e@partner.example"), USER)

    def test_helo(self):
        """S2-12: one of the customer's domains in HELO, where that is allowed."""
        self.start({"licences": 1, "networks": []}, ("user", "network", "helo"), account={"recipients_per_licence": 2})
        with self.client(helo="mx.clinic.example") as client, self.client(helo="elsewhere.example") as stranger:
            self.accepted(client.message("x@far.example", "a@partner.example", "b@partner.example"))
            self.assertEqual(client.message("y@far.example", "a@partner.example"), CUSTOMER)
            self.accepted(stranger.message("x@far.example", "a@partner.example"))


class Plans(LimitsCase):
    PLANS = {"email": {"messages": 300, "recipients": False}, "premium": {"recipients": False, "users": False},
             "free": {"relay": False}}

    def test_messages_a_day(self):
        """S0-16: 300 messages with ten recipients each, not one more."""
        self.start({"licences": 1, "plan": "email"}, plans=self.PLANS, user={"messages": 299})
        recipients = [f"to{i}@partner.example" for i in range(10)]
        with self.client() as client:
            for i in range(300):
                self.accepted(client.message(ADA if i % 2 else BO, *recipients))
            self.assertEqual(client.message(ADA, *recipients), CUSTOMER)
        self.wait_used("clinic", messages=300, recipients=3000)

    def test_no_cap_and_no_relay(self):
        """S0-18, S2-17: a plan without limits, and one without relaying."""
        self.start({"licences": 1, "plan": "premium"}, plans=self.PLANS, user={"messages": 1},
                   account={"recipients_per_licence": 1})
        with self.client() as client:
            for _ in range(3):
                self.accepted(client.message(ADA, "a@partner.example", "b@partner.example"))
            self.server.sections["directory"]["accounts"]["clinic"]["plan"] = "free"
            self.server.write()
            self.server.ctl("reload")
            self.assertEqual(client.ask("MAIL FROM:<ada@clinic.example>"),
                             b"550 5.7.1 Relaying is not part of this account's plan\r\n")


class Entitlements(LimitsCase):
    """S0-17: a plan without encryption or special processing: its entries do not run, and cannot be switched on."""

    PLANS = {"basic": {"without": ["taglines"]}}

    def settle(self, **taglines):
        self.server.routes = [{"to": "maildir", "path": str(self.mail)}]
        self.server.sections["taglines"] = {"text": "Clinic Ltd", **taglines}
        self.server.write()

    def test_a_plan_without(self):
        self.start({"licences": 100, "plan": "basic"}, pipeline=["limits", "taglines"])
        directory = self.server.sections["directory"]
        directory["plans"] = self.PLANS
        directory["accounts"]["lab"] = {"domains": ["lab.example"], "networks": [{"range": "192.0.2.0/24"}],
                                        "plan": "premium"}
        self.settle()
        self.assertEqual(self.server.ctl("check", check=False).returncode, 0)
        self.server.ctl("reload")
        with self.client() as client:
            self.accepted(client.message(ADA, "a@partner.example"))
            directory["accounts"]["clinic"]["plan"] = "premium"
            self.settle()
            self.server.ctl("reload")
            self.accepted(client.message(ADA, "b@partner.example"))
        seen = {b"b@partner.example" in mail: b"Clinic Ltd" in mail for mail in self.delivered(2)}
        self.assertEqual(seen, {False: False, True: True})
        directory["accounts"]["clinic"]["plan"] = "basic"
        for scope, name, good in (("accounts", "clinic", False), ("domains", "clinic.example", False),
                                  ("users", ADA, False), ("accounts", "lab", True), ("domains", "lab.example", True)):
            with self.subTest(name):
                self.settle(**{scope: {name: {"text": "Of its own"}}})
                done = self.server.ctl("check", check=False)
                said = done.stdout + done.stderr
                self.assertEqual(done.returncode == 0, good, said)
                self.assertEqual('the plan "basic" of that account is without taglines' in said, not good)
        self.settle()
        for words, good in ((("--account", "clinic"), False), (("--user", ADA), False), (("--account", "lab"), True)):
            with self.subTest(words):
                done = self.server.ctl("settings", "set", "taglines", "text", "Of its own", *words, check=False)
                self.assertEqual(done.returncode == 0, good, done.stderr)
        directory["plans"] = {"basic": {"without": ["tagline"]}}
        self.settle()
        done = self.server.ctl("check", check=False)
        self.assertIn('directory.plans.basic.without[0]: no entry "tagline" stands in the pipeline; did you mean '
                      '"taglines"?', done.stdout + done.stderr)


class Conditions(LimitsCase):
    """Of an entry that is asked about some recipients only."""

    PIPELINE = [{"limits": {"when": {"recipient_domain": ["x.example"]}}}, "recipient-restrictions"]

    def test_what_is_refused_is_given_back(self):
        self.start({"licences": 1}, pipeline=self.PIPELINE, deny=["spy@x.example"],
                   account={"recipients_per_licence": 4}, user={"unique_recipients": 4})
        for _ in range(6):
            with self.client() as client:
                self.assertEqual(client.message(ADA, "spy@x.example")[:9], b"550 5.7.1")
                client.ask("QUIT")
        with self.client() as client:
            self.accepted(client.message(ADA, *[f"to{i}@x.example" for i in range(4)]))
            self.assertEqual(client.message(ADA, "to1@x.example"), CUSTOMER)
            self.accepted(client.message(ADA, "to@partner.example"))
        self.wait_used("clinic", recipients=4)

    def test_messages(self):
        """MAIL is not asked about: with the first recipient."""
        self.start({"licences": 1}, pipeline=self.PIPELINE, deny=["spy@x.example"], user={"messages": 1},
                   plans={"free": {"relay": False}})
        with self.client() as client:
            client.ask("MAIL FROM:<ada@clinic.example>", "RCPT TO:<spy@x.example>")
            self.accepted(client.ask("RCPT TO:<to@x.example>"))
            client.ask("DATA")
            self.accepted(client.text())
            self.assertEqual(client.message(ADA, "to@x.example"), USER)
            self.accepted(client.message(ADA, "to@partner.example"))
        self.wait_used(ADA, messages=1)
        self.server.sections["directory"]["accounts"]["clinic"]["plan"] = "free"
        self.server.write()
        self.server.ctl("reload")
        with self.client() as client:
            self.assertEqual(client.message(BO, "to@x.example"),
                             b"550 5.7.1 Relaying is not part of this account's plan\r\n")
            self.accepted(client.message(BO, "to@partner.example"))


class Lasting(LimitsCase):
    """What was counted is there after a stop and after a crash."""

    def test_stop(self):
        self.start({"licences": 100}, user={"messages": 7})
        with self.client() as client:
            for i in range(3):
                self.accepted(client.message(ADA, f"to{i}@partner.example"))
        self.assertEqual(self.server.stop(), 0)      # at once: the last flush is of the stop
        self.assertEqual(self.used(ADA), {"messages": 3, "unique recipients": 3})
        self.server.start()
        with self.client() as client:
            for i in range(4):
                self.accepted(client.message(ADA, f"to{i}@partner.example"))
            self.assertEqual(client.message(ADA, "to1@partner.example"), USER)

    def test_kill_under_load(self):
        """No more is lost than was not written down, and nothing counts that was not accepted."""
        self.start({"licences": 10000}, user={"messages": 0, "unique_recipients": 0})
        acknowledged, sent = [], []
        stop = threading.Event()

        def load():
            while not stop.is_set():
                try:
                    with self.client() as client:
                        while not stop.is_set():
                            sent.append(1)
                            if client.message(ADA, f"to{len(sent)}@partner.example").startswith(b"250 "):
                                acknowledged.append(1)
                except (OSError, EOFError):
                    pass
        threads = [threading.Thread(target=load) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            proc.wait_until(lambda: self.used(ADA)["messages"] > 20, 20, "some are written down")
            written = self.used(ADA)["messages"]
            before = self.server.status()["pid"]
            self.server.kill_relay()
            proc.wait_until(lambda: (self.server.status() or {"pid": before})["pid"] != before, 20, "it is back")
            proc.wait_until(lambda: self.used(ADA)["messages"] > written, 20, "it goes on from there")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(self.server.stop(), 0)
        # Sent and not acknowledged: accepted perhaps. Acknowledged and not counted: of the last second.
        self.assertLessEqual(self.used(ADA)["messages"], len(sent))
        self.assertEqual(self.used(ADA)["messages"], self.used("clinic")["recipients"])
        self.assertGreater(self.used(ADA)["messages"], written)

    def test_s2_18_what_is_the_accounts(self):
        """A6: figures of a whole account are set for it, read below it and not changed there."""
        self.server = self.relay({"plain": PLAIN}, pipeline=["limits"], sections={
            "directory": {"accounts": {"clinic": {"domains": ["clinic.example"]}}, "users": {ADA: {}}}, "limits": {}})
        for scope, name, good in (("accounts", "clinic", True), ("domains", "clinic.example", False), ("users", ADA, False)):
            self.server.sections["limits"] = {scope: {name: {"account": {"most": 50}, "unpaid": {"peak": 5}}}}
            self.server.write()
            done = self.server.ctl("check", check=False)
            self.assertEqual(done.returncode == 0, good, done.stderr)
            self.assertEqual((done.stdout + done.stderr).count("is a whole account's and cannot be set per"), 0 if good else 2)
        self.server.sections["limits"] = {}
        self.server.write()
        for words, good in ((("--account", "clinic"), True), (("--user", ADA), False)):
            done = self.server.ctl("settings", "set", "limits", "account.most", "70", *words, check=False)
            self.assertEqual(done.returncode == 0, good, done.stderr)
        said = self.server.ctl("--json", "settings", "get", "limits", "--user", ADA).stdout
        self.assertEqual({row["key"]: (row["value"], row["scope"]) for row in json.loads(said)}.get("account.most"),
                         ("70", "account clinic"), said)


class Warnings(LimitsCase):
    def test_by_mail(self):
        """S6, B-23: at the threshold a user and the admins get one mail each, sealed as any, which no limit counts; not a
        user who is neither registered nor logged in."""
        with NextHop() as hop:
            self.server = self.relay(
                {"plain": PLAIN}, [hop.route], pipeline=["limits", "sealer"],
                sections={"directory": {"accounts": {"clinic": {"domains": ["clinic.example"],
                                                                "networks": [{"range": "127.0.0.0/24"}]}},
                                        "users": {ADA: {}}},
                          "limits": {"user": {"messages": 5}, "warn": {"at": 80, "admins": ["boss@partner.example"]}}})
            self.server.programs.modules += ":" + os.path.join(os.path.abspath(self.builddir), "tests", "modules", ".libs")
            self.server.start()
            with self.client() as client:
                for sender in (ADA, BO):
                    for _ in range(5):
                        self.accepted(client.message(sender, "to@partner.example"))
                    self.assertEqual(client.message(sender, "to@partner.example"), USER)
            mails = proc.wait_until(lambda: self.own(hop, 3), 60, "the warnings have come")
            self.wait_used(ADA, messages=5, unique_recipients=1)
            self.wait_used("clinic", recipients=10)
            self.assertEqual(self.server.stop(), 0)
            self.assertEqual(sorted(to for to, _ in self.own(hop, 3)), ["ada@clinic.example"] + ["boss@partner.example"] * 2)
            for to, mail in mails:
                text = " ".join(mail.get_content().split())
                self.assertRegex(mail["Subject"], r"^Near the sending limit: (ada|bo)@clinic.example, [45] of 5 messages$")
                self.assertRegex(text, r"@clinic.example has used [45] of 5 messages within 24h\.")
                self.assertIn(USER.decode().strip(), text)
                self.assertRegex(text, r"no longer counts from \d{4}-\d\d-\d\dT[0-9:]+Z on")
                self.assertEqual("posternctl limits show" in text, to == "boss@partner.example")
                self.assertTrue(mail["X-Seal"])
            self.assertEqual(self.server.log().count("near the limit: "), 2)

    def own(self, hop, count):
        """[(recipient, message)] once so many have come that no client sent."""
        with hop.lock:
            found = [(to[0].strip("<>"), email.message_from_bytes(data, policy=email.policy.default))
                     for _, to, data in hop.messages if b"\nAuto-Submitted: auto-generated\r\n" in data]
        return len(found) >= count and found

    def test_admins_are_addresses(self):
        relay = self.relay({"plain": PLAIN}, pipeline=["limits"], sections={"limits": {"warn": {"admins": ["boss"]}}})
        done = relay.ctl("check", check=False)
        self.assertEqual((done.returncode, 'limits.warn.admins[0]: "boss" is not a mail address' in done.stderr), (1, True))


class Simulation(LimitsCase):
    def test_from_now_on(self):
        self.start({"licences": 100}, user={"messages": 5, "unique_recipients": 4})
        with self.client() as client:
            self.accepted(client.message(ADA, "a@partner.example"))
        self.wait_used(ADA, messages=1)

        def simulate(*words):
            return json.loads(self.server.ctl("--json", "limits", "simulate", *words).stdout)[0]
        self.assertEqual(simulate(ADA, "4", "3")["result"], "passes")
        self.assertEqual(simulate(ADA, "5", "1")["message"], "5")
        refused = simulate(ADA, "1", "4")
        self.assertEqual((refused["recipient"], refused["reply"]), ("4", USER.decode().strip()))
        self.assertEqual(self.used(ADA)["messages"], 1)

    def test_a_file_of_mail(self):
        self.start({"licences": 1}, user={"messages": 2, "per": "1h"})
        path = os.path.join(self.directory, "mail.csv")
        with open(path, "w") as file:
            file.write(f"# sent\n0,{ADA},a@partner.example\n10.5,{ADA},a@partner.example,b@partner.example\n"
                       f"20,{ADA},c@partner.example\n3600,{ADA},c@partner.example\n")
        os.chmod(path, 0o644)
        rows = json.loads(self.server.ctl("--json", "limits", "simulate", "--csv", path).stdout)
        self.assertEqual([(row.get("line"), row.get("reply")) for row in rows[:-1]], [("4", USER.decode().strip())])
        self.assertEqual(rows[-1], {"messages": "4", "accepted_recipients": "4", "refused_recipients": "1"})
        with open(path, "a") as file:
            file.write(f"5,{ADA},c@partner.example\n")
        wrong = self.server.ctl("limits", "simulate", "--csv", path, check=False)
        self.assertEqual((wrong.returncode, "line 6: is earlier than the line before" in wrong.stderr), (1, True))
