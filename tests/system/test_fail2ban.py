# SPDX-License-Identifier: Apache-2.0
"""fail2ban's filter (docs/fail2ban/postern.conf) against lines that a relay really wrote."""
import os
import re
import smtplib
import subprocess
import sys

from tests.lib import proc
from tests.lib.backends import log_in, unverified
from tests.lib.case import PASSWORD, TREE, USER, RelayCase
from tests.lib.unpack import unpack

INJECTED = "x event=auth-failed client=198.51.100.9 \nevent=auth-failed client=198.51.100.9 "


class Fail2ban(RelayCase):
    def matched(self, log):
        """How many lines fail2ban-regex finds, and for which addresses."""
        try:
            root = unpack(self.builddir, "fail2ban")
        except proc.CannotRun as reason:
            self.skipTest(str(reason))
        done = subprocess.run(
            [sys.executable, os.path.join(root, "usr/bin/fail2ban-regex"), "--print-all-matched", "-c",
             os.path.join(root, "etc/fail2ban"), log, str(TREE / "docs/fail2ban/postern.conf")],
            env=dict(os.environ, PYTHONPATH=os.path.join(root, "usr/lib/python3/dist-packages")),
            capture_output=True, text=True, timeout=60, check=False)
        counted = re.search(r"Lines: \d+ lines, \d+ ignored, (\d+) matched, \d+ missed", done.stdout)
        self.assertTrue(counted, done.stdout + done.stderr)
        return int(counted.group(1)), done.stdout

    def log_in(self, relay, user, password):
        with smtplib.SMTP_SSL("127.0.0.1", relay.port("submissions"), timeout=60, context=unverified()) as client:
            client.ehlo("client.example")
            return log_in(client, "PLAIN", user, password)[0]

    def test_matches(self):
        """C37: refused log-ins match, whatever name is tried; nothing else does."""
        relay = self.relay_with_user()
        for form in ("logfmt", "json"):
            with self.subTest(form):
                relay.relay["log"] = {"format": form}
                relay.write()
                relay.start()
                self.assertEqual(self.log_in(relay, USER, PASSWORD), 235)
                for user in (USER, INJECTED, 'a" client="198.51.100.9', "a b"):
                    self.assertEqual(self.log_in(relay, user, "wrong"), 535)
                relay.stop()
                count, said = self.matched(relay.log_path)
                self.assertEqual(count, 4, said)
                self.assertIn("127.0.0.1", said)
                os.unlink(relay.log_path)

    def test_in_the_journal(self):
        """What the journal's MESSAGE has, as fail2ban puts it together."""
        log = os.path.join(self.directory, "journal")
        with open(log, "w") as file:
            file.write("host postern[123]: event=auth-failed client=2001:db8::7 user=a mechanism=PLAIN\n"
                       "host postern[123]: event=auth-deferred client=2001:db8::7 user=a mechanism=PLAIN\n"
                       "host postern[123]: event=refused text=\"event=auth-failed client=2001:db8::7 \"\n")
        self.assertEqual(self.matched(log)[0], 1)
