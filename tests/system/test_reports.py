# SPDX-License-Identifier: Apache-2.0
"""Delivery status notifications clause by clause: RFC 3461, 3464, 6522 and 6533, read by Python's email
and compared field by field."""
import email
import email.policy
import email.utils
import smtplib
import time

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.nexthop import NextHop

SENDER = "Ada.Lovelace+x=y@clinic.example"
HEADER = "From: Somebody <else@clinic.example>\r\nSubject: {}\r\nMessage-ID: <one@clinic.example>\r\n"
BODY = "\r\nthe secret body\r\n"
PLAIN = ("PIPELINING", "8BITMIME", "SMTPUTF8")
REFUSED, LATER = "550 5.1.1 no such user", "450 4.2.1 later"


class ReportCase(RelayCase):
    def start(self, offers=PLAIN, answers=None, **queue):
        """Mail to clinic.example comes back to the maildir, all other goes to the next hop."""
        self.hop = self.enterContext(NextHop(offers=offers, answers=answers))
        back = {"when": {"recipient_domain": ["clinic.example"]}, "to": "maildir", "path": str(self.mail)}
        settings = dict({"retry_first": "100ms", "retry_most": "200ms", "give_up": "1h"}, **queue)
        self.server = self.relay({"plain": {"tls": "none", "auth": "off"}}, [back, self.hop.route],
                                 relay={"queue": settings}).start()

    def refusing(self, *addresses, code=REFUSED, **more):
        self.start(answers={f"RCPT TO:<{address}>": [code] * 99 for address in addresses}, **more)

    def send(self, *recipients, sender=SENDER, mail=(), rcpt=(), text=HEADER.format("x") + BODY):
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            client.ehlo()
            client.command_encoding = "utf-8"
            for verb in (f"MAIL FROM:<{sender}> {' '.join(mail)}",
                         *(f"RCPT TO:<{each}> {' '.join(rcpt)}" for each in recipients)):
                client.send(verb.rstrip().encode() + b"\r\n")
                code, reply = client.getreply()
                self.assertEqual(code, 250, (verb, reply))
            code, reply = client.data(text.encode())
            self.assertEqual(code, 250, reply)

    def wait_empty(self):
        proc.wait_until(self.server.queue_is_empty, 20, "the queue is empty")

    def reports(self, count=1):
        return [Report(self, text) for text in self.delivered(count)]

    def report(self):
        report, = self.reports()
        return report


class Report:
    """The three parts, and the fields of the second as a dict for the message and one per recipient."""

    def __init__(self, test, text):
        self.text, self.message = text, email.message_from_bytes(text, policy=email.policy.default)
        test.assertEqual(self.message.get_content_type(), "multipart/report")
        test.assertEqual(self.message.get_param("report-type"), "delivery-status")
        test.assertEqual(self.message.defects, [])
        boundary = b"\r\n--" + self.message.get_boundary().encode()
        test.assertEqual(text.count(boundary), 4, "three parts and an end")
        raw = text.split(boundary)[2].split(b"\r\n\r\n", 1)[1]
        blocks = raw.decode().strip("\r\n").split("\r\n\r\n")
        self.about, *self.recipients = [email.message_from_string(each) for each in blocks]
        self.words, self.status, self.original = self.message.iter_parts()
        for block in (self.about, *self.recipients):
            test.assertEqual(len(block.keys()), len(set(block.keys())), "a field is given twice")
            test.assertEqual(block.get_payload(), "")

    @property
    def actions(self):
        return [block["Action"] for block in self.recipients]


