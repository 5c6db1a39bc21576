# SPDX-License-Identifier: Apache-2.0
"""The tools that other tests believe: load generator, sink, the private Postfix, CPU of a tree."""
import os
import re
import smtplib
import subprocess
import tempfile
import unittest

from tests.lib import proc
from tests.lib.case import PASSWORD, USER, RelayCase
from tests.lib.postfix import Postfix
from tests.lib.traffic import Idle, Load, Sink

BUILD = os.environ["POSTERN_BUILDDIR"]


def lines(path):
    with open(path) as file:
        return sorted(file.read().split())


class Traffic(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.ids, self.acked = (os.path.join(folder.name, name) for name in ("ids", "acked"))

    def sink(self, *options):
        sink = Sink(BUILD, "--ids", self.ids, *options)
        self.addCleanup(sink.process.stdin.close)
        self.addCleanup(sink.process.stdout.close)
        self.addCleanup(proc.end, sink.process)
        return sink

    def load(self, sink, **options):
        got = Load(BUILD, sink.port, acked=self.acked, **options).finish()
        return got, sink.stop()

    def test_every_message_arrives_once(self):
        for options in ({}, {"per_connection": 7}, {"no_pipelining": True, "recipients": 3},
                        {"size": 200000, "messages": 50}, {"rate": 2000}):
            with self.subTest(**options):
                got, arrived = self.load(self.sink(), **dict({"messages": 300}, **options))
                self.assertEqual(got["failed"], 0)
                self.assertEqual(arrived["messages"], options.get("messages", 300))
                self.assertEqual(lines(self.ids), lines(self.acked))

    def test_faults_are_seen_and_counted(self):
        for fault, reason in (("dot:5:451", "after the data: 451 4.0.0 Refused on purpose"),
                              ("rcpt:5:550", "550 5.0.0 Refused on purpose"),
                              ("data:5:close", "connection closed by the server")):
            with self.subTest(fault=fault):
                got, arrived = self.load(self.sink("--fault", fault), messages=100, sessions=1)
                self.assertEqual((got["accepted"], got["reasons"]), (80, {reason: 20}))
                self.assertEqual((arrived["messages"], arrived["faulted"]), (80, 20))
                self.assertEqual(lines(self.ids), lines(self.acked))

    def test_load_goes_on_through_failures(self):
        got, arrived = self.load(self.sink("--fault", "connect:4:close"), messages=100, reconnect=20)
        self.assertEqual((got["accepted"], arrived["messages"]), (100, 100))
        self.assertGreater(got["failed"], 0)

    def test_idle_sessions_stand(self):
        idle = Idle(BUILD, self.sink().port, 100)
        self.assertEqual((idle.standing, idle.close()), (100, 100))

    def test_a_delay_delays(self):
        got, _ = self.load(self.sink("--fault", "dot:1:delay50"), messages=3, sessions=1)
        self.assertGreaterEqual(got["reply_us"]["p50"], 50000)


class Secure(RelayCase):
    """The generator's own TLS client, against a server that has OpenSSL's."""

    def setUp(self):
        super().setUp()
        self.server = self.relay_with_user().start()

    def test_messages_of_many_records_arrive_whole(self):
        got = Load(self.builddir, self.server.port("submission"), starttls=True,
                   auth=f"{USER}:{PASSWORD}", sessions=1, messages=30, per_connection=3,
                   size=100000).finish()
        self.assertEqual((got["accepted"], got["failed"], got["connections"]), (30, 0, 10))
        bodies = {re.split(rb"\r?\n\r?\n", message, maxsplit=1)[1] for message in self.delivered(30)}
        self.assertEqual(len(bodies), 1)
        self.assertEqual(len(re.findall(rb"(?m)^[A-Za-z0-9+/]{76}\r?$", bodies.pop())), 1278)

    def test_idle_sessions_stand(self):
        idle = Idle(self.builddir, self.server.port("submission"), 20, starttls=True)
        self.assertEqual((idle.standing, idle.close()), (20, 20))


class Cpu(unittest.TestCase):
    def test_reaped_children_count(self):
        script = "read x; for i in $(seq 20); do seq 50000 >/dev/null; done; echo; read x"
        with subprocess.Popen(["bash", "-c", script], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as shell:
            before = proc.cpu_seconds(shell.pid)
            shell.stdin.write(b"\n")
            shell.stdin.flush()
            shell.stdout.readline()
            used = proc.cpu_seconds(shell.pid) - before
            self.assertEqual(list(proc.tree(shell.pid)), [shell.pid])
            self.assertGreater(used, 0)
            shell.stdin.close()


class PrivatePostfix(unittest.TestCase):
    def test_relays_to_another_one(self):
        with tempfile.TemporaryDirectory(dir=BUILD) as folder:
            os.chmod(folder, 0o755)
            try:
                self._relay(folder)
            except proc.CannotRun as reason:
                self.skipTest(str(reason))

    def _relay(self, folder):
        last = Postfix(os.path.join(folder, "last"), BUILD)
        first = Postfix(os.path.join(folder, "first"), BUILD, "relay", f"127.0.0.1:{last.port}")
        try:
            last.start()
            first.start()
            with smtplib.SMTP("127.0.0.1", first.port) as client:
                client.sendmail("a@example.com", ["b@example.org"], "Subject: x\r\n\r\nhello\r\n")
            proc.wait_until(lambda: last.count() == 1, 20, "the message arrives")
            self.assertIn(b"\nhello\n", last.messages()[0])
        finally:
            for server in (first, last):
                server.stop()
                server.remove()
