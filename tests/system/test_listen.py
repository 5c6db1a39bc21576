# SPDX-License-Identifier: Apache-2.0
"""Outcome and tick hooks in a relay: what a stop or an upgrade leaves to be heard, and when ticks come."""
import os
import re
import shutil
import smtplib
import tempfile

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.postern import Relay

SLOW = True
OPEN = {"tls": "none", "auth": "off"}

MESSAGES = 6    # hooks hear of them one after the other


class Listen(RelayCase):
    @classmethod
    def setUpClass(cls):
        """A relay that waits for its first tick while the other tests run."""
        folder, build = tempfile.mkdtemp(prefix="postern-test-", dir="/var/tmp"), os.environ["POSTERN_BUILDDIR"]
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        os.chmod(folder, 0o755)
        note = os.path.join(folder, "relay", "state", "outcomes")
        cls.ticking = Relay(os.path.join(folder, "relay"), build, {"plain": OPEN}, [{"to": "discard"}],
                            pipeline=["sealer"], sections={"sealer": {"file": note}})
        cls.ticking.programs.modules += ":" + os.path.join(build, "tests", "modules", ".libs")
        cls.addClassCleanup(cls.ticking.stop)
        cls.ticking.start()
        if os.path.exists(note):
            raise AssertionError("a tick at the start")

    def start(self, **settings):
        self.note = os.path.join(self.directory, "relay", "state", "outcomes")  # the relay may be nobody
        relay = self.relay({"plain": OPEN}, pipeline=[{"sealer": {"timeout": "20s"}}],
                           sections={"sealer": dict(settings, file=self.note)})
        relay.programs.modules += ":" + os.path.join(self.builddir, "tests", "modules", ".libs")
        return relay.start()

    def noted(self, note=None):
        note = note or self.note
        return open(note).read() if os.path.exists(note) else ""

    def deliver(self, relay):
        with smtplib.SMTP("127.0.0.1", relay.port("plain"), timeout=60) as client:
            for number in range(MESSAGES):
                client.sendmail("ada@clinic.example", [f"to{number}@example.net"], "Subject: hello\r\n\r\nText\r\n")
        self.delivered(MESSAGES)
        self.assertLess(self.noted().count("delivered"), MESSAGES)     # no delivery has waited

    def assert_all_heard(self):
        self.assertEqual(sorted(re.findall(r"^delivered to(\d+)@", self.noted(), re.M), key=int),
                         [str(number) for number in range(MESSAGES)])

    def test_a_stop_waits_for_outcome_hooks(self):
        relay = self.start(wait="500ms")
        self.deliver(relay)
        self.assertEqual(relay.stop(60), 0)
        self.assert_all_heard()
        self.assertNotIn("outcomes-dropped", relay.log())

    def test_a_stop_does_not_wait_for_ever(self):
        relay = self.start(wait="19s")
        self.deliver(relay)
        self.assertEqual(relay.stop(60), 0)
        lost = int(re.search(r"outcomes-dropped count=(\d+) ", relay.log())[1])
        self.assertEqual(lost + self.noted().count("delivered"), MESSAGES)
        self.assertNotIn("killing it", relay.log())

    def test_an_upgrade_waits_for_outcome_hooks(self):
        relay = self.start(wait="500ms")
        self.deliver(relay)
        relay.ctl("upgrade")
        proc.wait_until(lambda: "=relay-left " in relay.log(), 40, "the old relay has left")
        self.assert_all_heard()
        self.assertNotIn("outcomes-dropped", relay.log())

    def test_a_tick_within_a_minute(self):
        note = self.ticking.sections["sealer"]["file"]
        proc.wait_until(lambda: "tick\n" in self.noted(note), 80, "the first tick")
        self.assertEqual(self.ticking.stop(), 0)
        self.assert_no_sanitizer_report(self.ticking)