class Rfc3461(ReportCase):
    def test_4_1_success_at_the_end_of_the_way(self):
        """Section 4.1, 5.2.3: delivered here, so "delivered", and only to those who asked."""
        self.start()
        self.send("here@clinic.example", rcpt=["NOTIFY=SUCCESS,FAILURE"])
        self.send("quiet@clinic.example", rcpt=["NOTIFY=FAILURE"])
        self.send("none@clinic.example")
        self.wait_empty()
        reports = [text for text in self.delivered(4) if b"multipart/report" in text]
        self.assertEqual(len(reports), 1)
        report = Report(self, reports[0])
        self.assertEqual(report.actions, ["delivered"])
        self.assertEqual(report.recipients[0]["Status"], "2.0.0")
        self.assertEqual(report.original.get_content_type(), "text/rfc822-headers")

    def test_4_1_success_alone_means_no_report_of_failure(self):
        self.refusing("bad@partner.example")
        self.send("bad@partner.example", rcpt=["NOTIFY=SUCCESS"])
        self.wait_empty()
        self.assertFalse((self.mail / "new").exists())

    def test_4_2_original_recipient_is_decoded_xtext(self):
        self.refusing("bad@partner.example")
        self.send("bad@partner.example", rcpt=["ORCPT=rfc822;a+2Bb+3Dc@partner.example"])
        block, = self.report().recipients
        self.assertEqual(block["Original-Recipient"], "rfc822; a+b=c@partner.example")
        self.assertEqual(block["Final-Recipient"], "rfc822; bad@partner.example")

    def test_4_3_ret_is_about_failures(self):
        """RET=FULL: the whole message in a failure, the header alone in a notice of delay."""
        self.refusing("late@partner.example", code=LATER, notice_after="300ms", give_up="3s")
        self.send("late@partner.example", mail=["RET=FULL"])
        self.wait_empty()
        late, failed = self.reports(2)
        self.assertEqual((late.actions, failed.actions), (["delayed"], ["failed"]))
        self.assertEqual(late.original.get_content_type(), "text/rfc822-headers")
        self.assertNotIn(b"the secret body", late.text)
        self.assertEqual(failed.original.get_content_type(), "message/rfc822")
        self.assertIn(b"the secret body", failed.text)

    def test_4_3_large_messages_come_back_as_headers(self):
        self.refusing("bad@partner.example")
        self.send("bad@partner.example", mail=["RET=FULL"], text=HEADER.format("x") + BODY * 10000)
        report = self.report()
        self.assertEqual(report.original.get_content_type(), "text/rfc822-headers")
        self.assertIn("<one@clinic.example>", report.original.as_string())
        self.assertLess(len(report.text), 10000)

    def test_4_4_envelope_id_is_decoded_xtext(self):
        self.refusing("bad@partner.example")
        self.send("bad@partner.example", mail=["ENVID=QQ+2B31+3D4159"])
        self.assertEqual(self.report().about["Original-Envelope-Id"], "QQ+31=4159")

    def test_5_2_1_parameters_are_passed_on_unchanged(self):
        self.start(offers=(*PLAIN, "DSN"))
        self.send("b@partner.example", mail=["RET=HDRS", "ENVID=QQ+2B31+3D"],
                  rcpt=["NOTIFY=SUCCESS,FAILURE,DELAY", "ORCPT=rfc822;a+2Bb@partner.example"])
        self.hop.wait(1)
        said = b"".join(line for _, line in self.hop.lines)
        self.assertRegex(said, rb"MAIL FROM:<[^>]*>[^\r]* RET=HDRS ENVID=QQ\+2B31\+3D")
        self.assertIn(b"RCPT TO:<b@partner.example> NOTIFY=SUCCESS,FAILURE,DELAY "
                      b"ORCPT=rfc822;a+2Bb@partner.example\r\n", said)

    def test_5_2_2_nothing_of_it_where_it_is_not_offered(self):
        self.start()
        self.send("b@partner.example", mail=["RET=HDRS", "ENVID=QQ"],
                  rcpt=["NOTIFY=FAILURE", "ORCPT=rfc822;b@partner.example"])
        self.hop.wait(1)
        said = b"".join(line for _, line in self.hop.lines)
        for never in (b"RET=", b"ENVID=", b"NOTIFY=", b"ORCPT="):
            self.assertNotIn(never, said)

    def test_6_the_report_has_no_sender_and_wants_no_report(self):
        """Section 6.1 and 6.2: MAIL FROM:<>, NOTIFY=NEVER, to the return path and nobody else."""
        sender = "Back.To+me=x@elsewhere.example"
        self.start(offers=(*PLAIN, "DSN"), answers={"RCPT TO:<bad@partner.example>": [REFUSED]})
        self.send("bad@partner.example", sender=sender)
        (envelope, recipients, data), = self.hop.wait(1)
        self.assertTrue(envelope.startswith("<>"), envelope)
        self.assertEqual(recipients, [f"<{sender}> NOTIFY=NEVER"])
        message = email.message_from_bytes(data, policy=email.policy.default)
        self.assertEqual(message["To"], sender)


