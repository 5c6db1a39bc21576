# SPDX-License-Identifier: Apache-2.0
"""Many messages that wait: 50,000 here, a million in `make torture`. The start, what they cost, and that
mail goes on beside them. And a disk that is really full: what waits still leaves."""
import json
import os
import pwd
import shutil
import smtplib
import socket
import statistics
import subprocess
import time

from tests.lib import proc
from tests.lib.case import RelayCase, rounds
from tests.lib.traffic import Load, Sink

SLOW = True
TORTURE = True
WAITING = rounds(50_000, 1_000_000)
ROUNDS, MESSAGES = rounds(3, 15), rounds(1500, 5000)
# What a machine does beside the test is not ours: bounds are on the relay's own processor time, and
# on the clock only where nobody could take the difference for a busy machine.
LOADED_CPU_SECONDS, SHARE = 30, rounds(0.5, 0.8)
ANSWER_SECONDS, PATIENCE_SECONDS = 20, 600
# What spoolgen gives them: every thousandth a domain, every 97th a user.
FILTERS = ((["--domain", "d7.example.net"], len(range(7, WAITING, 1000))),
           (["--user", "user5@example.org"], len(range(5, WAITING, 97))),
           (["--domain", "d7.example.net", "--user", "user5@example.org"],
            sum(i % 97 == 5 for i in range(7, WAITING, 1000))))
TEXT = "From: ada@clinic.example\r\nSubject: x\r\n\r\nhello\r\n"


