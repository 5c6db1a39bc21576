# SPDX-License-Identifier: Apache-2.0
"""Next hops that are down, refuse, show a wrong certificate, want a password; and a real Postfix."""
import email
import email.policy
import os
import pathlib
import re
import smtplib

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.certificates import certificate
from tests.lib.nexthop import NextHop
from tests.lib.postern import File
from tests.lib.postfix import Postfix
from tests.lib.traffic import Load, Sink

SENDER = "ada@clinic.example"
TEXT = "From: ada@clinic.example\r\nSubject: {}\r\nMessage-ID: <one@clinic.example>\r\n\r\nthe secret body\r\n"
QUICK = {"retry_first": "100ms", "retry_most": "500ms", "give_up": "1h"}


class DeliveryCase(RelayCase):
    def hop(self, **more):
        return self.enterContext(NextHop(**more))

    def start(self, route, **queue):
        """Mail to clinic.example comes back to the maildir, all other takes the route."""
        back = {"when": {"recipient_domain": ["clinic.example"]}, "to": "maildir", "path": str(self.mail)}
        self.server = self.relay({"plain": {"tls": "none", "auth": "off"}}, [back, route],
                                 relay={"queue": dict(QUICK, **queue)}).start()

    def route_again(self, route):
        self.server.routes[1] = route
        self.server.write()
        self.server.ctl("reload")

    def send(self, *recipients, sender=SENDER, mail=(), rcpt=(), subject="x"):
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            refused = client.sendmail(sender, recipients, TEXT.format(subject), mail, rcpt)
            self.assertEqual(refused, {})

    def wait(self, condition, what):
        try:
            proc.wait_until(condition, 20, what)
        except proc.Failed as problem:
            self.fail(f"{problem}\n{self.server.log()[-3000:]}")

    def logged(self, text, count=1):
        self.wait(lambda: self.server.log().count(text) >= count, f"{count} times {text!r} in the log")

    def wait_empty(self):
        self.wait(self.server.queue_is_empty, "the queue is empty")


class Retry(DeliveryCase):
    def test_down_then_up(self):
        port = proc.free_port()
        self.start({"to": "smarthost", "host": f"127.0.0.1:{port}", "tls": "none"})
        self.send("b@partner.example")
        self.logged("=deferred ", 2)
        hop = self.hop(port=port)
        (_, recipients, data), = hop.wait(1)
        self.assertEqual(recipients, ["<b@partner.example>"])
        self.assertIn(b"the secret body\r\n", data)
        self.wait_empty()

    def test_each_recipient_by_itself(self):
        """One is taken, one is asked to wait twice, one is refused: one report, nothing sent twice."""
        later = "450 4.2.1 later"
        hop = self.hop(answers={"RCPT TO:<late@partner.example>": [later, later],
                                "RCPT TO:<bad@partner.example>": ["550 5.1.1 no such user"] * 9})
        self.start(hop.route)
        self.send("good@partner.example", "late@partner.example", "bad@partner.example")
        hop.wait(2)
        self.wait_empty()
        self.assertEqual([recipients for _, recipients, _ in hop.messages],
                         [["<good@partner.example>"], ["<late@partner.example>"]])
        report, = self.delivered(1)
        self.assertIn(b"bad@partner.example", report)
        for other in (b"late@partner.example", b"good@partner.example"):
            self.assertNotIn(other, report)

    def test_nothing_counts_but_the_reply_to_the_dot(self):
        hop = self.hop(answers={"DATA": ["451 4.3.0 not now"], ".": ["close", "452 4.3.1 disk full"]})
        self.start(hop.route)
        self.send("b@partner.example")
        hop.wait(1)
        self.wait_empty()
        self.assertEqual(len(hop.messages), 1)
        self.assertEqual(self.server.log().count("=deferred "), 3)
        self.assertFalse((self.mail / "new").exists())


