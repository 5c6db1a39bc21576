# SPDX-License-Identifier: Apache-2.0
"""A thousand messages over one connection (S2-15, S2-46), and, with 200 in `make check`, of a client that is
watched, to a scripted next hop, to a Postfix."""
import os
import smtplib

from tests.lib import proc
from tests.lib.case import RelayCase, rounds
from tests.lib.nexthop import NextHop
from tests.lib.postfix import Postfix
from tests.lib.traffic import Load, Sink

TORTURE = True
MESSAGES = rounds(200, 1000)
GROWTH = 8 << 20


def resident(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Thousand(RelayCase):
    def start(self, port):
        route = {"to": "smarthost", "host": f"127.0.0.1:{port}", "tls": "none"}
        self.server = self.relay({"plain": {"tls": "none", "auth": "off"}}, [route],
                                 sections={"destinations": [{"connections": 1, "idle_connection": "5m"}]},
                                 relay={"loops": 1, "trace_memory": "64k"}).start()

    def send(self, count, at=None):
        """All on one connection; at(number) is called behind each."""
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            client.ehlo()
            for number in range(count):
                client.sock.sendall(f"MAIL FROM:<a@clinic.example>\r\nRCPT TO:<b{number}@partner.example>\r\n"
                                    "DATA\r\n".encode())
                self.assertEqual([client.getreply()[0] for _ in range(3)], [250, 250, 354])
                client.sock.sendall(f"Subject: {number}\r\n\r\nbody\r\n.\r\n".encode())
                self.assertEqual(client.getreply()[0], 250)
                if at:
                    at(number)

    def test_client_and_scripted_next_hop(self):
        """RFC 5321 section 3.3: any number of transactions in a session; what it takes stays as it is."""
        hop = self.enterContext(NextHop())
        self.start(hop.port)
        sizes = []

        def weigh(number):
            if number % (MESSAGES // 10) == 0:
                sizes.append(resident(self.server.child("relay")))
        self.send(MESSAGES, weigh)
        hop.wait(MESSAGES, 120)
        self.assertEqual(sorted(recipient for _, recipients, _ in hop.messages for recipient in recipients),
                         sorted(f"<b{number}@partner.example>" for number in range(MESSAGES)))
        self.assertEqual(hop.connections, 1)
        if not os.environ.get("SANITIZERS"):  # these keep what is freed
            self.assertLess(sizes[-1] - sizes[2], GROWTH, sizes)

    def test_one_connection_in_one_connection_out_S2_15_S2_46(self):
        """Defaults: a client may stay for a thousand messages, and they go to a next hop in one session."""
        sink = Sink(self.builddir)
        self.addCleanup(sink.process.stdout.close)
        self.addCleanup(proc.end, sink.process)
        self.addCleanup(sink.process.stdin.close)
        self.start(sink.port)
        load = Load(self.builddir, self.server.port("plain"), sessions=1, messages=1000,
                    per_connection=1000).finish()
        self.assertEqual(load["accepted"], 1000)
        self.assertEqual(load["connections"], 1)
        taken = sink.wait(1000, 600)
        self.assertEqual((taken["messages"], taken["connections"]), (1000, 1))

    def test_postfix_as_next_hop(self):
        count = MESSAGES // 2
        try:
            hop = Postfix(os.path.join(self.directory, "postfix"), self.builddir, "discard")
            self.addCleanup(hop.remove)
            hop.start()
        except proc.CannotRun as reason:
            self.skipTest(str(reason))
        self.addCleanup(hop.stop)
        self.start(hop.port)
        self.send(count)
        proc.wait_until(lambda: self.server.log().count("event=delivered ") >= count, 120, "all are delivered")
        self.assertEqual(self.server.log().count("event=deferred "), 0)
        self.server.stop()
        proc.wait_until(lambda: f" mail={count} rcpt={count} " in hop.log(), 60,
                        "one session that had them all")