def resident(pid):
    """Bytes of memory that a process has."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


class Waiting(RelayCase):
    def setUp(self):
        super().setUp()
        self.sink = Sink(self.builddir)
        self.addCleanup(self.sink.process.stdout.close)
        self.addCleanup(proc.end, self.sink.process)
        self.addCleanup(self.sink.process.stdin.close)
        self.server, self.alone = (
            self.relay({"plain": {"tls": "none", "auth": "off"}},
                       [{"to": "smarthost", "host": f"127.0.0.1:{self.sink.port}", "tls": "none"}], name=name)
            for name in ("relay", "alone"))

    def fill(self):
        """Segments as the relay itself would have written them, in the spool of one that is stopped."""
        spool = os.path.join(self.server.state, "spool")
        subprocess.run([os.path.join(self.builddir, "tests/bench/spoolgen"), "fill", spool, str(WAITING)],
                       check=True, timeout=1200)
        owner = os.stat(self.server.state)
        for folder, _, names in os.walk(spool):
            for path in [folder] + [os.path.join(folder, name) for name in names]:
                os.chown(path, owner.st_uid, owner.st_gid)

    def cpu(self):
        return proc.cpu_seconds(self.server.child("relay"))

    def rate(self, server):
        """Messages that get from a client to the next hop, by the second and by the second of the relay's
        processor time."""
        self.sink.reset()
        began, cpu = time.monotonic(), proc.cpu_seconds(server.child("relay"))
        load = Load(self.builddir, server.port("plain"), sessions=20, messages=MESSAGES,
                    per_connection=100, size=10240)
        figures = load.finish()
        self.assertEqual(figures["accepted"], MESSAGES, figures)
        self.assertEqual(self.sink.wait(MESSAGES, 120)["messages"], MESSAGES)
        return (MESSAGES / (time.monotonic() - began),
                MESSAGES / (proc.cpu_seconds(server.child("relay")) - cpu))

    def compare(self):
        """The relay with all that waits, and one beside it without, by turns and now the one first, now
        the other: what else the machine does slows both. The medians of both, and of the shares of what
        each pair did for a second of processor time."""
        pairs = []
        for number in range(ROUNDS):
            order = [self.server, self.alone] if number % 2 else [self.alone, self.server]
            both = {server: self.rate(server) for server in order}
            pairs.append(both[self.server] + both[self.alone])
        beside, beside_by_cpu, alone, alone_by_cpu = map(statistics.median, zip(*pairs))
        return beside, beside_by_cpu, alone, alone_by_cpu, statistics.median(pair[1] / pair[3] for pair in pairs)

    def accept_one(self):
        """Seconds from now on until a message has its 250."""
        began = time.monotonic()
        while True:
            try:
                with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
                    client.sendmail("ada@clinic.example", ["bo@partner.example"], TEXT)
                    return time.monotonic() - began
            except (OSError, smtplib.SMTPException):
                self.assertLess(time.monotonic() - began, PATIENCE_SECONDS)
                time.sleep(0.01)

    def list(self, words, count):
        """`queue list` by a filter while greetings are waited for: the longest wait."""
        waits = []
        words = [self.server.programs.posternctl, "-c", self.server.conf, "-m", self.server.programs.modules,
                 "--json", "queue", "list", *words, "--limit", str(WAITING)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as listing:
            for _ in range(10):
                asked = time.monotonic()
                with socket.create_connection(("127.0.0.1", self.server.port("plain")), 30) as peer:
                    self.assertTrue(peer.recv(3))
                waits.append(time.monotonic() - asked)
            rows = json.loads(listing.communicate(timeout=PATIENCE_SECONDS)[0])
        self.assertEqual(len(rows), count)
        return max(waits)

    def list_beside_mail(self):
        """While mail flows and goes on flowing: seconds for all lists, and the longest wait for a greeting."""
        self.sink.reset()
        load = Load(self.builddir, self.server.port("plain"), sessions=5, messages=100000000, size=2048,
                    per_connection=100)
        self.addCleanup(proc.end, load.process)
        self.assertGreater(self.sink.wait(50, PATIENCE_SECONDS)["messages"], 0)
        began, waits, flowed = time.monotonic(), [], []
        for words, count in FILTERS:
            before = self.sink.report()["messages"]
            waits.append(self.list(words, count))
            flowed.append(self.sink.report()["messages"] - before)
        seconds = time.monotonic() - began
        load.stop()
        figures = load.finish(PATIENCE_SECONDS)
        self.assertEqual(figures["failed"], 0, figures)
        self.assertGreater(min(flowed), 0, "mail stood still beside a list")
        self.assertGreaterEqual(self.sink.wait(figures["accepted"], PATIENCE_SECONDS)["messages"],
                                figures["accepted"])
        return seconds, max(waits)

    def test_start_memory_list_and_throughput(self):
        self.alone.start()
        self.server.start()
        self.server.stop()
        self.fill()
        began = time.monotonic()
        # start() waits for what comes after the first message as well.
        self.server.start(PATIENCE_SECONDS)
        accepted = self.accept_one()
        loading = self.server.status()["spool_loading"]
        started = time.monotonic() - began
        proc.wait_until(lambda: not self.server.status()["spool_loading"], PATIENCE_SECONDS,
                        f"{WAITING} messages are loaded")
        loaded, loaded_cpu = time.monotonic() - began, self.cpu()
        memory = resident(self.server.child("relay"))
        self.assertGreaterEqual(self.server.status()["waiting"], WAITING)
        listed, greeting = self.list_beside_mail()
        beside, beside_by_cpu, alone, alone_by_cpu, share = self.compare()
        each = (memory - resident(self.alone.child("relay"))) / WAITING
        print(f"{WAITING} waiting: first 250 after {started:.2f} s, all loaded after {loaded:.1f} s and "
              f"{loaded_cpu:.1f} s of processor time, {each:.0f} bytes of memory each; {len(FILTERS)} lists "
              f"{listed:.2f} s, greeting beside them {greeting:.3f} s; {beside:.0f} messages/s, without them "
              f"{alone:.0f}; {beside_by_cpu:.0f} for a second of processor time, without {alone_by_cpu:.0f}: "
              f"{share:.0%}, the median of {ROUNDS} pairs", flush=True)
        self.assertLess(accepted, ANSWER_SECONDS)
        if WAITING == 1_000_000:    # fewer are loaded sooner than anybody can ask
            self.assertTrue(loading, "the first 250 did not wait for what is loaded")
        self.assertLess(loaded_cpu, LOADED_CPU_SECONDS)
        self.assertLess(each, 2048)
        self.assertLess(greeting, ANSWER_SECONDS)
        self.assertGreaterEqual(share, SHARE)


class SmallDisk(RelayCase):
    """State on a file system of 24 MiB of which 8 are to stay free."""

    def setUp(self):
        super().setUp()
        self.state = os.path.join(self.directory, "relay", "state")
        os.makedirs(self.state)
        words = ["mount", "-t", "tmpfs", "-o", f"size=24m,mode=0700,uid={pwd.getpwnam('nobody').pw_uid}",
                 "tmpfs", self.state]
        if os.geteuid() != 0 or not shutil.which("mount"):
            self.skipTest("only root may mount a small file system")
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode != 0:
            self.skipTest(f"no small file system can be mounted here: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "--lazy", self.state], check=True)
        self.sink = Sink(self.builddir)
        self.addCleanup(self.sink.process.stdout.close)
        self.addCleanup(proc.end, self.sink.process)
        self.addCleanup(self.sink.process.stdin.close)

    def start(self, port, reserve):
        self.server = self.relay(
            {"plain": {"tls": "none", "auth": "off"}},
            [{"to": "smarthost", "host": f"127.0.0.1:{port}", "tls": "none"}],
            relay={"spool": {"segment_size": "1m", "reserve": reserve},
                   "queue": {"retry_first": "1s", "retry_most": "1s"}})
        self.server.start()

    def send(self):
        """The code of the reply to one message of 100 KB, or to what was refused before it."""
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            try:
                client.sendmail("ada@clinic.example", ["bo@partner.example"], TEXT + "x" * 100_000 + "\r\n")
            except smtplib.SMTPResponseException as refused:
                return refused.smtp_code
            except smtplib.SMTPRecipientsRefused as refused:
                return next(iter(refused.recipients.values()))[0]
            return 250

    def fill_up(self):
        """How many messages were taken before the disk was full for mail."""
        accepted = 0
        while (code := self.send()) == 250:
            accepted += 1
            self.assertLess(accepted, 1000)
        self.assertEqual(code, 452)
        return accepted

    def drains(self, port, accepted):
        """All of it is delivered, once, and mail is taken again."""
        self.sink.reset()
        self.server.routes[0]["host"] = f"127.0.0.1:{port}"
        self.server.write()
        self.server.reload()
        self.assertEqual(self.sink.wait(accepted, 60)["messages"], accepted)
        proc.wait_until(lambda: self.send() == 250, 30, "mail is taken again")
        self.assertEqual(self.sink.wait(accepted + 1, 60)["messages"], accepted + 1)

    def test_reserve(self):
        self.start(proc.free_port(), "8m")
        accepted = self.fill_up()
        self.assertGreater(accepted, 20)
        left = os.statvfs(self.state)
        self.assertGreaterEqual(left.f_bavail * left.f_frsize, 7 << 20)
        self.drains(self.sink.port, accepted)

    def test_full_to_the_last_byte(self):
        """Something else takes what is left: no file can be made, yet deliveries are noted."""
        self.start(proc.free_port(), "0")
        for _ in range(5):
            self.assertEqual(self.send(), 250)
        other = os.path.join(self.state, "other")
        with open(other, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 65536)
            except OSError:
                pass
        accepted = 5 + self.fill_up()
        self.sink.reset()
        self.server.routes[0]["host"] = f"127.0.0.1:{self.sink.port}"
        self.server.write()
        self.server.reload()
        self.assertEqual(self.sink.wait(accepted, 60)["messages"], accepted)
        os.unlink(other)
        proc.wait_until(lambda: self.send() == 250, 30, "mail is taken again")
        proc.wait_until(self.server.all_is_noted, 30, "what is delivered is noted")
        self.server.kill_relay()
        proc.wait_until(lambda: self.send() == 250, 30, "the next relay takes mail")
        self.assertEqual(self.sink.wait(accepted + 2, 60)["messages"], accepted + 2)
