# SPDX-License-Identifier: Apache-2.0
"""Mail servers that do not run here, by their documentation: the sessions that they hold, their time-outs and
how they try again (S2-38 to S2-45). What each is told to do stands in docs/neighbours.md."""
import ssl

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.certificates import certificate
from tests.lib.nexthop import NextHop
from tests.lib.talk_tests import Peer

SENDER, TO = "ada@clinic.example", "bo@partner.example"
BODY = "Subject: {}\r\n\r\nbody\r\n"
SERVERS = {"tls": "starttls", "auth": "off", "networks": ["127.0.0.0/8"]}


class Server(Peer):
    """A neighbour as it talks; every reply is an answer to what was said, in order."""

    def expect(self, code):
        got, texts = self.reply()
        if got != code:
            raise AssertionError(f"{got} {texts} and not {code}")
        return texts

    def say(self, line, code):
        self.send(line.encode() + b"\r\n")
        return self.expect(code)

    def leave(self):
        """The connection is closed by the relay, right behind its answer."""
        self.say("QUIT", "221")
        self.closed()

    def shake_hands(self, version):
        """TLS without a certificate of its own; the handshake's messages that the relay sent, by name."""
        context, seen = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), []
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        context._msg_callback = lambda _, direction, __, ___, kind, ____: (
            direction == "read" and seen.append(getattr(kind, "name", str(kind))))
        self.socket = context.wrap_socket(self.socket, server_hostname="postern.test")
        return seen


