# SPDX-License-Identifier: Apache-2.0
"""Supervision of children that misbehave: stopped, silent, hostile, loaded with a hanging module."""
import os
import shutil
import signal
import subprocess

from tests.lib import proc
from tests.lib.case import TREE, RelayCase
from tests.lib.talk_tests import Peer

OPEN = {"tls": "none", "auth": "off", "networks": ["127.0.0.0/8"]}
# Runs in the relay alone: the master's other children have another name.
HOSTILE = """
#include <postern/module.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
__attribute__((constructor)) static void act(void)
{
	char name[16];
	prctl(PR_GET_NAME, name);
	if (strcmp(name, "postern-relay") == 0 && access(ONCE, F_OK) == 0 && unlink(ONCE) == 0) {
		(void)!write(3, "part of a frame", 5);
		pause();
	}
}
static const struct pn_hook hooks[] = { PN_HOOK_END };
PN_MODULE(hostile) = { PN_MODULE_HEAD, .name = "hostile", .summary = "Stops its process.",
	.hooks = hooks };
"""


class Supervision(RelayCase):
    def start(self, **more):
        return self.relay({"plain": OPEN}, **more).start()

    def stop_in_time(self, relay):
        """Before the master's deadline."""
        relay.process.terminate()
        self.assertEqual(relay.process.wait(90), 0)
        self.assertNotIn("not everything ended in time", relay.log())
        relay.process = None

    def test_stop_right_behind_a_reload(self):
        """A lane that takes the new configuration is not counted as one that has drained."""
        relay = self.start()
        pid = relay.child("relay")
        os.kill(pid, signal.SIGSTOP)
        relay.reload()
        relay.process.terminate()       # SIGHUP is taken first, to its end
        proc.wait_until(lambda: "stopping" in relay.log(), 10, "the master stops")
        os.kill(pid, signal.SIGCONT)
        self.stop_in_time(relay)

    def test_settings_that_a_reload_cannot_change(self):
        relay = self.start()
        for name, value in (("run_directory", relay.run + "2"), ("user", "daemon"),
                            ("state_directory", relay.state + "2")):
            with self.subTest(name=name):
                relay.relay = {name: value}
                relay.write()
                relay.reload()
                text = f"relay.{name} cannot change while the relay runs"
                proc.wait_until(lambda: text in relay.log(), 20, "the reload is refused")
        relay.relay = {}
        relay.write()
        relay.ctl("reload")

    def hostile_module(self, once):
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if not compiler:
            self.skipTest("there is no C compiler")
        folder = os.path.join(self.directory, "modules")
        os.makedirs(folder, exist_ok=True)
        with open(once, "w"):
            os.chmod(self.directory, 0o777)
        subprocess.run([compiler, "-shared", "-fPIC", f"-I{TREE}/api", f'-DONCE="{once}"', "-x", "c", "-", "-o",
                        os.path.join(folder, "hostile.so")], input=HOSTILE.encode(), check=True)
        return folder

    def test_a_relay_that_stops_in_the_middle_of_a_frame(self):
        """The master does not wait for ever: that relay is killed, another one started."""
        once = os.path.join(self.directory, "once")
        relay = self.relay({"plain": OPEN})
        relay.programs.modules += ":" + self.hostile_module(once)
        relay.start()
        pid = relay.child("relay")
        relay.pipeline = ["hostile"]
        relay.write()
        relay.reload()
        proc.wait_until(lambda: relay.child("relay") not in (None, pid), 30, "another relay")
        peer = Peer(relay.port("plain"))
        self.addCleanup(peer.socket.close)
        self.assertEqual(peer.reply()[0], "220")
        self.assertRegex(relay.log(), r"relay-died how=.*signal 9")
        self.stop_in_time(relay)
