# SPDX-License-Identifier: Apache-2.0
"""posternd as the only program of a container (docs/container.md), in namespaces of its own: process 1, a user
that nobody knows, a root file system that cannot be written to, two volumes."""
import json
import os
import signal
import smtplib
import subprocess

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.postern import Relay

USER = 12345
NAMESPACES = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--mount", "--propagation", "private"]
# Volumes as an orchestrator hands them over: of root, writable for a group that the user is in.
ENTER = """\
for volume in "$1" "$2"; do mount --bind "$volume" "$volume" || exit 71; done
shift 2
mount -o remount,bind,ro / || exit 71
exec setpriv --reuid {user} --regid 0 --groups {user} --no-new-privs --inh-caps=-all --bounding-set=-all "$@"
"""


class Contained(Relay):
    """Its process is unshare's, which waits for process 1."""

    def __init__(self, directory, builddir, volumes):
        super().__init__(directory, builddir, {"plain": {"tls": "none", "auth": "off"}}, [])
        self.volumes = volumes
        self.state, self.run = (os.path.join(each, "postern") for each in volumes)
        self.routes = [{"to": "maildir", "path": os.path.join(self.state, "mail")}]
        self.write()

    def command(self):
        return [*NAMESPACES, "sh", "-c", ENTER.format(user=USER), "container", *self.volumes, *super().command()]

    def first(self):
        """The process that is number 1 inside."""
        return next((pid for pid, stat in proc.tree(self.process.pid).items() if stat[0] == self.process.pid), None)

    def inside(self, *command):
        """A command in the container, as `docker exec` runs it."""
        return subprocess.run(["nsenter", "--target", str(self.first()), "--pid", "--mount", "setpriv", "--reuid",
                               str(USER), "--regid", "0", "--groups", str(USER), *command],
                              capture_output=True, text=True, timeout=60, env=dict(os.environ, LC_ALL="C"))

    def stop(self, seconds=40):
        """As `docker stop` does: unshare itself does not hear of it."""
        if self.process and self.process.poll() is None and self.first():
            os.kill(self.first(), signal.SIGTERM)
        return super().stop(seconds)


class Container(RelayCase):
    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("becoming somebody else in namespaces of one's own wants root")
        try:
            tried = subprocess.run([*NAMESPACES, "mount", "-o", "remount,bind,ro", "/"], capture_output=True,
                                   text=True, timeout=60)
        except OSError as problem:
            self.skipTest(f"no namespaces here: {problem}")
        if tried.returncode != 0:
            self.skipTest(f"no namespaces here: {tried.stderr.strip()}")
        for path in (self.builddir, self.directory):
            closed = proc.reachable_by_others(path)
            if closed:
                self.skipTest(f"another user cannot reach {path}: {closed} is closed")
        volumes = [os.path.join(self.directory, name) for name in ("lib", "run")]
        for path in volumes:
            os.mkdir(path)
            os.chown(path, 0, USER)
            os.chmod(path, 0o2770)
        self.server = Contained(os.path.join(self.directory, "relay"), self.builddir, volumes)
        self.addCleanup(self.assert_no_sanitizer_report, self.server)
        self.addCleanup(self.server.stop)
        self.server.start()

    def ids(self, pid):
        with open(f"/proc/{pid}/status") as file:
            return dict(line.split(":", 1) for line in file.read().splitlines())

    def test_the_only_program(self):
        """Process 1 of an unknown user, who can write nothing but the volumes; mail passes, its health is
        seen, the log is on standard error, SIGTERM ends it with status 0."""
        status = self.ids(self.server.first())
        self.assertEqual(status["NSpid"].split()[-1], "1")
        self.assertEqual(set(status["Uid"].split()), {str(USER)})
        self.assertIn("Read-only file system", self.server.inside("touch", "/postern-container-test").stderr)
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            client.sendmail("ada@clinic.example", ["bo@partner.example"], "Subject: x\r\n\r\nbody\r\n")
        new = os.path.join(self.server.state, "mail/new")
        proc.wait_until(lambda: os.path.isdir(new) and os.listdir(new), 60, "the message is in the maildir")
        health = self.server.inside(self.server.programs.posternctl, "-c", self.server.conf, "-m",
                                    self.server.programs.modules, "--json", "status")
        self.assertEqual(health.returncode, 0, health.stderr)
        self.assertEqual(json.loads(health.stdout)[0]["waiting"], 0)
        self.assertIn("event=accepted ", self.server.log())
        self.assertEqual(self.server.stop(), 0)
        self.assertNotIn("not everything ended in time", self.server.log())

    def test_strays_are_reaped(self):
        """Whoever outlives its parent inside becomes a child of process 1, and leaves nothing behind."""
        first = self.server.first()

        def strays():
            return [pid for pid, stat in proc.tree(first).items() if stat[3] == "sleep" and stat[0] == first]
        self.server.inside("sh", "-c", "sleep 600 >/dev/null 2>&1 &")
        found = proc.wait_until(strays, 60, "a stray is a child of process 1")
        os.kill(found[0], signal.SIGKILL)
        proc.wait_until(lambda: not os.path.exists(f"/proc/{found[0]}"), 60, "it has been reaped")
        self.assertEqual(self.server.inside("true").returncode, 0)
        self.assertIsNone(self.server.process.poll())
