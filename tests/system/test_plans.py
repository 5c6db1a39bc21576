# SPDX-License-Identifier: Apache-2.0
"""Plans on the wire: wants, selection at RCPT, renderings for groups, seals, replans (SPEC T2, T4; S0-26)."""
import glob
import os
import pathlib
import smtplib

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.nexthop import NextHop

SECRET = "the secret is out"
SENDER = "ada@clinic.example"
MESSAGE = ("From: ada@clinic.example\r\nTo: two@f.example, three@f.example\r\nCc: four@f.example\r\n"
           "Bcc: five@f.example\r\nSubject: %s\r\n\r\n%s\r\n" % ("hello", SECRET))


class Plans(RelayCase):
    def plans(self, hop, rules, pipeline=("selector", "provider", "sealer"), want="sender", most=100, **sections):
        route = dict(hop.route, tls="may")
        settings = {"selector": {"want": want, "rules": rules}}
        settings.update(sections)
        relay = self.relay({"plain": {"tls": "none", "auth": "off"}}, routes=[route], pipeline=list(pipeline),
                           sections=settings, relay={"queue": {"retry_first": "1s", "retry_most": "1s"},
                                                           "limits": {"separate_renderings": most}})
        relay.programs.modules += f":{self.builddir}/tests/modules/.libs"
        return relay.start()

    def client(self, relay):
        client = smtplib.SMTP("127.0.0.1", relay.port("plain"), timeout=60)
        self.addCleanup(client.close)
        client.ehlo("client.example")
        return client

    def send(self, relay, *recipients, message=MESSAGE):
        """The reply to DATA; every recipient must be taken."""
        client = self.client(relay)
        client.mail(SENDER)
        for recipient in recipients:
            self.assertEqual(client.rcpt(recipient), (250, b"2.1.5 Ok"))
        return client.data(message)

    def arrived(self, hop, count):
        """What came, by recipient."""
        return {recipient.strip("<>"): data.decode()
                for sender, recipients, data in hop.wait(count) for recipient in recipients}

    def spooled(self, relay):
        """Every byte that the relay has put on the disk."""
        found = []
        for path in glob.glob(os.path.join(relay.state, "**"), recursive=True):
            try:
                found += [pathlib.Path(path).read_bytes()]
            except (IsADirectoryError, FileNotFoundError):
                pass    # the database's other files come and go
        self.assertTrue(found)
        return b"".join(found)

    def test_refused_at_rcpt(self):
        with NextHop() as hop:
            relay = self.plans(hop, ["a.example=fake", "b.example=reject", "c.example=defer"])
            client = self.client(relay)
            client.mail(SENDER)
            self.assertEqual(client.rcpt("x@a.example")[0], 250)
            self.assertEqual(client.rcpt("x@b.example"), (550, b"5.7.2 Nothing is good enough here"))
            self.assertEqual(client.rcpt("x@c.example"), (451, b"4.7.2 Ask again later"))
            code, text = client.rcpt("x@d.example")
            self.assertEqual((code, text[:5]), (550, b"5.7.1"))
            self.assertIn(b"administrator", text)
            self.assertEqual(client.data(MESSAGE)[0], 250)
            self.assertEqual(list(self.arrived(hop, 1)), ["x@a.example"])

    def test_groups_and_bcc(self):
        with NextHop() as hop:
            relay = self.plans(hop, ["f.example=fake", "e.example=fake-each", "n.example=none"])
            self.assertEqual(self.send(relay, "two@f.example", "x@e.example", "five@f.example", "y@e.example",
                                       "three@f.example", "x@n.example", "four@f.example")[0], 250)
            came = self.arrived(hop, 5)
            self.assertEqual(len(came), 7)
            for recipient, data in came.items():
                self.assertEqual(data.count("Received:"), 1, recipient)
                self.assertEqual(data.count("X-Seal:"), 1, recipient)
                self.assertEqual(SECRET in data, recipient == "x@n.example", recipient)
                self.assertEqual("five@" in data, recipient == "five@f.example", recipient)
            self.assertEqual(came["two@f.example"], came["three@f.example"])
            self.assertEqual(came["two@f.example"], came["four@f.example"])

    def test_no_clear_text_on_the_disk(self):
        with NextHop() as hop:
            relay = self.plans(hop, ["f.example=fake"])
            self.assertEqual(self.send(relay, "two@f.example")[0], 250)
            hop.wait(1)
            self.assertNotIn(SECRET.encode(), self.spooled(relay))
            self.assertIn(b"X-Method", self.spooled(relay))

    def test_limit_of_renderings(self):
        with NextHop() as hop:
            relay = self.plans(hop, ["f.example=fake-each"], most=2)
            self.assertEqual(self.send(relay, "a@f.example", "b@f.example", "c@f.example")[0], 452)
            self.assertEqual(self.send(relay, "a@f.example", "b@f.example")[0], 250)
            hop.wait(2)

    def test_unserved(self):
        with NextHop() as hop:
            relay = self.plans(hop, ["f.example=fake"], want="message")
            asks = "X-Protect: yes\r\n" + MESSAGE
            code, text = self.send(relay, "x@g.example", message=asks)
            self.assertEqual((code, text[:5]), (550, b"5.7.1"))
            self.assertEqual(self.send(relay, "two@f.example", "x@g.example", message=asks)[0], 250)
            came = self.arrived(hop, 2)
            self.assertNotIn("x@g.example", came)
            self.assertNotIn(SECRET, came["two@f.example"])
            self.assertIn("x@g.example", came[SENDER])
            self.assertIn("5.7.1", came[SENDER])
            self.assertNotIn(SECRET, came[SENDER])
            self.assert_sealed_report(came[SENDER])

    def assert_sealed_report(self, report):
        """The report itself is sealed, as the only rendering of its own; what it quotes has a seal of its own."""
        header, body = report.split("\r\n\r\n", 1)
        self.assertIn("multipart/report", header)
        self.assertIn("\r\nX-Seal: 0 none plan 1\r\n", "\r\n" + header + "\r\n")
        self.assertEqual(header.count("X-Seal:"), 1)
        self.assertNotIn("X-Seal: 0 none plan 1", body)

    def test_replan(self):
        with NextHop() as hop:
            note = os.path.join(self.directory, "relay", "state", "outcomes")  # the relay may be nobody
            relay = self.plans(hop, ["=tls"], pipeline=["selector", {"selector": {"id": "second"}}, "provider", "sealer"],
                               second={"rules": ["f.example=fake"]}, sealer={"file": note})
            self.assertEqual(self.send(relay, "two@f.example", "x@g.example")[0], 250)
            came = self.arrived(hop, 2)
            self.assertIn("X-Method: fake", came["two@f.example"])
            self.assertIn("X-Seal: 1 fake plan 2", came["two@f.example"])
            self.assertEqual(came["two@f.example"].count("Received:"), 1)
            self.assertNotIn(SECRET, came["two@f.example"])
            self.assertIn("encryption too weak 0 less than 112", came[SENDER])
            self.assertIn("x@g.example", came[SENDER])
            self.assertNotIn("two@f.example", came[SENDER].split("message/delivery-status")[1].split("--")[0])
            for said in ("delivered two@f.example fake plan 2", "replanned two@f.example tls plan 1"):
                proc.wait_until(lambda said=said: os.path.exists(note) and said in open(note).read(), 20,
                                f"the outcome hook has heard: {said}")

    def test_replan_and_report_of_a_large_message(self):
        """Renderings that stand one behind the other in a file without a name: a part of it is planned again,
        and the beginning of another is quoted."""
        message = MESSAGE + "".join(f"line {number} {'x' * 60}\r\n" for number in range(30000))
        with NextHop() as hop:
            hop.answers["RCPT TO:<x@e.example>"] = ["550 5.1.1 nobody here"]
            relay = self.plans(hop, ["e.example=fake", "=tls"], second={"rules": ["f.example=fake"]},
                               pipeline=["selector", {"selector": {"id": "second"}}, "provider", "sealer"])
            self.assertEqual(self.send(relay, "x@e.example", "two@f.example", message=message)[0], 250)
            came = self.arrived(hop, 2)
            self.assertIn("X-Seal: 1 fake plan 2", came["two@f.example"])
            self.assertEqual(came["two@f.example"].count("Received:"), 1)
            self.assertNotIn(SECRET, came["two@f.example"])
            report = came[SENDER]
            self.assertIn("x@e.example", report)
            self.assertIn("X-Seal: 1 fake plan 1", report.split("text/rfc822-headers")[1])
            self.assertLess(len(report), 100000)
            self.assertNotIn("relay-died", relay.log())

    def test_what_the_last_session_showed(self):
        """A next hop that was seen without TLS is not asked a second time (D4)."""
        with NextHop() as hop:
            relay = self.plans(hop, ["=tls-unless-seen-without"],
                               pipeline=["selector", {"selector": {"id": "second"}}, "provider", "sealer"],
                               second={"rules": ["=fake"]})
            self.assertEqual(self.send(relay, "two@f.example")[0], 250)
            self.assertIn("fake plan 2", self.arrived(hop, 1)["two@f.example"])
            self.assertEqual(self.send(relay, "three@f.example")[0], 250)
            self.assertIn("fake plan 1", self.arrived(hop, 2)["three@f.example"])

    def test_replan_waits_for_its_entry(self):
        with NextHop() as hop:
            second = {"selector": {"id": "second"}}
            relay = self.plans(hop, ["=tls"], pipeline=["selector", {"provider": {"timeout": "5s"}}, second],
                               second={"rules": ["=fake"]}, provider={"how": "defer"})
            self.assertEqual(self.send(relay, "two@f.example")[0], 250)
            proc.wait_until(lambda: "trace" in relay.log() or "deferred" in relay.log(), 20, "a replan was tried")
            relay.pipeline, relay.sections = ["selector", "provider"], {"selector": {"rules": ["=none"]}}
            relay.write()
            relay.reload()
            proc.wait_until(lambda: "replan-stopped" in relay.log(), 20, "the replan is stopped")
            self.assertIn("second", relay.log().split("replan-stopped")[1].split("\n")[0])
            self.assertEqual(hop.messages, [])
            relay.pipeline, relay.sections = ["selector", "provider", second], {"selector": {}, "second": {"rules": ["=fake"]}}
            relay.write()
            relay.reload()
            self.assertIn("X-Method: fake", self.arrived(hop, 1)["two@f.example"])