class Reports(DeliveryCase):
    def refusing(self, *addresses, code="550 5.1.1 no such user", **queue):
        hop = self.hop(answers={f"RCPT TO:<{address}>": [code] * 50 for address in addresses})
        self.start(hop.route, **queue)

    def report(self):
        text, = self.delivered(1)
        message = email.message_from_bytes(text, policy=email.policy.default)
        self.assertEqual(message.get_content_type(), "multipart/report", text)
        self.assertEqual(message.get_param("report-type"), "delivery-status")
        self.assertIn(SENDER, message["To"])
        self.assertIn("auto-", message["Auto-Submitted"].lower())
        for field in ("From", "Date", "Message-ID", "Subject"):
            self.assertTrue(message[field], field)
        words, status, original = message.iter_parts()
        self.assertEqual(words.get_content_type(), "text/plain")
        self.assertEqual(status.get_content_type(), "message/delivery-status")
        first, *others = status.get_payload()
        self.assertEqual(first["Reporting-MTA"], "dns; postern.test")
        return words.get_content(), first, others, original

    def assert_names(self, block, address, status, code):
        self.assertEqual(block["Final-Recipient"].replace(" ", "").lower(), f"rfc822;{address}")
        self.assertEqual(block["Action"], "failed")
        self.assertEqual(block["Status"], status)
        self.assertRegex(block["Diagnostic-Code"], rf"^smtp; ?{code}")

    def test_structure(self):
        """RFC 3464, with what RFC 3461 asked for: envelope id, original recipient, the whole message."""
        self.refusing("bad@partner.example", "worse@partner.example")
        self.send("bad@partner.example", "worse@partner.example", mail=["ENVID=QQ314159", "RET=FULL"],
                  rcpt=["ORCPT=rfc822;first@partner.example"])
        words, first, others, original = self.report()
        self.assertEqual(first["Original-Envelope-Id"], "QQ314159")
        self.assertTrue(first["Arrival-Date"])
        self.assertEqual(len(others), 2)
        for block, address in zip(others, ("bad@partner.example", "worse@partner.example")):
            self.assert_names(block, address, "5.1.1", "550 5.1.1 no such user")
            self.assertEqual(block["Original-Recipient"], "rfc822; first@partner.example")
            self.assertIn(address, words)
        self.assertEqual(original.get_content_type(), "message/rfc822")
        inner, = original.get_payload()
        self.assertEqual(inner["Message-ID"], "<one@clinic.example>")
        self.assertIn("the secret body", inner.get_payload())

    def test_headers_alone(self):
        self.refusing("bad@partner.example")
        self.send("bad@partner.example", mail=["RET=HDRS"])
        _, _, others, original = self.report()
        self.assert_names(others[0], "bad@partner.example", "5.1.1", "550")
        self.assertEqual(original.get_content_type(), "text/rfc822-headers")
        self.assertIn("<one@clinic.example>", original.as_string())
        self.assertNotIn("the secret body", original.as_string())

    def succeeded(self, action, offers):
        hop = self.hop(offers=offers)
        self.start(hop.route)
        self.send("good@partner.example", rcpt=["NOTIFY=SUCCESS"])
        _, _, (block,), original = self.report()
        self.assertEqual((block["Action"], block["Status"]), (action, "2.0.0"))
        self.assertEqual(original.get_content_type(), "text/rfc822-headers")

    def test_success_relayed(self):
        """RFC 3461 section 5.2.2: the next hop knows nothing of DSN, so the report is ours."""
        self.succeeded("relayed", ("PIPELINING", "8BITMIME"))

    def test_success_passed_on(self):
        """Section 5.2.1: it does, so the report will be its own."""
        hop = self.hop(offers=("PIPELINING", "8BITMIME", "DSN"))
        self.start(hop.route)
        self.send("good@partner.example", rcpt=["NOTIFY=SUCCESS"])
        self.logged("=delivered ")
        self.wait_empty()
        self.assertFalse((self.mail / "new").exists(), "a report was sent")
        self.assertTrue(any(b"NOTIFY=SUCCESS" in line for _, line in hop.lines), hop.lines)

    def test_given_up(self):
        self.refusing("late@partner.example", code="450 4.2.1 later", give_up="2s")
        self.send("late@partner.example")
        self.wait_empty()
        reports = [email.message_from_bytes(each, policy=email.policy.default) for each in self.delivered(1)]
        actions = [block["Action"] for report in reports
                   for block in list(report.iter_parts())[1].get_payload()[1:]]
        self.assertEqual(actions[-1], "failed", actions)
        self.assertEqual(actions.count("failed"), 1)

    def assert_no_report(self):
        self.logged("=bounced ")
        self.wait_empty()
        self.assertFalse((self.mail / "new").exists(), "a report was sent")

    def test_never(self):
        self.refusing("bad@partner.example")
        self.send("bad@partner.example", rcpt=["NOTIFY=NEVER"])
        self.assert_no_report()

    def test_delay_only(self):
        self.refusing("bad@partner.example")
        self.send("bad@partner.example", rcpt=["NOTIFY=DELAY"])
        self.assert_no_report()

    def test_null_sender(self):
        self.refusing("bad@partner.example")
        self.send("bad@partner.example", sender="")
        self.assert_no_report()

    def test_report_that_is_refused(self):
        """A report about a report would go round for ever."""
        self.refusing("bad@partner.example", "ada@elsewhere.example")
        self.send("bad@partner.example", sender="ada@elsewhere.example")
        self.logged("=bounced ", 2)
        self.wait_empty()
        self.assertEqual(self.server.log().count(" notice="), 1, self.server.log()[-3000:])


