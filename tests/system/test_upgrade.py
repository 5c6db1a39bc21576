# SPDX-License-Identifier: Apache-2.0
"""posternctl upgrade: another relay process, other code, and nobody notices; or nothing changes."""
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

from tests.lib import proc
from tests.lib.case import TREE, RelayCase
from tests.lib.certificates import certificate
from tests.lib.talk_tests import Peer

SLOW = True
OPEN = {"tls": "none", "auth": "off", "networks": ["127.0.0.0/8"]}
DEADLINE_SECONDS = 30   # so long a relay that leaves waits for a client; what does not wait ends before
MAIL = b"MAIL FROM:<a@example.com>\r\n", b"RCPT TO:<b@example.org>\r\n", b"DATA\r\n"
TEXT = b"Subject: %s\r\n\r\nhello\r\n"
# Does its worst in relays alone, and only while the file is there.
MODULE = """
#include <postern/module.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
__attribute__((constructor)) static void act(void)
{
	char name[16];
	prctl(PR_GET_NAME, name);
	if (strcmp(name, "postern-relay") == 0 && access(TRAP, F_OK) == 0) {
		WORST;
	}
}
static struct pn_verdict on_connect(struct pn_call *call, struct pn_txn *txn)
{
	pn_log(call, PN_LOG_NOTICE, "version " VERSION);
	return pn_pass();
}
static const struct pn_hook hooks[] = { { .stage = PN_STAGE_CONNECT, .run = on_connect },
	PN_HOOK_END };
PN_MODULE(trap) = { PN_MODULE_HEAD, .name = "trap", .summary = "Is replaced.", .hooks = hooks };
"""


