# SPDX-License-Identifier: Apache-2.0
"""Reloads and upgrades under full load: no connection is refused, none broken but by a 421 between two
commands, what got its 250 arrives once. And how long a new connection waits for its greeting."""
import collections
import os
import socket
import threading
import time

from tests.lib import proc, reliability
from tests.lib.case import RelayCase, rounds
from tests.lib.certificates import certificate
from tests.lib.traffic import Load, Sink

TORTURE = True
RELOADS, UPGRADES = rounds(10, 100), rounds(2, 10)
# One message a connection (slowed down: ports come to an end), many a connection, and in TLS.
KINDS = {"single": {"sessions": 10, "per_connection": 1, "rate": 150},
         "many": {"sessions": 16, "per_connection": 1000},
         "tls": {"sessions": 4, "per_connection": 20, "starttls": True}}
# A new connection's greeting; what a test machine does meanwhile is not ours.
GREETING_SECONDS = rounds(20, 3)


def lines(path):
    with open(path) as file:
        return file.read().split()


class Greetings(threading.Thread):
    """Connects again and again; keeps how long greetings took and what was no greeting."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.waits, self.wrong, self.stop = port, [], [], threading.Event()

    def once(self):
        with socket.create_connection(("127.0.0.1", self.port), 60) as peer:
            got = peer.recv(512)
            if not got.startswith(b"220"):
                self.wrong.append(got)
            peer.sendall(b"QUIT\r\n")
            peer.recv(512)

    def run(self):
        while not self.stop.wait(0.02):
            began = time.monotonic()
            try:
                self.once()
            except OSError as problem:
                self.wrong.append(repr(problem))
            self.waits.append(time.monotonic() - began)

    def end(self):
        self.stop.set()
        self.join()


class UpgradeUnderLoad(RelayCase):
    def setUp(self):
        super().setUp()
        self.ids = os.path.join(self.directory, "ids")
        self.sink = Sink(self.builddir, "--ids", self.ids)
        self.addCleanup(self.sink.process.stdout.close)
        self.addCleanup(proc.end, self.sink.process)
        self.addCleanup(self.sink.process.stdin.close)

    def smarthost(self, port):
        return [{"to": "smarthost", "host": f"127.0.0.1:{port}", "tls": "none"}]

    def start(self, port, **more):
        self.server = self.relay({"plain": {"tls": "starttls", "auth": "off"}}, self.smarthost(port),
                                 tls=certificate(self.directory, "localhost"), **more).start()

    def acked(self, kind):
        return os.path.join(self.directory, "acked-" + kind)

    def load(self, kind, options):
        load = Load(self.builddir, self.server.port("plain"), messages=100000000, size=4096, tag=kind,
                    acked=self.acked(kind), reconnect=30, **options)
        self.addCleanup(proc.end, load.process)
        return load

    def figure(self, name):
        status = self.server.status()
        return status.get(name) if status else None

    def reload(self, number):
        self.server.relay = {"limits": {"recipients": 100 + number}}
        self.server.write()
        self.server.ctl("reload")

    def test_reloads_and_upgrades_under_load(self):
        self.start(self.sink.port, relay={"queue": {"retry_first": "100ms", "retry_most": "1s"}})
        loads = {kind: self.load(kind, options) for kind, options in KINDS.items()}
        greetings = Greetings(self.server.port("plain"))
        greetings.start()
        taken = []
        for number in range(RELOADS):
            before = self.sink.report()["messages"]
            self.sink.wait(before + 50, 60)
            self.reload(number)
            if number % (RELOADS // UPGRADES) == RELOADS // UPGRADES - 1:
                began = time.monotonic()
                self.server.ctl("upgrade")
                taken.append(time.monotonic() - began)
        self.sink.wait(self.sink.report()["messages"] + 100, 60)
        for load in loads.values():
            load.stop()
        got = {kind: load.finish(60) for kind, load in loads.items()}
        greetings.end()
        proc.wait_until(self.server.queue_is_empty, 60, "the queue is empty")
        self.sink.report()
        print(f"\n{RELOADS} reloads, {UPGRADES} upgrades of {min(taken):.2f} to {max(taken):.2f} s; "
              f"{len(greetings.waits)} greetings, the slowest after {max(greetings.waits):.3f} s", flush=True)
        self.check_clients(got, greetings)
        self.check_messages(got)
        self.assertEqual(self.server.log().count("relay-replaced"), UPGRADES)
        self.assertNotIn("relay-died", self.server.log())

    def check_clients(self, got, greetings):
        self.assertEqual(greetings.wrong, [])
        self.assertLess(max(greetings.waits), GREETING_SECONDS)
        for kind, figures in got.items():
            print(f"{kind}: {figures['accepted']} accepted, {figures['connections']} connections, "
                  f"told to go: {figures['reasons']}", flush=True)
            broken = [why for why in figures["reasons"] if not why.startswith("421 4.3.2")]
            self.assertEqual(broken, [], f"{kind}: {figures}\n{self.server.log()[-3000:]}")
            self.assertGreater(figures["accepted"], 20 * UPGRADES, kind)
        self.assertEqual(got["single"]["reasons"], {})

    def check_messages(self, got):
        times = collections.Counter(lines(self.ids))
        acked = [each for kind in got for each in lines(self.acked(kind))]
        doubles = [each for each, count in times.items() if count > 1]
        lost = [each for each in acked if each not in times]
        print(f"{len(acked)} acknowledged, {len(times)} arrived, {len(doubles)} of them more than once, "
              f"{len(lost)} lost", flush=True)
        self.assertEqual(lost[:20], [], self.server.log()[-3000:])
        self.assertEqual(doubles[:20], [], self.server.log()[-3000:])
        self.assertEqual(len(acked), len(set(acked)))
        self.assertEqual(sorted(set(times) - set(acked))[:20], [], "arrived and got no 250")
        reliability.keep(f"{RELOADS} reloads, {UPGRADES} upgrades", RELOADS + UPGRADES,
                         reliability.tally(acked, lines(self.ids)))

    def test_an_upgrade_with_many_waiting(self):
        """Nobody waits for the queue to be read: the next hop is away, so all of it waits."""
        away = proc.free_port()
        self.start(away, relay={"queue": {"retry_first": "1s", "retry_most": "1s"}})
        count = rounds(2000, 10000)
        load = Load(self.builddir, self.server.port("plain"), sessions=20, messages=count, size=2048,
                    per_connection=100, tag="wait", acked=self.acked("wait"))
        self.addCleanup(proc.end, load.process)
        self.assertEqual(load.finish()["accepted"], count)
        greetings = Greetings(self.server.port("plain"))
        greetings.start()
        began = time.monotonic()
        self.server.ctl("upgrade")
        taken = time.monotonic() - began
        proc.wait_until(lambda: self.figure("spool_loading") is False, 120, "the spool is read")
        read = time.monotonic() - began
        greetings.end()
        print(f"\n{count} waiting: upgrade in {taken:.2f} s, all read after {read:.2f} s, the slowest "
              f"of {len(greetings.waits)} greetings after {max(greetings.waits):.3f} s", flush=True)
        self.assertEqual(greetings.wrong, [])
        self.assertLess(max(greetings.waits), GREETING_SECONDS)
        self.assertEqual(self.server.unsent(), count)
        self.server.routes = self.smarthost(self.sink.port)
        self.server.write()
        self.server.ctl("reload")
        self.sink.wait(count, 120)
        proc.wait_until(self.server.queue_is_empty, 60, "the queue is empty")
        self.sink.report()
        self.check_messages(["wait"])
