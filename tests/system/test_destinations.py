# SPDX-License-Identifier: Apache-2.0
"""What next hops may be asked for: connections, rates, source addresses, back-off, priority; and that
one which hangs holds up nobody else. Every loopback address is a next hop of its own."""
import smtplib
import socket
import time

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.hosts import Hosts

SLOW = True

TEXT = "From: ada@clinic.example\r\nSubject: x\r\nMessage-ID: <one@clinic.example>\r\n\r\nbody\r\n"
LATER = {"retry_first": "1h", "retry_most": "1h"}


class DestinationCase(RelayCase):
    def hosts(self, **more):
        return self.enterContext(Hosts(**more))

    def route(self, host, **more):
        text = f"[{host}]" if ":" in host else host
        return dict({"to": "smarthost", "host": f"{text}:{self.sink.port}", "tls": "none"}, **more)

    def start(self, routes, destinations=(), relay=None, **queue):
        settings = dict({"loops": 2, "limits": {"recipients": 1500}, "queue": queue}, **relay or {})
        self.server = self.relay({"plain": {"tls": "none", "auth": "off"}}, routes, relay=settings,
                                 sections={"destinations": list(destinations)}).start()

    def send(self, *recipients, count=1, sender="ada@clinic.example"):
        """A new session for each, so that they spread over the loops."""
        for _ in range(count):
            with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
                self.assertEqual(client.sendmail(sender, recipients, TEXT), {})

    def wait(self, condition, what, seconds=240):
        try:
            proc.wait_until(condition, seconds, what)
        except proc.Failed as problem:
            self.fail(f"{problem}\n{self.server.log()[-3000:]}")

    def taken(self, count):
        self.wait(lambda: len(self.sink.messages) >= count, f"{count} messages taken")
        return self.sink.messages

    def deferred(self):
        return self.server.log().count("=deferred ")


class Hanging(DestinationCase):
    def a_thousand(self, **queue):
        """Ten of a hundred hang, ten times; each is to get five messages with a recipient of its own."""
        names = [f"127.{i // 250 + 1}.0.{i % 250 + 1}" for i in range(1000)]
        silent = set(names[::10])
        self.sink = self.hosts(silent=silent)
        self.start([self.route(name, when={"recipient_domain": [f"h{i}.example"]})
                    for i, name in enumerate(names)], **queue)
        self.send(*(f"b@h{i}.example" for i in range(1000)), count=5)
        self.taken(4500)
        self.assertFalse({host for host, _ in self.sink.messages} & silent)
        return silent

    def test_hold_up_nobody(self):
        """A hundred connections hang, and are hanging still when the other 900 next hops have got
        everything; nothing of theirs was deferred. Those that hung get their mail when they answer."""
        silent = self.a_thousand(connections=5000, **LATER)
        self.assertEqual(self.deferred(), 0)
        self.wait(lambda: all(self.sink.open[host] for host in silent), "each of them has a connection")
        for host in silent:
            self.assertLessEqual(self.sink.most[host], 4, "two for each loop at first")
        self.sink.speak()
        self.taken(5000)
        self.wait(self.server.queue_is_empty, "nothing is left")

    def test_not_even_with_few_connections_for_all(self):
        """Fewer connections than next hops that hang: these are given up, so that all have a turn."""
        self.a_thousand(connections=40, **LATER)
        self.assertLessEqual(self.sink.most_of_all, 40)
        self.assertGreater(self.server.log().count("others wait for a connection"), 0)
        self.assertEqual(self.server.unsent(), 5)


