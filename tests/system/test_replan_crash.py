# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the relay while it chooses again: a next hop that keeps losing its STARTTLS gets every message in
the rendering of one plan or the other, and never in clear over a connection in clear."""
import collections
import os
import random
import re
import smtplib
import time

from tests.lib import proc
from tests.lib.case import RelayCase, rounds
from tests.lib.certificates import certificate
from tests.lib.nexthop import NextHop

SEED = int(os.environ.get("CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
SECRET = "the secret is out"
BATCH = 12
# From an arrival whose mark may not be written to the kill: marks wait for a disk that syncs.
NEAR_SECONDS = rounds(10, 2)


class TimedHop(NextHop):
    """Knows of each message when it came, and whether in TLS."""

    def __init__(self, **more):
        super().__init__(**more)
        self.arrivals, self.context = [], self.tls

    def take(self, data, secure):
        number = re.search(rb"^X-Number: (\d+)", data, re.M)
        self.arrivals.append((int(number[1]) if number else None, time.monotonic(), secure, data.decode()))


class ReplanCrash(RelayCase):
    def setUp(self):
        super().setUp()
        self.random = random.Random(SEED)
        self.accepted, self.kills, self.number = set(), [], 0

    def start(self, hop):
        second = {"selector": {"id": "second"}}
        self.server = self.relay(
            {"plain": {"tls": "none", "auth": "off"}}, routes=[dict(hop.route, tls="may")],
            pipeline=["selector", second, "provider", "sealer"],
            sections={"selector": {"want": "sender", "rules": ["=tls"]}, "second": {"rules": ["=fake"]}},
            relay={"queue": {"retry_first": "100ms", "retry_most": "1s"}})
        self.server.programs.modules += ":" + os.path.join(self.builddir, "tests", "modules", ".libs")
        self.server.start()

    def submit(self):
        """A batch of messages; notes what got its 250."""
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            for _ in range(BATCH):
                self.number += 1
                message = (f"From: ada@clinic.example\r\nTo: bo@f.example\r\nX-Number: {self.number}\r\n"
                           f"Subject: hello\r\n\r\n{SECRET}\r\n")
                client.sendmail("ada@clinic.example", ["bo@f.example"], message)
                self.accepted.add(self.number)

    def kill(self):
        pid = self.server.child("relay")
        self.server.kill_relay()
        self.kills.append(time.monotonic())
        proc.wait_until(lambda: self.server.child("relay") not in (pid, None), 20, "another relay starts")
        self.server.wait_ready()

    def check(self, hop):
        times = collections.Counter(number for number, *_ in hop.arrivals)
        self.assertEqual(self.accepted - set(times), set(), "lost")
        self.assertEqual(set(times) - self.accepted, set(), "never accepted, or a report of a failure")
        ways = collections.Counter()
        first = {}
        for number, when, secure, data in hop.arrivals:
            first.setdefault(number, when)
            clear = SECRET in data
            ways[secure, clear] += 1
            self.assertTrue(secure or not clear, f"message {number} in clear")
            self.assertEqual("X-Method: fake" in data, not clear, data)
            # The seal above the clear rendering has gone before the provider copied its header.
            self.assertTrue(data.startswith("X-Seal: 0 none plan 1" if clear else "X-Seal: 1 fake plan 2"), data)
            self.assertEqual(data.count("X-Seal:"), 1, data)
            self.assertEqual(data.count("Received:"), 1, data)
        self.assertGreater(ways[True, True], 0, "by the first plan")
        self.assertGreater(ways[False, False] + ways[True, False], BATCH, "by the second")
        far = [number for number, count in times.items() if count > 1
               and min(abs(first[number] - kill) for kill in self.kills) > NEAR_SECONDS]
        self.assertEqual(far, [], "twice without a kill nearby")
        print(f"{len(self.accepted)} accepted, {ways[True, True]} came by TLS, {len(hop.arrivals) - ways[True, True]} "
              f"were planned again, {len(hop.arrivals) - len(times)} copies too many", flush=True)

    def test_kills_while_replans_are_under_way(self):
        print(f"\nseed {SEED} (again with CRASH_SEED={SEED})", flush=True)
        with TimedHop(tls=certificate(self.directory, "localhost")) as hop:
            self.start(hop)
            for number in range(rounds(12, 100)):
                hop.tls = None if number % 3 else hop.context
                self.submit()
                time.sleep(self.random.uniform(0, 0.06))    # the random moment, not a wait for anything
                if self.random.random() < 0.3:
                    hop.tls = None
                self.kill()
            # Whatever was killed: once in peace, before a next hop that keeps its TLS.
            hop.tls = hop.context
            self.kill()
            self.submit()
            proc.wait_until(lambda: self.accepted <= {number for number, *_ in list(hop.arrivals)}, 60,
                            f"all arrive, seed {SEED}")
            self.assertEqual(self.server.stop(60), 0)
            self.check(hop)
