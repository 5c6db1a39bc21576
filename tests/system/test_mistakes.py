# SPDX-License-Identifier: Apache-2.0
"""What posternd says to typical mistakes: where it is wrong, and what would be right."""
import os
import pathlib
import socket
import subprocess

from tests.lib import proc
from tests.lib.case import RelayCase

NOBODY = 65534


class Mistakes(RelayCase):
    def refusal(self, relay, user=None):
        """Starts posternd, which is to refuse; what it says, as one text."""
        done = subprocess.run([relay.programs.posternd, "-c", relay.conf, "-m", relay.programs.modules],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                              user=user, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        return done.stderr

    def plain(self, **more):
        return self.relay({"plain": {"tls": "none", "auth": "off", "networks": ["127.0.0.1"]}}, **more)

    def test_no_configuration(self):
        relay = self.plain()
        relay.conf = os.path.join(self.directory, "nowhere")
        self.assertIn(f"{relay.conf}: No such file or directory; -c FOLDER names", self.refusal(relay))

    def test_port_in_use(self):
        relay = self.plain()
        with socket.socket() as other:
            other.bind(("127.0.0.1", relay.port("plain")))
            other.listen()
            said = self.refusal(relay)
        self.assertIn(f"listener plain: cannot listen on 127.0.0.1:{relay.port('plain')}: Address already"
                      " in use; another program listens there", said)

    def test_address_of_another_machine(self):
        listener = {"name": "plain", "address": "192.0.2.1:2525", "tls": "none", "networks": ["192.0.2.0/24"]}
        self.assertIn("this machine has no such address",
                      self.refusal(self.plain(relay={"listeners": [listener]})))

    def test_privileged_port(self):
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
            if int(file.read()) <= 25:
                self.skipTest("here anybody may listen on port 25")
        listener = {"name": "smtp", "address": "127.0.0.1:25", "tls": "none", "auth": "off"}
        state = pathlib.Path(self.directory, "nobodys")
        state.mkdir()
        relay = self.plain(relay={"listeners": [listener], "state_directory": str(state / "state"),
                                  "run_directory": str(state / "run")})
        user = None
        if os.geteuid() == 0:
            closed = proc.reachable_by_others(self.builddir)
            if closed:
                self.skipTest(f"{closed} is closed to others, so nobody cannot start posternd")
            os.chown(state, NOBODY, NOBODY)
            user = NOBODY
        self.assertIn("Permission denied; ports below 1024 are for root", self.refusal(relay, user))

    def test_no_certificate(self):
        relay = self.relay({"submission": {"tls": "starttls"}}, tls=("/nowhere/relay.pem", "/nowhere/key"))
        said = self.refusal(relay)
        self.assertRegex(said, r"test\.yaml:\d+:\d+: relay\.tls\.certificate: cannot read /nowhere/relay\.pem")
        self.assertRegex(said, r"test\.yaml:\d+:\d+: relay\.tls\.key: cannot read /nowhere/key")

    def test_no_such_user(self):
        if os.geteuid() != 0:
            self.skipTest("only root's relay becomes another user")
        said = self.refusal(self.plain(relay={"user": "nosuch"}))
        self.assertIn('relay.user: this machine has no user "nosuch"; "adduser', said)

    def test_folder_that_cannot_be_made(self):
        said = self.refusal(self.plain(relay={"state_directory": "/proc/postern"}))
        self.assertIn("/proc/postern: cannot make the folder", said)
        self.assertIn("see relay.state_directory", said)