class Connections(DestinationCase):
    def test_bound_is_for_all_loops(self):
        self.sink = self.hosts(delay=0.01)
        self.start([self.route("127.0.0.1")],
                   [{"host": ["127.0.0.0/8"], "connections": 1, "messages_per_connection": 7}], **LATER)
        self.send("b@x.example", count=40)
        self.taken(40)
        self.assertEqual(self.sink.most["127.0.0.1"], 1)
        self.assertGreaterEqual(self.sink.opened["127.0.0.1"], 40 // 7)

    def test_first_match_and_each_host_by_itself(self):
        self.sink = self.hosts(delay=0.02)
        self.start([self.route(f"127.0.0.{i}", when={"recipient_domain": [f"h{i}.example"]}) for i in (1, 2, 3)],
                   [{"host": ["mx.example.com", "127.0.0.2"], "connections": 1}, {"connections": 2}], **LATER)
        for i in (1, 2, 3):
            self.send(f"b@h{i}.example", count=20)
        self.taken(60)
        self.assertEqual(self.sink.most["127.0.0.2"], 1)
        self.assertLessEqual(max(self.sink.most["127.0.0.1"], self.sink.most["127.0.0.3"]), 2)

    def test_old_ones_get_no_more(self):
        """Each is too old after its first letter, before it even where the machine is slow."""
        self.sink = self.hosts(delay=0.06)
        self.start([self.route("127.0.0.1")], [{"connections": 1, "connection_age": "1ms"}],
                   relay={"loops": 1}, **LATER)
        self.send("b@x.example", count=3)
        self.taken(3)
        self.assertEqual(self.sink.opened["127.0.0.1"], 3)

    def test_source_address(self):
        self.sink = self.hosts()
        self.start([self.route("127.0.0.1", when={"recipient_domain": ["one.example"]}), self.route("127.0.0.2")],
                   [{"host": "127.0.0.1", "source": ["127.9.9.9", "::1"]}], **LATER)
        self.send("b@one.example", "b@two.example")
        self.taken(2)
        self.assertEqual(self.sink.peers["127.0.0.1"], ["127.9.9.9"])
        self.assertNotEqual(self.sink.peers["127.0.0.2"], ["127.9.9.9"])

    def test_source_address_that_is_not_ours(self):
        self.sink = self.hosts()
        self.start([self.route("127.0.0.1")], [{"source": "192.0.2.77"}], **LATER)
        self.send("b@x.example")
        self.wait(lambda: "=deferred " in self.server.log(), "it is deferred")
        self.assertIn("Cannot assign requested address", self.server.log())

    def test_preferred_family(self):
        if not socket.has_ipv6 or "::1" not in {info[4][0] for info in socket.getaddrinfo("localhost", 25)}:
            self.skipTest("localhost has no IPv6 address here")
        self.sink = self.hosts(families=("127.0.0.1", "::1"))
        self.start([self.route("localhost")], [{"prefer": "ipv4"}], **LATER)
        for count, (prefer, host) in enumerate((("ipv4", "127.0.0.1"), ("ipv6", "::1"), ("ipv4-only", "127.0.0.1"),
                                                ("ipv6-only", "::1")), 1):
            self.server.sections = {"destinations": [{"prefer": prefer, "messages_per_connection": 1}]}
            self.server.write()
            self.server.ctl("reload")
            self.send("b@x.example")
            self.assertEqual(self.taken(count)[-1][0], host, prefer)


class Rates(DestinationCase):
    def test_messages(self):
        """Never more than ten in a second, over both loops; none is lost or deferred for it."""
        self.sink = self.hosts()
        self.start([self.route("127.0.0.1")], [{"rate": {"messages": 10, "per": "1s"}}], **LATER)
        began = time.monotonic()    # nothing can go sooner, however late the first one comes
        self.send("b@x.example", count=25)
        self.taken(25)
        self.assertGreaterEqual(self.sink.times[-1] - began, 2.3)
        self.assertEqual(self.deferred(), 0)

    def test_connections(self):
        self.sink = self.hosts()
        self.start([self.route("127.0.0.1")], [{"rate": {"connections": 2, "per": "1s"},
                                               "messages_per_connection": 1}], **LATER)
        began = time.monotonic()
        self.send("b@x.example", count=5)
        self.taken(5)
        self.assertGreaterEqual(self.sink.times[-1] - began, 1.9)
        self.assertEqual(self.deferred(), 0)

    def test_backlog_is_deferred_and_comes(self):
        """More than the rate lets through in twice the first wait does not wait in memory (C27). A slow
        machine takes mail faster than this rate, too."""
        self.sink = self.hosts()
        self.start([self.route("127.0.0.1")], [{"rate": {"messages": 4, "per": "1s"}}], relay={"loops": 1},
                   retry_first="200ms", retry_most="1h")
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            for _ in range(8):
                client.sendmail("ada@clinic.example", ["b@x.example"], TEXT)
        self.taken(8)
        self.assertIn("more messages wait here than the rate lets through", self.server.log())
        self.assertEqual(len(self.sink.messages), 8)


class BackOff(DestinationCase):
    def test_421_pauses_when_told_so(self):
        answers = {("127.0.0.1", "."): ["250 ok", "421 4.7.0 slow down"]}
        self.sink = self.hosts(answers=answers)
        self.start([self.route("127.0.0.1")], [{"back_off": {"first": "2s", "on": "throttled"}, "connections": 1}],
                   relay={"loops": 1}, retry_first="10ms", retry_most="50ms")
        self.send("b@x.example", count=3)
        self.taken(3)
        self.wait(lambda: "=slowed " in self.server.log(), "it is slowed")
        self.assertGreaterEqual(self.sink.times[1] - self.sink.times[0], 1.5)

    def test_421_on_one_message_is_its_own_otherwise(self):
        answers = {("127.0.0.1", "."): ["250 ok", "421 4.7.0 slow down"]}
        self.sink = self.hosts(answers=answers)
        self.start([self.route("127.0.0.1")], [{"back_off": {"first": "1h", "most": "1h"}, "connections": 1}],
                   relay={"loops": 1}, retry_first="10ms", retry_most="50ms")
        self.send("b@x.example", count=3)
        self.taken(3)

    def test_deferrals_count_when_told_so(self):
        answers = {("127.0.0.1", "MAIL"): ["450 4.7.1 not now"]}
        self.sink = self.hosts(answers=answers)
        self.start([self.route("127.0.0.1")], [{"back_off": {"first": "2s", "on": "deferrals"}}],
                   relay={"loops": 1}, retry_first="10ms", retry_most="50ms")
        self.send("b@x.example")
        self.taken(1)
        self.wait(lambda: "=slowed " in self.server.log(), "it is slowed")


class Priority(DestinationCase):
    def test_higher_goes_first(self):
        """What waits for a host that is busy: by the routes' priority, then in the order it came."""
        self.sink = self.hosts(silent={"127.0.0.1"})
        when = lambda name: {"recipient_domain": [f"{name}.example"]}
        self.start([self.route("127.0.0.1", when=when("bulk"), priority=-4),
                    self.route("127.0.0.1", when=when("urgent"), priority=9), self.route("127.0.0.1")],
                   [{"connections": 1}], relay={"loops": 1}, **LATER)
        for name in ("bulk", "usual", "urgent", "bulk", "usual", "urgent"):
            self.send(f"b@{name}.example")
        self.wait(lambda: self.sink.open["127.0.0.1"] == 1 and self.server.unsent() == 6, "all hang there")
        self.sink.speak()
        order = [recipients[0] for _, recipients in self.taken(6)]
        self.assertEqual(order, [f"b@{name}.example" for name in ("urgent", "usual", "bulk") for _ in range(2)])


class Configuration(DestinationCase):
    def wrong(self, destination):
        self.sink = self.hosts()
        server = self.relay({"plain": {"tls": "none", "auth": "off"}}, [self.route("127.0.0.1")],
                            sections={"destinations": [destination]})
        return server.ctl("check", check=False).stderr

    def test_mistakes_are_named(self):
        for destination, text in (
                ({"host": "mx.example.com:25"}, "without a port"),
                ({"host": "*"}, "is not a host"),
                ({"source": "192.0.2.1:25"}, "is not an address"),
                ({"source": ["192.0.2.1", "192.0.2.2"]}, "second IPv4 address"),
                ({"back_off": {"first": "1h"}}, "is longer than back_off.most"),
                ({"back_off": {"on": "rain"}}, "unreachable"),
                ({"rate": {"message": 3}}, "messages"),
        ):
            with self.subTest(destination=destination):
                shown = self.wrong(destination)
                self.assertIn(text, shown)
                self.assertRegex(shown, r"test\.yaml:\d+:\d+")
