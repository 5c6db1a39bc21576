# SPDX-License-Identifier: Apache-2.0
"""Next hops that break off at every step, and a relay that has no descriptors left: nothing is lost."""
import resource
import smtplib
import socket

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.hosts import Hosts

TEXT = "From: ada@clinic.example\r\nSubject: x\r\nMessage-ID: <one@clinic.example>\r\n\r\nbody\r\n"
QUICK = {"retry_first": "50ms", "retry_most": "200ms"}
STEPS = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", ".")


class BrokenCase(RelayCase):
    def start(self, hosts=("127.0.0.1",), **more):
        routes = [{"to": "smarthost", "host": f"{host}:{self.sink.port}", "tls": "none",
                   "when": {"recipient_domain": [f"h{i}.example"]}} for i, host in enumerate(hosts)]
        self.server = self.relay({"plain": {"tls": "none", "auth": "off"}}, routes,
                                 relay=dict({"queue": QUICK, "loops": 1}, **more)).start()

    def send(self, *recipients):
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            self.assertEqual(client.sendmail("ada@clinic.example", recipients, TEXT), {})

    def taken(self, wanted):
        """Everybody has got it, once."""
        def has():
            return len(self.sink.messages) >= len(wanted)
        try:
            proc.wait_until(has, 60, f"{len(wanted)} messages")
        except proc.Failed as problem:
            self.fail(f"{problem}\n{self.server.log()[-2000:]}")
        got = sorted(each for _, recipients in self.sink.messages for each in recipients)
        self.assertEqual(got, sorted(wanted))


class Resets(BrokenCase):
    def test_at_each_step(self):
        """A host for each step and kind of end; RST, 421, and both before it works. The message that
        was reset after its last dot had not been taken here, so nobody gets it twice."""
        ends = (["reset"], ["421 4.3.2 going down"], ["reset", "421 4.3.2 going down", "reset"])
        hosts, answers = [], {}
        for i, step in enumerate(STEPS):
            for j, replies in enumerate(ends):
                hosts.append(f"127.2.{i}.{j + 1}")
                answers[hosts[-1], step] = list(replies)
        self.sink = self.enterContext(Hosts(answers=answers))
        self.start(hosts)
        wanted = [f"b@h{i}.example" for i in range(len(hosts))]
        self.send(*wanted)
        self.taken(wanted)
        self.assertEqual({key: left for key, left in answers.items() if left}, {}, "not every end was met")
        self.assertGreaterEqual(self.server.log().count("=deferred "), len(hosts))


class Descriptors(BrokenCase):
    def start_with_few(self, count, hosts):
        """The relay inherits the limit; we have it but for the time of the start."""
        mine = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, mine[1]))
        try:
            self.start(hosts, limits={"connections_per_address": 1000})
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, mine)

    def test_none_left_for_next_hops(self):
        """Clients have them all. What cannot be opened is tried again in a second, and is no failure of
        the next hops'."""
        self.sink = self.enterContext(Hosts())
        self.start_with_few(150, [f"127.3.0.{i + 1}" for i in range(21)])
        self.send("b@h20.example")  # the spool has its segment open from here on
        self.taken(["b@h20.example"])
        wanted = [f"b@h{i}.example" for i in range(20)]
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            client.ehlo()
            clients = [socket.create_connection(("127.0.0.1", self.server.port("plain"))) for _ in range(200)]
            try:
                proc.wait_until(lambda: "Too many open files" in self.server.log(), 20, "no descriptor is left")
                self.assertEqual(client.sendmail("ada@clinic.example", wanted, TEXT), {})
                proc.wait_until(lambda: self.server.log().count("=cannot-connect ") == 20, 20, "it cannot connect")
                self.assertEqual(len(self.sink.messages), 1)
            finally:
                for each in clients:
                    each.close()
            self.taken([*wanted, "b@h20.example"])
        self.assertEqual(self.server.log().count("=deferred "), 0)
        self.assertEqual(self.server.log().count("=unreachable "), 0)