class Rfc3464(ReportCase):
    def test_2_1_the_report_itself(self):
        """To is the return path exactly (C31), not what From: says; Auto-Submitted is RFC 3834's."""
        self.refusing("bad@partner.example")
        self.send("bad@partner.example")
        message = self.report().message
        self.assertEqual(message["To"], SENDER)
        self.assertEqual(message["Auto-Submitted"], "auto-replied")
        self.assertRegex(message["From"], r"<MAILER-DAEMON@postern\.test>$")
        self.assertEqual(message["MIME-Version"], "1.0")
        for field in ("Date", "Message-ID", "Subject"):
            self.assertEqual(len(message.get_all(field)), 1, field)

    def test_2_2_about_the_message(self):
        before = int(time.time())
        self.refusing("bad@partner.example")
        self.send("bad@partner.example")
        about = self.report().about
        self.assertEqual(about["Reporting-MTA"], "dns; postern.test")
        arrived = email.utils.parsedate_to_datetime(about["Arrival-Date"]).timestamp()
        self.assertLessEqual(before, arrived)
        self.assertLessEqual(arrived, time.time())
        self.assertEqual(set(about.keys()), {"Reporting-MTA", "Arrival-Date"})

    def test_2_3_about_each_recipient(self):
        before = int(time.time())
        self.refusing("bad@partner.example", "worse@partner.example")
        self.send("bad@partner.example", "good@partner.example", "worse@partner.example")
        report = self.report()
        self.assertEqual([block["Final-Recipient"] for block in report.recipients],
                         ["rfc822; bad@partner.example", "rfc822; worse@partner.example"])
        for block in report.recipients:
            self.assertEqual((block["Action"], block["Status"]), ("failed", "5.1.1"))
            self.assertEqual(block["Diagnostic-Code"], f"smtp; {REFUSED}")
            self.assertIn(f"127.0.0.1:{self.hop.port}", block["Remote-MTA"])
            self.assertTrue(block["Remote-MTA"].startswith("dns; "))
            tried = email.utils.parsedate_to_datetime(block["Last-Attempt-Date"]).timestamp()
            self.assertLessEqual(before, tried)
            self.assertLessEqual(tried, time.time())
            self.assertNotIn("Will-Retry-Until", block)

    def test_2_3_9_delay_says_how_long(self):
        self.refusing("late@partner.example", code=LATER, notice_after="300ms", give_up="4h")
        self.send("late@partner.example")
        report = self.report()
        block, = report.recipients
        self.assertEqual((block["Action"], block["Status"]), ("delayed", "4.2.1"))
        until = email.utils.parsedate_to_datetime(block["Will-Retry-Until"]).timestamp()
        arrived = email.utils.parsedate_to_datetime(report.about["Arrival-Date"]).timestamp()
        self.assertAlmostEqual(until - arrived, 4 * 3600, delta=1)
        self.assertIn("need not send it again", " ".join(report.words.get_content().split()))

    def test_delay_is_told_once(self):
        self.refusing("late@partner.example", code=LATER, notice_after="200ms", give_up="4h")
        self.send("late@partner.example")
        proc.wait_until(lambda: self.server.log().count("=deferred ") >= 8, 20, "eight attempts")
        self.assertEqual([report.actions for report in self.reports()], [["delayed"]])
        self.assertEqual(len(list((self.mail / "new").iterdir())), 1)

    def test_expired(self):
        self.refusing("late@partner.example", code=LATER, give_up="2s")
        self.send("late@partner.example", rcpt=["NOTIFY=FAILURE"])
        block, = self.report().recipients
        self.assertEqual((block["Action"], block["Status"]), ("failed", "4.4.7"))
        self.assertEqual(block["Diagnostic-Code"], f"smtp; {LATER}")


class Rfc6533(ReportCase):
    NAME = "grüße@partner.example"

    def test_3_recipient_that_is_not_ascii(self):
        self.refusing()
        self.hop.answers[f"RCPT TO:<{self.NAME}>".encode().decode("ascii", "replace")] = [REFUSED]
        self.send(self.NAME, mail=["SMTPUTF8"])
        report = self.report()
        self.assertEqual(report.status.get_content_type(), "message/global-delivery-status")
        self.assertEqual(report.recipients[0]["Final-Recipient"], f"utf-8; {self.NAME}")
        self.assertEqual(report.words.get_content_charset(), "utf-8")
        self.assertIn(self.NAME, report.words.get_content())

    def test_3_original_recipient_of_type_utf_8(self):
        self.refusing("bad@partner.example")
        self.send("bad@partner.example", mail=["SMTPUTF8"], rcpt=[r"ORCPT=utf-8;gr\x{FC}\x{DF}e@partner.example"])
        report = self.report()
        self.assertIn(report.recipients[0]["Original-Recipient"],
                      (r"utf-8; gr\x{FC}\x{DF}e@partner.example", f"utf-8; {self.NAME}"))

    def test_4_header_that_is_not_ascii(self):
        self.refusing("bad@partner.example")
        self.send("bad@partner.example", mail=["SMTPUTF8", "RET=HDRS"], text=HEADER.format("grüße") + BODY)
        report = self.report()
        self.assertEqual(report.original.get_content_type(), "message/global-headers")
        self.assertIn("Subject: grüße".encode(), report.text)
        self.assertEqual(report.status.get_content_type(), "message/delivery-status")

    def test_plain_where_nothing_needs_more(self):
        self.refusing("bad@partner.example")
        self.send("bad@partner.example", mail=["SMTPUTF8"])
        report = self.report()
        self.assertEqual(report.status.get_content_type(), "message/delivery-status")
        self.assertTrue(report.text.isascii())


class Never(ReportCase):
    def test_rfc5321_6_1_no_report_about_a_report(self):
        """A report that cannot be delivered ends there; NOTIFY=SUCCESS with a null sender is nothing either."""
        self.refusing("bad@partner.example", "back@elsewhere.example")
        self.send("bad@partner.example", sender="back@elsewhere.example")
        self.send("bad@partner.example", "good@partner.example", sender="", rcpt=["NOTIFY=SUCCESS,FAILURE,DELAY"])
        self.wait_empty()
        self.assertEqual(len(self.hop.messages), 1)
        self.assertFalse((self.mail / "new").exists())
