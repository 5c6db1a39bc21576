# SPDX-License-Identifier: Apache-2.0
"""attack.py - a crowd of clients that want nothing but the server's time, from many loopback addresses.

A program of its own, so that it takes nothing from who measures beside it:
	python3 -m tests.lib.attack PORT ATTEMPTS RATE HOLD ADDRESSES
ATTEMPTS connections at RATE a second from ADDRESSES addresses in turn; of those that are greeted, HOLD are
kept, and drip a byte now and then. Says one line of JSON when all have been tried, and another when its
standard input ends, which is when it lets go.
"""
import json
import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

WAIT_SECONDS = 60


def address(number):
    return f"127.66.{number // 250 + 1}.{number % 250 + 1}"


class Crowd:
    """The program, running beside a test."""

    def __init__(self, port, attempts, rate, hold, addresses):
        words = [sys.executable, "-m", "tests.lib.attack", *map(str, (port, attempts, rate, hold, addresses))]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        cwd=Path(__file__).resolve().parent.parent.parent)

    def tried(self):
        """What became of all: {"greeted": n, "refused": n, "failed": n, "held": n, "seconds": s}."""
        return json.loads(self.process.stdout.readline())

    def end(self):
        """Lets go. How many of the held were still there."""
        out, _ = self.process.communicate(timeout=WAIT_SECONDS)
        return json.loads(out)["standing"]


class _Attack:
    def __init__(self, port, hold, addresses):
        self.to, self.hold, self.addresses = ("127.0.0.1", port), hold, addresses
        self.held, self.counts = [], {"greeted": 0, "refused": 0, "failed": 0}

    def once(self, number):
        peer = socket.socket()
        try:
            peer.settimeout(WAIT_SECONDS)
            peer.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: connect() chooses one
            peer.bind((address(number % self.addresses), 0))
            peer.connect(self.to)
            got = peer.recv(3)
        except OSError:
            self.counts["failed"] += 1
            peer.close()
            return
        self.counts["greeted" if got == b"220" else "refused"] += 1
        if got == b"220" and len(self.held) < self.hold:
            self.held.append(peer)
        else:
            peer.close()

    def run(self, attempts, rate):
        began = time.monotonic()
        for number in range(attempts):
            early = began + number / rate - time.monotonic()
            if early > 0:
                time.sleep(early)
            self.once(number)
            if self.held and number % 10 == 0:
                self.drip(self.held[number // 10 % len(self.held)])
        return time.monotonic() - began

    @staticmethod
    def drip(peer):
        try:
            peer.send(b"N")
        except OSError:
            pass

    def standing(self):
        """Those whose end has not been told."""
        count = 0
        for peer in self.held:
            peer.setblocking(False)
            try:
                while peer.recv(4096):
                    pass
            except BlockingIOError:
                count += 1
            except OSError:
                pass
        return count


def main(port, attempts, rate, hold, addresses):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    attack = _Attack(port, hold, addresses)
    seconds = attack.run(attempts, rate)
    print(json.dumps(dict(attack.counts, held=len(attack.held), seconds=seconds)), flush=True)
    os.read(0, 1)
    print(json.dumps({"standing": attack.standing()}), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