class NeighbourClients(RelayCase):
    def start(self, routes=None, **more):
        self.server = self.relay({"servers": SERVERS}, routes or [{"to": "discard"}],
                                 tls=certificate(self.directory, "postern.test"), **more)
        self.server.programs.modules += f":{self.builddir}/tests/modules/.libs"
        self.server.start()

    def begin(self, hello="EHLO mail.clinic.example"):
        peer = Server(self.server.port("servers"))
        self.addCleanup(lambda: peer.socket.close())  # by then it may be another, of TLS
        peer.expect("220")
        self.offers = peer.say(hello, "250")
        return peer

    def said(self, event, times):
        """So often the log has it, neither fewer nor more."""
        proc.wait_until(lambda: self.server.log().count(f"event={event} ") >= times, 60, f"{times} of {event}")
        self.assertEqual(self.server.log().count(f"event={event} "), times)

    # -- Exchange -----------------------------------------------------------------------------
    def exchange(self, peer, recipient, number):
        """With what the relay offers: size, pipelining, and chunks instead of DATA."""
        body = BODY.format(number).encode()
        peer.send(f"MAIL FROM:<{SENDER}> SIZE={len(body)}\r\nRCPT TO:<{recipient}>\r\n"
                  f"BDAT {len(body)} LAST\r\n".encode() + body)
        for _ in range(3):
            peer.expect("250")

    def test_exchange_without_edge_S2_38(self):
        """By its address, to any domain and those below it; a session in clear, and a report (<>) in it."""
        self.start()
        peer = self.begin()
        self.assertTrue({"PIPELINING", "CHUNKING", "8BITMIME"} <= set(self.offers))
        for number, recipient in enumerate(["b@example.net", "b@sub.example.net", "b@deep.sub.example.org"]):
            self.exchange(peer, recipient, number)
        peer.say("MAIL FROM:<> SIZE=40", "250")
        peer.say(f"RCPT TO:<{TO}>", "250")
        peer.say("RSET", "250")
        peer.leave()
        self.said("accepted", 3)

    def test_exchange_with_edge_S2_39(self):
        """Opportunistic TLS, no client certificate at hand and none asked for."""
        self.start()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            peer = self.begin()
            peer.say("STARTTLS", "220")
            seen = peer.shake_hands(version)
            peer.say("EHLO mail.clinic.example", "250")
            self.assertIn("FINISHED", seen)
            self.assertNotIn("CERTIFICATE_REQUEST", seen)
            self.exchange(peer, TO, 0)
            peer.leave()
        self.said("accepted", 2)

    # -- those that come again ----------------------------------------------------------------
    def attempt(self, hello):
        """A message as old servers send it, a command at a time; the reply to its final dot."""
        peer = self.begin(hello)
        peer.say(f"MAIL FROM:<{SENDER}>", "250")
        peer.say(f"RCPT TO:<{TO}>", "250")
        peer.say("DATA", "354")
        peer.send(BODY.format("again").encode() + b".\r\n")
        reply = peer.reply()
        peer.leave()
        return reply

    def comes_again(self, hello, times):
        """As long as a module cannot decide: the same answer every time, and nothing of it is kept."""
        self.start(pipeline=["faulty"])
        answers = [self.attempt(hello) for _ in range(times)]
        self.assertEqual(answers[0][0], "451")
        self.assertEqual(answers, [answers[0]] * times)
        self.said("accepted", 0)
        proc.wait_until(self.server.queue_is_empty, 60, "the queue is empty")
        self.server.sections["faulty"] = {"how": "pass"}
        self.server.write()
        self.server.reload()
        proc.wait_until(lambda: self.attempt(hello)[0] == "250", 60, "the next attempt is taken")
        self.said("accepted", 1)

    def test_exchange_2003_tries_at_1_1_3_5_minutes_S2_40(self):
        self.comes_again("EHLO mail.clinic.example", 4)

    def test_domino_tries_after_a_minute_S2_41(self):
        self.comes_again("HELO mail.clinic.example", 2)

    # -- time-outs ----------------------------------------------------------------------------
    def slow(self, last):
        """Three modules that use all their time, at the deadlines of this test; what the third's means."""
        entries = [{"faulty": {"id": f"slow{number}", "timeout": "200ms",
                               "on_fault": "skip" if number < 3 else last}} for number in (1, 2, 3)]
        self.start(pipeline=entries, sections={f"slow{number}": {"how": "late"} for number in (1, 2, 3)})

    def test_groupwise_hears_within_its_time_outs_S2_42(self):
        """Commands 5 minutes, data 3, read 5, termination 15: the answer comes by the modules' deadlines,
        and no configuration may set later ones than a minute."""
        self.slow("defer")
        peer = self.begin()
        for _ in range(2):  # the session goes on behind it
            peer.say(f"MAIL FROM:<{SENDER}>", "250")
            peer.say(f"RCPT TO:<{TO}>", "250")
            peer.say("DATA", "354")
            peer.send(BODY.format("slow").encode() + b".\r\n")
            peer.expect("451")
        peer.leave()
        for number in (1, 2, 3):
            self.said(f"fault entry=slow{number}", 2)
        self.server.pipeline = [{"faulty": {"timeout": "61s"}}]
        self.server.write()
        said = self.server.ctl("check", check=False)
        self.assertNotEqual(said.returncode, 0)
        self.assertRegex(said.stderr, r"timeout.*61s.*1m")

    def test_sendmail_and_qmail_hear_of_the_final_dot_S2_43_S2_45(self):
        """Timeout.datafinal is an hour, timeoutremote 1200 s: a chain that is as slow as it may be takes the
        message all the same where its entries say so."""
        self.slow("skip")
        self.assertEqual(self.attempt("HELO mail.clinic.example")[0], "250")
        for number in (1, 2, 3):
            self.said(f"fault entry=slow{number}", 1)

    # -- OS X Server, qmail -------------------------------------------------------------------
    def test_os_x_server_relays_all_mail_S2_44(self):
        """Its Postfix: the envelope in one packet, QUIT right behind the final dot."""
        self.start()
        peer = self.begin()
        peer.send(f"MAIL FROM:<{SENDER}> SIZE=300\r\nRCPT TO:<{TO}>\r\nRCPT TO:<c@example.net>\r\n"
                  "DATA\r\n".encode())
        for code in ("250", "250", "250", "354"):
            peer.expect(code)
        peer.send(BODY.format("all").encode() + b".\r\nQUIT\r\n")
        peer.expect("250")
        peer.expect("221")
        peer.closed()
        self.said("accepted", 1)

    def test_qmail_and_domains_that_go_elsewhere_S2_45(self):
        """HELO, one message a connection; a route for a domain stands before the one for all others."""
        inside, outside = self.enterContext(NextHop()), self.enterContext(NextHop())
        self.start([dict(inside.route, when={"recipient_domain": ["internal.example"]}), outside.route])
        for recipient in ("b@internal.example", "b@partner.example"):
            peer = self.begin("HELO mail.clinic.example")
            peer.say(f"MAIL FROM:<{SENDER}>", "250")
            peer.say(f"RCPT TO:<{recipient}>", "250")
            peer.say("DATA", "354")
            peer.send(BODY.format("one").encode() + b".\r\n")
            peer.expect("250")
            peer.leave()
        self.assertEqual([each[1] for each in inside.wait(1)], [["<b@internal.example>"]])
        self.assertEqual([each[1] for each in outside.wait(1)], [["<b@partner.example>"]])