class Upgrade(RelayCase):
    def start(self, **more):
        self.server = self.relay({"plain": OPEN}, **more).start()
        return self.server

    def peer(self, listener="plain"):
        peer = Peer(self.server.port(listener))
        self.addCleanup(peer.socket.close)
        return peer

    def greeted(self, listener="plain"):
        peer = self.peer(listener)
        self.says(peer, "220")
        peer.send(b"EHLO client.example\r\n")
        self.says(peer, "250")
        return peer

    def says(self, peer, code):
        got = peer.reply()
        self.assertEqual(got[0], code, got)

    def in_data(self, peer=None):
        """Inside DATA: the server waits for the rest."""
        peer = peer or self.greeted()
        for line, code in zip(MAIL, ("250", "250", "354")):
            peer.send(line)
            self.says(peer, code)
        peer.send(b"Subject: slow\r\n\r\nfirst half")
        return peer

    def send_one(self, name, peer=None):
        peer = self.in_data(peer)
        peer.send(b"\r\n" + name.encode() + b"\r\n.\r\n")
        self.says(peer, "250")
        return peer

    def upgrade(self):
        """The new relay's pid."""
        old = self.server.child("relay")
        done = json.loads(self.server.ctl("--json", "upgrade").stdout)[0]
        self.assertEqual(done["result"], "upgraded")
        new = int(done["relay"])
        self.assertNotEqual(old, new)
        return new

    def relays(self):
        """All relay processes there are."""
        found = []
        for pid in proc.tree(self.server.pid):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    found += [pid] if b"--child=relay" in file.read() else []
            except OSError:
                pass
        return found

    def one_relay(self, seconds=40):
        proc.wait_until(lambda: len(self.relays()) == 1, seconds, "one relay is left")

    # -- what clients see ---------------------------------------------------------------------
    def test_sessions_end_where_nothing_is_lost(self):
        server = self.start()
        master = server.pid
        idle, served, fresh = self.in_data(), self.send_one("before"), self.greeted()
        self.upgrade()
        self.says(served, "421")            # it has had its transaction
        served.closed()
        self.send_one("fresh", fresh)       # it has not
        self.says(fresh, "421")
        idle.send(b"\r\nlast\r\n.\r\n")     # nor has this one ended its own
        self.says(idle, "250")
        self.says(idle, "421")
        self.one_relay()
        self.assertEqual(server.pid, master)
        self.assertIsNone(server.process.poll())
        self.send_one("after")
        self.assertEqual(len(self.delivered(4)), 4)
        log = server.log()
        for event in ("relay-replaced", "upgraded", "leaving", "relay-left how=\"exit status 0\""):
            self.assertIn(event, log)
        self.assertNotIn("relay-died", log)

    def test_a_silent_session_is_told_in_the_end(self):
        self.start()
        fresh = self.greeted()
        began = time.monotonic()
        self.upgrade()
        self.says(fresh, "421")
        self.assertGreater(time.monotonic() - began, 2)
        fresh.closed()
        self.one_relay()

    def test_a_slow_client_in_data_delays_nobody(self):
        self.start()
        slow = self.in_data()
        self.upgrade()
        for number in range(3):
            began = time.monotonic()
            self.send_one(f"other {number}")
            self.assertLess(time.monotonic() - began, DEADLINE_SECONDS)
        self.delivered(3)
        for _ in range(20):
            slow.send(b"more\r\n")
            time.sleep(0.1)     # slow is what this client is; nothing is waited for
        slow.send(b".\r\n")
        self.says(slow, "250")
        self.one_relay()
        self.assertEqual(len(self.delivered(4)), 4)

    def test_in_tls_and_in_chunks(self):
        self.server = self.relay({"tls": {"tls": "implicit", "auth": "off", "networks": ["127.0.0.0/8"]},
                                  "plain": OPEN}, tls=certificate(self.directory, "localhost")).start()
        peer = Peer(self.server.port("tls"))
        self.addCleanup(lambda: peer.socket.close())
        peer.tls()
        self.says(peer, "220")
        peer.send(b"EHLO client.example\r\n")
        self.says(peer, "250")
        self.in_data(peer)
        chunked = self.greeted()
        for line in MAIL[:2]:
            chunked.send(line)
            self.says(chunked, "250")
        chunked.send(b"BDAT 30\r\nSubject: half a")
        self.upgrade()
        peer.send(b"\r\nin TLS\r\n.\r\n")
        self.says(peer, "250")
        self.says(peer, "421")
        chunked.send(b" chunk\r\n\r\n123")
        chunked.send(b"45678901234567"[:30 - 28])
        self.says(chunked, "250")
        chunked.send(b"BDAT 5 LAST\r\nend\r\n")
        self.says(chunked, "250")
        self.assertEqual(len(self.delivered(2)), 2)

    # -- refused ------------------------------------------------------------------------------
    def refused(self, *texts):
        done = self.server.ctl("upgrade", check=False)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        for text in texts:
            self.assertIn(text, done.stderr)

    def test_a_bad_configuration_changes_nothing(self):
        server = self.start()
        relay, peer = server.child("relay"), self.send_one("before")
        server.sections = {"nonsense": {"a": 1}}
        server.write()
        self.refused("test.yaml:", "nonsense")
        self.assertEqual(server.child("relay"), relay)
        self.send_one("after", peer)
        server.sections = {}
        server.relay = {"user": "daemon"}
        server.write()
        self.refused("relay.user cannot change")
        self.send_one("still", peer)
        server.relay = {}
        server.write()
        self.upgrade()

    def module(self, folder, version, worst="_exit(9)", trap=None):
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if not compiler:
            self.skipTest("there is no C compiler")
        os.makedirs(folder, exist_ok=True)
        new = os.path.join(folder, "trap.so.new")
        subprocess.run([compiler, "-shared", "-fPIC", f"-I{TREE}/api", f'-DTRAP="{trap or self.trap}"',
                        f'-DVERSION="{version}"', f"-DWORST={worst}", "-x", "c", "-", "-o", new],
                       input=MODULE.encode(), check=True)
        os.rename(new, os.path.join(folder, "trap.so"))

    @property
    def trap(self):
        return os.path.join(self.directory, "trap")

    def start_with_module(self, **more):
        folder = os.path.join(self.directory, "modules")
        self.server = self.relay({"plain": OPEN}, pipeline=["trap"])
        self.module(folder, "one", **more)
        self.server.programs.modules += ":" + folder
        self.server.start()
        return folder

    def test_a_relay_that_dies_before_it_is_ready(self):
        self.start_with_module()
        peer, relay = self.send_one("before"), self.server.child("relay")
        with open(self.trap, "w"):
            self.refused("ended before it was ready: exit status 9")
        self.assertEqual(self.server.child("relay"), relay)
        self.send_one("after", peer)
        os.unlink(self.trap)
        self.upgrade()
        self.says(peer, "421")
        self.delivered(2)

    def test_a_relay_that_is_killed_before_it_is_ready(self):
        self.start_with_module(worst="pause()")
        peer, relay = self.send_one("before"), self.server.child("relay")
        with open(self.trap, "w"):
            asker = threading.Thread(target=self.refused, args=("signal 9",))
            asker.start()
            proc.wait_until(lambda: len(self.relays()) == 2, 20, "another relay is there")
            self.send_one("meanwhile", peer)
            for pid in self.relays():
                if pid != relay:
                    os.kill(pid, signal.SIGKILL)
            asker.join()
        self.assertEqual(self.server.child("relay"), relay)
        self.send_one("after", peer)
        os.unlink(self.trap)

    # -- the worst moment ---------------------------------------------------------------------
    def test_the_old_relay_is_killed_while_it_leaves(self):
        server = self.start()
        old, slow = server.child("relay"), self.in_data()
        waiting = self.in_data()
        self.upgrade()
        waiting.send(b"\r\n.\r\n")
        self.says(waiting, "250")       # in the old one's spool, whatever it could still deliver
        os.kill(old, signal.SIGKILL)
        self.send_one("again")
        self.one_relay()
        self.assertEqual(len(self.arrived(2)), 2)
        with self.assertRaises((AssertionError, OSError)):
            slow.reply()                # it has no 250
        proc.wait_until(lambda: not self.server.status()["spool_loading"], 20, "the old one's spool is read")

    def test_the_new_relay_is_killed_while_the_old_one_leaves(self):
        server = self.start()
        old, slow = server.child("relay"), self.in_data()
        new = self.upgrade()
        self.send_one("to the new one")
        os.kill(new, signal.SIGKILL)
        self.send_one("again")
        self.assertIn(old, self.relays())
        slow.send(b"\r\n.\r\n")
        self.says(slow, "250")
        self.one_relay()
        self.assertEqual(len(self.arrived(3)), 3)

    def test_the_master_is_killed_while_a_relay_leaves(self):
        server = self.start()
        slow = self.in_data()
        self.upgrade()
        self.send_one("one")
        server.kill_master()
        server.start()
        self.send_one("two")
        self.assertEqual(len(self.arrived(2)), 2)
        slow.socket.close()

    # -- changed code -------------------------------------------------------------------------
    def test_changed_code_is_reported_and_taken_by_an_upgrade(self):
        folder = self.start_with_module()
        server, path = self.server, os.path.join(folder, "trap.so")
        self.assertNotIn("changed_code", self.server.status())
        self.greeted()
        self.module(folder, "two")
        proc.wait_until(lambda: self.server.status().get("changed_code") == path, 30, "the new file is noticed")
        server.ctl("reload")            # the old code goes on
        self.greeted()
        self.assertNotIn("version two", server.log())
        self.assertEqual(server.log().count("code-changed"), 1)
        self.upgrade()
        self.assertNotIn("changed_code", self.server.status())
        self.greeted()
        self.assertIn("version two", server.log())

    def test_a_replaced_posternd_is_taken_by_an_upgrade(self):
        server = self.relay({"plain": OPEN})
        self.server = server
        mine = os.path.join(self.directory, "posternd")
        shutil.copy(server.programs.posternd, mine)
        server.programs.posternd = mine
        server.start()
        old = os.stat(f"/proc/{server.child('relay')}/exe").st_ino
        shutil.copy(mine, mine + ".new")
        os.rename(mine + ".new", mine)
        proc.wait_until(lambda: self.server.status().get("changed_code") == mine, 30, "the new file is noticed")
        server.kill_relay()             # until then the old one, even where it starts again
        proc.wait_until(lambda: self.relays(), 20, "another relay")
        server.wait_ready()
        self.assertEqual(os.stat(f"/proc/{server.child('relay')}/exe").st_ino, old)
        new = self.upgrade()
        self.assertEqual(os.stat(f"/proc/{new}/exe").st_ino, os.stat(mine).st_ino)

    def test_a_signal_does_it_too(self):
        server = self.start()
        old = server.child("relay")
        server.process.send_signal(signal.SIGUSR2)
        proc.wait_until(lambda: "upgraded" in server.log(), 20, "the relay is replaced")
        proc.wait_until(lambda: self.relays() and old not in self.relays(), 20, "the old one left")