class Tls(DeliveryCase):
    def verify(self, hop, ca):
        return {"to": "smarthost", "host": f"localhost:{hop.port}", "tls": "verify", "ca_file": ca}

    def assert_kept_back(self, hop):
        """Deferred, and the next hop has heard neither an address nor a body."""
        self.send("b@partner.example")
        self.logged("=deferred ", 2)
        said = b"".join(line for _, line in hop.lines)
        for never in (b"MAIL", b"partner.example", b"the secret body"):
            self.assertNotIn(never, said)
        self.assertEqual(hop.messages, [])

    def assert_goes(self, hop):
        (_, _, data), = hop.wait(1)
        self.assertIn(b"the secret body", data)
        self.assertTrue(all(secure for secure, line in hop.lines if line.startswith((b"MAIL", b"RCPT", b"DATA"))))
        self.wait_empty()

    def test_certificate_of_another_name(self):
        cert, key = certificate(self.directory, "other.test")
        hop = self.hop(tls=(cert, key))
        self.start(self.verify(hop, cert))
        self.assert_kept_back(hop)

    def test_certificate_of_an_unknown_authority(self):
        pair = certificate(self.directory, "localhost")
        hop = self.hop(tls=pair)
        self.start(self.verify(hop, certificate(self.directory, "other.test")[0]))
        self.assert_kept_back(hop)
        self.route_again(self.verify(hop, pair[0]))
        self.assert_goes(hop)

    def test_starttls_taken_out(self):
        """As someone in the middle would do it."""
        hop = self.hop()
        self.start(self.verify(hop, certificate(self.directory, "localhost")[0]))
        self.assert_kept_back(hop)
        self.route_again({"to": "smarthost", "host": f"localhost:{hop.port}", "tls": "encrypt"})
        self.logged("=deferred ", 4)
        self.assertEqual(hop.messages, [])

    def test_implicit(self):
        """RFC 8314: not a byte in clear, and the certificate counts as behind STARTTLS."""
        pair = certificate(self.directory, "localhost")
        hop = self.hop(tls=pair, implicit=True)
        route = {**self.verify(hop, certificate(self.directory, "other.test")[0]), "tls_mode": "implicit"}
        self.start(route)
        self.assert_kept_back(hop)
        self.route_again(route | {"ca_file": pair[0]})
        self.assert_goes(hop)

    def test_implicit_never_in_clear(self):
        hop = self.hop()
        self.start({"to": "smarthost", "host": f"localhost:{hop.port}", "tls": "may", "tls_mode": "implicit"})
        self.assert_kept_back(hop)

    def test_any_certificate_where_it_may(self):
        hop = self.hop(tls=certificate(self.directory, "other.test"))
        self.start({"to": "smarthost", "host": f"localhost:{hop.port}", "tls": "may"})
        self.send("b@partner.example")
        self.assert_goes(hop)


