# SPDX-License-Identifier: Apache-2.0
"""case.py - what the system tests share: a folder that goes away, relays in it, the build's place."""
import os
import pathlib
import re
import shutil
import tempfile
import unittest

from . import proc
from .certificates import certificate
from .postern import Relay

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
USER, PASSWORD = "ada@clinic.example", "correct horse battery staple"


def rounds(few, many):
    """How often something is tried: in `make check`, and in `make torture`."""
    return many if os.environ.get("POSTERN_TORTURE") else few


class RelayCase(unittest.TestCase):
    """A test with a folder of its own and helpers to run relays in it."""

    def setUp(self):
        self.builddir = os.environ["POSTERN_BUILDDIR"]
        self.directory = tempfile.mkdtemp(prefix="postern-test-", dir="/var/tmp")
        os.chmod(self.directory, 0o755)
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def relay(self, listeners, routes=None, name="relay", **more):
        """A relay, not yet started; by default its next hop is the maildir self.mail."""
        routes = routes or [{"to": "maildir", "path": str(self.mail)}]
        relay = Relay(os.path.join(self.directory, name), self.builddir, listeners, routes, **more)
        self.addCleanup(self.assert_no_sanitizer_report, relay)
        self.addCleanup(relay.stop)
        return relay

    def assert_no_sanitizer_report(self, relay):
        """Of master and relay, whose exit status nobody sees; in other builds there is none."""
        found = re.search(r"\w+Sanitizer|runtime error:", relay.log())
        if found:
            self.fail(relay.log()[max(found.start() - 200, 0):found.start() + 6000])

    def relay_with_user(self, **more):
        """Ports 587 and 465 as Gmail knows them, with one user."""
        relay = self.relay({"submission": {"tls": "starttls", "auth": "required"},
                            "submissions": {"tls": "implicit", "auth": "required"}},
                           pipeline=["auth"], tls=certificate(self.directory, "localhost"), **more)
        relay.add_user(USER, PASSWORD)
        return relay

    @property
    def mail(self):
        return pathlib.Path(self.directory, "relay", "state", "mail")

    def delivered(self, count, seconds=20):
        """Waits until the maildir has so many messages; their bytes, oldest first."""
        new = self.mail / "new"
        proc.wait_until(lambda: new.is_dir() and len(list(new.iterdir())) >= count, seconds,
                        f"{count} messages are delivered")
        return [path.read_bytes() for path in sorted(new.iterdir(), key=lambda p: p.stat().st_mtime_ns)]

    def arrived(self, count, seconds=20):
        """Waits until so many different ones are there; each of them once. A relay that is killed
        between a delivery and the note of it rightly sends the message again."""
        new = self.mail / "new"

        def found():
            mails = [path.read_bytes() for path in new.iterdir()] if new.is_dir() else []
            different = {re.search(rb"\sid (\w+)", mail)[1] + re.search(rb"Delivered-To: (.*)\r", mail)[1]: mail
                         for mail in mails}
            return list(different.values()) if len(different) >= count else None
        return proc.wait_until(found, seconds, f"{count} messages are delivered")
