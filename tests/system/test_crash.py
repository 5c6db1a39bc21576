# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the relay and of the master at random moments, under load at full speed: what got its
250 arrives, and a message arrives twice only where the mark of its delivery was not yet written."""
import collections
import os
import random
import secrets
import socket
import statistics
import time

from tests.lib import proc, reliability
from tests.lib.case import RelayCase, rounds
from tests.lib.postern import File
from tests.lib.traffic import Load, Sink

SLOW = True
TORTURE = True

ROUNDS, ENCRYPTED_ROUNDS = rounds((14, 6), (150, 50))
MOST_LOAD_SECONDS = rounds(0.5, 1.5)  # between 200 arrivals and a kill
SEED = int(os.environ.get("CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
# Deliveries without a written mark at one moment: on each connection those under way, and what
# was marked while the committer synced. In a log of arrivals that is a stretch around the kill.
NEAR = 500
# The issue says one second, which `make torture` asks of half the kills; in `make check` a machine
# may be busy with other things.
AGAIN_SECONDS = rounds(10, 1)


def greeted(port):
    """One connection greets; False where it breaks first."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as peer:
            peer.settimeout(10)
            return peer.recv(512).startswith(b"220")
    except OSError:
        return False


def lines(path):
    with open(path) as file:
        return file.read().split()


class Crash(RelayCase):
    rounds, encrypted = ROUNDS, False

    def setUp(self):
        super().setUp()
        self.random = random.Random(SEED)
        self.ids, self.acked = (os.path.join(self.directory, name) for name in ("ids", "acked"))
        self.sink = Sink(self.builddir, "--ids", self.ids)
        self.addCleanup(self.sink.process.stdout.close)
        self.addCleanup(proc.end, self.sink.process)
        self.addCleanup(self.sink.process.stdin.close)
        self.server = self.relay({"plain": {"tls": "none", "auth": "off"}},
                                 [{"to": "smarthost", "host": f"127.0.0.1:{self.sink.port}", "tls": "none"}],
                                 relay={"queue": {"retry_first": "100ms", "retry_most": "1s"},
                                        "spool": self.spool()})
        self.marks, self.again = [], []     # arrivals at the moment of each kill; seconds to a greeting

    def spool(self):
        if not self.encrypted:
            return {}
        path = os.path.join(self.directory, "spool.key")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write("ours " + secrets.token_hex(32) + "\n")
        return {"encrypt_with": File(path)}

    def crash_relay(self):
        pid = self.server.kill_relay()
        began = time.monotonic()
        self.marks.append(self.sink.report()["messages"])
        proc.wait_until(lambda: self.server.child("relay") not in (pid, None), 60, "another relay starts")
        proc.wait_until(lambda: greeted(self.server.port("plain")), 60, "a new connection is greeted")
        self.again.append(time.monotonic() - began)

    def crash_master(self):
        self.server.process.kill()
        self.marks.append(self.sink.report()["messages"])
        self.server.kill_master()
        self.marks.append(self.sink.report()["messages"])
        self.server.start()

    def run_rounds(self, load):
        for number in range(self.rounds):
            before = self.sink.report()["messages"]
            self.assertGreaterEqual(self.sink.wait(before + 200, 60)["messages"], before + 200)
            time.sleep(self.random.uniform(0, MOST_LOAD_SECONDS))   # the random moment, not a wait
            (self.crash_master if number % 2 else self.crash_relay)()
        load.stop()
        return load.finish(60)

    def test_what_got_its_250_arrives(self):
        print(f"\nseed {SEED} (again with CRASH_SEED={SEED})", flush=True)
        self.server.start()
        load = Load(self.builddir, self.server.port("plain"), sessions=20, messages=100000000, size=4096,
                    per_connection=20, tag="crash", acked=self.acked, reconnect=30)
        self.addCleanup(proc.end, load.process)
        got = self.run_rounds(load)
        try:
            proc.wait_until(self.server.queue_is_empty, 240, "the queue is empty")
        except proc.Failed as problem:
            self.fail(f"{problem}, seed {SEED}\n{self.server.ctl('status', check=False).stdout}"
                      f"{self.server.log()[-3000:]}")
        self.sink.report()
        self.check(got, lines(self.acked), lines(self.ids))

    def check(self, got, acked, arrived):
        times = collections.Counter(arrived)
        doubles = [each for each, count in times.items() if count > 1]
        first = {}
        for position, each in enumerate(arrived):
            first.setdefault(each, position)
        far = {each: min(abs(first[each] - mark) for mark in self.marks) for each in doubles}
        print(f"{len(acked)} acknowledged, {len(arrived)} arrived, {len(doubles)} of them more than once "
              f"({len(arrived) - len(times)} copies too many), first arrival at most "
              f"{max(far.values(), default=0)} arrivals from a kill;\n"
              f"{got['failed']} refused or broken at the client: {got['reasons']}\n"
              f"a new connection was greeted after {min(self.again):.2f} to {max(self.again):.2f} s "
              f"of kill -9 of the relay", flush=True)
        lost = [each for each in acked if each not in times]
        self.assertEqual(lost[:20], [], f"{len(lost)} acknowledged messages are lost, seed {SEED}\n"
                                        f"{self.server.log()[-3000:]}")
        self.assertEqual(len(acked), len(set(acked)))
        self.assertGreater(len(acked), 100 * self.rounds, got)
        self.assert_submitted(got, acked, times)
        unexplained = {each: distance for each, distance in far.items() if distance > NEAR}
        self.assertEqual(unexplained, {}, f"delivered twice without a kill nearby, seed {SEED}")
        self.assertLess(statistics.median(self.again), AGAIN_SECONDS, self.again)
        reliability.keep("kill -9 of relay and master by turns" + (", spool encrypted" if self.encrypted else ""),
                         self.rounds, reliability.tally(acked, arrived),
                         f"first arrival at most {max(far.values(), default=0)} arrivals from a kill: the mark of the "
                         f"delivery was not written yet")

    def assert_submitted(self, got, acked, times):
        """Ids are numbers from 0 on, one for each message begun."""
        begun = got["accepted"] + got["failed"] + 20
        strange = [each for each in times
                   if not each.startswith("crash-") or not each[6:].isdigit() or int(each[6:]) >= begun]
        self.assertEqual(strange, [], "arrived and was never submitted")
        self.assertLessEqual(len(set(times) - set(acked)), got["failed"] + 20,
                             "more arrived without a 250 than was given up by the client")


class CrashEncrypted(Crash):
    """The same with mail encrypted on disk."""
    rounds, encrypted = ENCRYPTED_ROUNDS, True
