# SPDX-License-Identifier: Apache-2.0
"""Faults under load: a disk that does not sync, is full or cannot be read, a clock that jumps, no descriptors,
no memory.
What got its 250 arrives, and none of these faults makes anything arrive twice (SPEC R4)."""
import os
import time

from tests.lib import faults, proc, reliability
from tests.lib.case import RelayCase, rounds
from tests.lib.traffic import Load, Sink

TORTURE = True
ROUNDS = rounds(3, 25)
FAULT_SECONDS = 0.4


def lines(path):
    with open(path, encoding="ascii") as file:
        return file.read().split()


class Faults(RelayCase):
    def setUp(self):
        super().setUp()
        self.ids, self.acked = (os.path.join(self.directory, name) for name in ("ids", "acked"))
        self.faults = faults.Faults(self.directory, self.builddir)

    def serve(self, refused=(), **limits):
        """refused: what the next hop refuses, in the sink's words."""
        self.sink = Sink(self.builddir, "--ids", self.ids, *refused)
        self.addCleanup(self.sink.process.stdout.close)
        self.addCleanup(proc.end, self.sink.process)
        self.addCleanup(self.sink.process.stdin.close)

        self.server = self.relay({"plain": {"tls": "none", "auth": "off"}},
                                 [{"to": "smarthost", "host": f"127.0.0.1:{self.sink.port}", "tls": "none"}],
                                 relay={"queue": {"retry_first": "100ms", "retry_most": "1s"}, "limits": limits})
        self.faults.preload(self.server)
        self.server.start()

    def counted(self, name):
        return (self.server.status() or {name: 0})[name] > 0

    def suffer(self, name, begin, finish, met=lambda: True, **options):
        """Load, and the fault again and again, until it was `met`; then all that was acknowledged has
        arrived, once."""
        load = Load(self.builddir, self.server.port("plain"), messages=100000000, tag="fault", acked=self.acked,
                    reconnect=30, **dict({"sessions": 10, "size": 4096, "per_connection": 20}, **options))
        self.addCleanup(proc.end, load.process)
        for number in range(ROUNDS):
            enough = self.sink.report()["messages"] + 200
            self.assertGreaterEqual(self.sink.wait(enough, 60)["messages"], enough, "mail flows between faults")
            begin(number)
            time.sleep(FAULT_SECONDS)  # how long the fault lasts, not a wait for anything
            proc.wait_until(met, 60, f"{name}: the relay meets it")
            finish(number)
        load.stop()
        got = load.finish(60)
        proc.wait_until(self.server.queue_is_empty, 60, "the queue is empty")
        self.sink.report()
        figures = reliability.tally(lines(self.acked), lines(self.ids))
        print(f"\n{name}: {figures}; at the client: {got['reasons']}", flush=True)
        self.assertEqual((figures["lost"], figures["duplicated"]), (0, 0), self.server.log()[-3000:])
        self.assertNotIn("relay-died", self.server.log())
        reliability.keep(name, ROUNDS, figures)
        return got

    def test_the_disk_does_not_sync(self):
        self.serve()
        got = self.suffer("sync fails (EIO)", lambda _: self.faults.put("sync"), lambda _: self.faults.end("sync"),
                          lambda: self.counted("spool_sync_failures"))
        self.assertTrue(any("451 4.3.0" in reason for reason in got["reasons"]), got)

    def test_the_disk_cannot_be_read(self):
        """Of what is tried again, every third at first: it stays, is named, and goes when it can be read."""
        self.serve(refused=("--fault", "dot:3:451"))
        self.suffer("reads fail (EIO)", lambda _: self.faults.put("read"), lambda _: self.faults.end("read"),
                    lambda: "451 4.3.0 the message could not be read back" in self.server.log())

    def test_the_disk_is_full(self):
        self.serve()
        got = self.suffer("disk full (ENOSPC)", lambda _: self.faults.put("full"), lambda _: self.faults.end("full"),
                          lambda: self.counted("messages_refused"))
        self.assertTrue(any("452 4.3.1" in reason for reason in got["reasons"]), got)

    def test_the_clock_jumps(self):
        """A day forward, back again, two hours back."""
        self.serve()
        self.suffer("clock jumps", lambda number: self.faults.put("clock", str((86400, -7200)[number % 2])),
                    lambda _: self.faults.end("clock"))

    def test_no_descriptors(self):
        self.serve()
        self.suffer("out of descriptors", lambda _: self.faults.put("descriptors"), lambda _: self.faults.end("descriptors"),
                    lambda: "accept-paused" in self.server.log(), sessions=30, per_connection=3)

    def test_no_memory(self):
        """The budget of messages in hand holds five of them, and thirty clients send."""
        self.serve(memory="1m", message_size="512k", header_size="64k")
        got = self.suffer("out of memory budget", lambda _: None, lambda _: None, sessions=30, size=180000)
        self.assertTrue(any("452 4.3.1" in reason for reason in got["reasons"]), got)
