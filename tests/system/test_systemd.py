# SPDX-License-Identifier: Apache-2.0
"""Under systemd: the unit file and what it allows, and what the service manager is told."""
import os
import pathlib
import pwd
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import time

from tests.lib import proc
from tests.lib.case import TREE, RelayCase

OPEN = {"tls": "none", "auth": "off", "networks": ["127.0.0.0/8"]}
WATCHDOG_SECONDS = 4
EXPOSURE_MOST = 30  # tenths, of 100; 100 is a service without any hardening


class Unit(RelayCase):
    def setUp(self):
        super().setUp()
        subprocess.run(["make", "-s", "-C", self.builddir, "core/master/postern.service"], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60)
        self.text = pathlib.Path(self.builddir, "core/master/postern.service").read_text()

    def analyze(self, *words):
        """systemd-analyze on the unit, with the programs where the build has them."""
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not on this machine (Debian: systemd)")
        text = self.text
        for name in ("posternd", "posternctl"):
            text = re.sub(rf"/\S+/{name}\b", os.path.join(self.builddir, name), text)
        path = pathlib.Path(self.directory, "postern.service")
        path.write_text(text)
        shutil.copy(TREE / "core" / "master" / "postern.socket", self.directory)
        return subprocess.run(["systemd-analyze", *words, str(path)], text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)

    def test_systemd_understands_it(self):
        done = self.analyze("verify", "--man=no")
        if done.returncode != 0 and "postern" not in done.stdout:
            self.skipTest(f"systemd-analyze cannot work here: {done.stdout}")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertNotIn("postern.service", done.stdout)

    def test_systemd_understands_the_socket(self):
        done = self.analyze("verify", "--man=no", os.path.join(self.directory, "postern.socket"))
        self.assertNotIn("postern.socket", done.stdout)

    def test_hardened(self):
        done = self.analyze("security", "--offline=yes", "--no-pager", f"--threshold={EXPOSURE_MOST}")
        self.assertIn("Overall exposure level", done.stdout)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_paths_are_those_of_the_installation(self):
        self.assertRegex(self.text, r"(?m)^ExecStart=/\S+/posternd$")
        self.assertRegex(self.text, r"(?m)^ExecReload=/\S+/posternctl reload$")
        self.assertNotIn("@sbindir@", self.text)
        self.assertNotIn("@bindir@", self.text)

    def under_the_unit(self, relay, program):
        """A program that runs the given one with the unit's capabilities, mask and folders."""
        granted = re.search(r"(?m)^CapabilityBoundingSet=(.*)$", self.text).group(1).split()
        capabilities = ",".join("+" + name[4:].lower() for name in granted)
        path = pathlib.Path(self.directory, "under-" + os.path.basename(program))
        path.write_text("#!/bin/sh\numask {}\nSTATE_DIRECTORY={} RUNTIME_DIRECTORY={}\n"
                        "export STATE_DIRECTORY RUNTIME_DIRECTORY\n"
                        "exec setpriv --no-new-privs --bounding-set -all,{} --inh-caps -all -- {} \"$@\"\n".format(
                            re.search(r"(?m)^UMask=(.*)$", self.text).group(1), relay.state, relay.run, capabilities,
                            program))
        path.chmod(0o755)
        return str(path)

    def test_capabilities_are_enough(self):
        """Root without any others starts on systemd's folders, takes mail, reloads and ends."""
        if os.geteuid() != 0:
            self.skipTest("only root has capabilities to give up")
        relay = self.relay({"plain": OPEN})
        if relay.note:
            self.skipTest(relay.note)
        for folder, mode in ((relay.state, 0o700), (relay.run, 0o755)):
            os.makedirs(folder)
            os.chmod(folder, mode)
        programs = relay.programs
        programs.posternd = self.under_the_unit(relay, programs.posternd)
        programs.posternctl = self.under_the_unit(relay, programs.posternctl)
        relay.start()
        self.assertEqual({os.stat(folder).st_uid for folder in (relay.state, relay.run)},
                         {pwd.getpwnam("nobody").pw_uid})
        with smtplib.SMTP("127.0.0.1", relay.port("plain"), timeout=60) as client:
            client.sendmail("a@clinic.example", ["b@partner.example"], "Subject: x\r\n\r\nx\r\n")
        self.delivered(1, 60)
        self.assertIn("reloaded", relay.ctl("reload").stdout)
        relay.kill_relay()
        proc.wait_until(lambda: relay.status(), 60, "another relay serves")
        self.assertEqual(relay.stop(), 0)


class Notify(RelayCase):
    def setUp(self):
        super().setUp()
        name = f"\0postern-test-{os.getpid()}-{os.path.basename(self.directory)}"
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(name)
        self.server = self.relay({"plain": OPEN})
        self.server.environment = {"NOTIFY_SOCKET": "@" + name[1:],
                                   "WATCHDOG_USEC": str(WATCHDOG_SECONDS * 1000000)}

    def told(self, seconds):
        """The next message, None if there is none for so long."""
        self.manager.settimeout(seconds)
        try:
            return self.manager.recv(4096).decode()
        except TimeoutError:
            return None

    def wait_told(self, start):
        return proc.wait_until(lambda: next((text for text in iter(lambda: self.told(1), None)
                                             if text.startswith(start)), None), 60, f"systemd is told {start}")

    def test_ready_reloading_stopping(self):
        self.server.start()
        self.wait_told("READY=1")
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.server.ctl("reload")
        reloading = dict(line.split("=") for line in self.wait_told("RELOADING=1").splitlines())
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.assertLessEqual(before, int(reloading["MONOTONIC_USEC"]))
        self.assertLessEqual(int(reloading["MONOTONIC_USEC"]), after)
        self.wait_told("READY=1")
        self.server.process.send_signal(signal.SIGTERM)
        self.wait_told("STOPPING=1")

    def test_watchdog(self):
        """While the relay's loop turns there are pings; while it does not, systemd would notice."""
        self.server.start()
        self.wait_told("READY=1")
        for _ in range(3):
            self.wait_told("WATCHDOG=1")
        relay = self.server.child("relay")
        os.kill(relay, signal.SIGSTOP)
        self.addCleanup(self.go_on, relay)
        proc.wait_until(lambda: self.told(WATCHDOG_SECONDS + 1) is None, 60, "the pings cease")
        os.kill(relay, signal.SIGCONT)
        self.wait_told("WATCHDOG=1")

    @staticmethod
    def go_on(pid):
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass

    def test_nobody_asks(self):
        del self.server.environment["WATCHDOG_USEC"]
        self.server.start()
        self.wait_told("READY=1")
        self.server.ctl("reload")
        self.assertEqual(self.server.stop(), 0)
        self.assertNotIn("WATCHDOG=1", list(iter(lambda: self.told(0.1), None)))