class Auth(DeliveryCase):
    def password(self, text):
        path = os.path.join(self.directory, "smarthost.pass")
        with open(path, "w", opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write(text + "\n")
        return File(path)

    def test_login(self):
        pair = certificate(self.directory, "localhost")
        hop = self.hop(tls=pair, login=("relay@clinic.example", "open sesame"))
        route = {"to": "smarthost", "host": f"localhost:{hop.port}", "tls": "verify", "ca_file": pair[0],
                 "auth": {"user": "relay@clinic.example", "password": self.password("wrong")}}
        self.start(route)
        self.send("b@partner.example")
        self.logged("=deferred ", 2)
        self.assertEqual(hop.messages, [])
        self.password("open sesame")
        self.route_again(route)
        (_, _, data), = hop.wait(1)
        self.assertIn(b"the secret body", data)
        self.assertTrue(all(secure for secure, line in hop.lines if line.startswith(b"AUTH")))
        for word in ("open sesame", "wrong"):
            self.assertNotIn(word, self.server.log())


class Reuse(DeliveryCase):
    def test_connections(self):
        sink = Sink(self.builddir)
        self.addCleanup(sink.process.stdout.close)
        self.addCleanup(proc.end, sink.process)
        self.addCleanup(sink.process.stdin.close)
        self.start({"to": "smarthost", "host": f"127.0.0.1:{sink.port}", "tls": "none"})
        got = Load(self.builddir, self.server.port("plain"), sessions=1, per_connection=200, messages=200,
                   size=2000).finish(60)
        self.assertEqual(got["accepted"], 200, got)
        report = sink.wait(200, 60)
        self.assertEqual(report["messages"], 200)
        print(f"200 messages over {report['connections']} connections")
        self.assertLessEqual(report["connections"], 20)


class RealPostfix(DeliveryCase):
    def test_next_hop(self):
        try:
            hop = Postfix(os.path.join(self.directory, "postfix"), self.builddir)
            self.addCleanup(hop.remove)
            hop.start()
        except proc.CannotRun as reason:
            self.skipTest(str(reason))
        self.addCleanup(hop.stop)
        self.start({"to": "smarthost", "host": f"127.0.0.1:{hop.port}", "tls": "may"})
        for number in range(5):
            self.send("b@partner.example", subject=f"number {number}")
        self.wait(lambda: hop.count() == 5, "Postfix has five messages")
        self.wait_empty()
        found = [re.search(rb"Subject: number (\d)", each)[1] for each in hop.messages()]
        self.assertEqual(sorted(found), [b"0", b"1", b"2", b"3", b"4"])
        for each in hop.messages():
            self.assertIn(b"\nthe secret body\n", each)
            self.assertIn(b"by postern.test", each)


class Maildirs(DeliveryCase):
    def test_one_that_cannot_be_written(self):
        """The log says which and as whom; the sender, should it come to that, hears no path."""
        blocked = pathlib.Path(self.directory, "blocked")
        blocked.write_text("a file where a folder should be\n")
        self.start({"to": "maildir", "path": str(blocked / "mail")})
        self.send("bo@partner.example")
        self.logged(f"path={blocked}/mail as_uid=")
        self.logged('reply="451 4.3.0 maildir: Not a directory"')
