# SPDX-License-Identifier: Apache-2.0
"""The processes: drain, reload, loss of the master, privileges, two on one folder, a dying checker."""
import os
import pathlib
import pwd
import shutil
import socket
import ssl
import stat
import subprocess
import time

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.certificates import certificate
from tests.lib.postern import Relay
from tests.lib.proc import Failed
from tests.lib.talk_tests import Peer

OPEN = {"tls": "none", "auth": "off", "networks": ["127.0.0.0/8"]}
DEADLINE_SECONDS = 30   # so long a relay that leaves waits for a client; what does not wait ends before
DIES = "#include <signal.h>\n#include <unistd.h>\n__attribute__((constructor)) static void die(void) { HOW; }\n"


class ProcessCase(RelayCase):
    def peer(self, relay, name="plain", hello=True):
        peer = Peer(relay.port(name))
        self.addCleanup(lambda: peer.socket.close())
        self.assertEqual(peer.reply()[0], "220")
        if hello:
            self.assertEqual(self.say(peer, "EHLO client.example"), "250")
        return peer

    @staticmethod
    def say(peer, text):
        peer.send(text.encode() + b"\r\n")
        return peer.reply()[0]

    def begin_data(self, peer):
        self.assertEqual(self.say(peer, "MAIL FROM:<a@clinic.example>"), "250")
        self.assertEqual(self.say(peer, "RCPT TO:<b@partner.example>"), "250")
        self.assertEqual(self.say(peer, "DATA"), "354")
        peer.send(b"Subject: in flight\r\n\r\nfirst half\r\n")

    def ended(self, relay, seconds):
        """The master's exit status, without another signal."""
        try:
            return relay.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.fail(f"still there after {seconds} s:\n{relay.log()[-2000:]}")

    def new_relay(self, **more):
        return self.relay({"plain": OPEN}, **more)


class Drain(ProcessCase):
    def test_sigterm(self):
        """A message in flight is taken and kept, everyone else is told, idle clients hold nothing up."""
        relay = self.relay({"plain": OPEN, "tls": dict(OPEN, tls="implicit")},
                           tls=certificate(self.directory, "localhost")).start()
        idle, busy, secret = self.peer(relay), self.peer(relay), Peer(relay.port("tls"))
        self.addCleanup(lambda: secret.socket.close())
        secret.tls()
        self.assertEqual(secret.reply()[0], "220")
        silent = socket.create_connection(("127.0.0.1", relay.port("tls")))     # never a handshake
        self.addCleanup(silent.close)
        self.begin_data(busy)
        began = time.monotonic()
        relay.process.terminate()
        self.assertEqual(idle.reply()[0], "421")
        self.assertEqual(secret.reply()[0], "421")
        self.assertIsNone(relay.process.poll())
        busy.send(b"second half\r\n.\r\n")
        self.assertEqual(busy.reply()[0], "250")
        self.assertEqual(busy.reply()[0], "421")
        self.assertEqual(self.ended(relay, 60), 0)
        took = time.monotonic() - began
        self.assertLess(took, DEADLINE_SECONDS, relay.log()[-2000:])
        relay.process = None
        relay.start()
        self.assertIn(b"first half\r\nsecond half\r\n", self.delivered(1)[0])
        self.assertEqual(len(list((self.mail / "new").iterdir())), 1)

    def test_next_hop_that_says_nothing(self):
        """The message stays in the spool; the deadline of 30 s is not for this."""
        hop = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(hop.close)
        relay = self.new_relay(routes=[{"to": "smarthost", "host": "127.0.0.1:%d" % hop.getsockname()[1],
                                        "tls": "none"}]).start()
        peer = self.peer(relay)
        self.begin_data(peer)
        peer.send(b".\r\n")
        self.assertEqual(peer.reply()[0], "250")
        held, _ = hop.accept()
        self.addCleanup(held.close)
        relay.process.terminate()
        self.assertEqual(self.ended(relay, 60), 0)
        relay.process = None
        relay.routes = [{"to": "maildir", "path": str(self.mail)}]
        relay.write()
        relay.start()
        self.assertIn(b"first half\r\n", self.delivered(1)[0])


class Reload(ProcessCase):
    def limits(self, relay, recipients):
        relay.relay["limits"] = {"recipients": recipients}
        relay.write()

    def recipients(self, peer, count):
        return [self.say(peer, f"RCPT TO:<r{number}@partner.example>") for number in range(count)]

    def test_at_the_next_mail(self):
        """A transaction ends as it began, the next one in the same session has the new limits."""
        relay = self.new_relay(relay={"limits": {"recipients": 2}}).start()
        peer = self.peer(relay)
        self.assertEqual(self.say(peer, "MAIL FROM:<a@clinic.example>"), "250")
        self.assertEqual(self.recipients(peer, 1), ["250"])
        self.limits(relay, 1)
        self.assertIn("reloaded", relay.ctl("reload").stdout)
        self.assertEqual(self.say(peer, "RCPT TO:<another@partner.example>"), "250")
        self.assertEqual(self.say(peer, "RSET"), "250")
        self.assertEqual(self.say(peer, "MAIL FROM:<a@clinic.example>"), "250")
        self.assertEqual(self.recipients(peer, 2), ["250", "452"])
        self.limits(relay, 3)
        relay.reload()
        proc.wait_until(lambda: "reloaded generation=3" in relay.log(), 20, "SIGHUP reloads")
        self.assertEqual(self.say(peer, "RSET"), "250")
        self.assertEqual(self.say(peer, "MAIL FROM:<a@clinic.example>"), "250")
        self.assertEqual(self.recipients(peer, 4), ["250", "250", "250", "452"])

    def test_bad_configuration_changes_nothing(self):
        relay = self.new_relay(relay={"limits": {"recipients": 1}}).start()
        peer, pid = self.peer(relay), relay.child("relay")
        self.limits(relay, "many")
        done = relay.ctl("reload", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r'test\.yaml:\d+:\d+: relay\.limits\.recipients: "many"')
        self.assertIn("generation", relay.ctl("status").stdout)  # which asks the relay, not the files
        relay.reload()
        proc.wait_until(lambda: relay.log().count("reload-refused") == 2, 20, "SIGHUP is refused")
        self.assertRegex(relay.log(), r"test\.yaml:\d+:\d+: relay\.limits\.recipients:")
        self.assertEqual(self.say(peer, "MAIL FROM:<a@clinic.example>"), "250")
        self.assertEqual(self.recipients(peer, 2), ["250", "452"])
        self.limits(relay, 2)
        relay.ctl("reload")
        self.assertEqual(relay.child("relay"), pid)
        self.assertEqual(self.say(peer, "RSET"), "250")
        self.assertEqual(self.say(peer, "MAIL FROM:<a@clinic.example>"), "250")
        self.assertEqual(self.recipients(peer, 3), ["250", "250", "452"])

    def test_many_at_once(self):
        """What posternctl is told is what became of its own reload, whoever else asks for one."""
        relay = self.new_relay(relay={"limits": {"recipients": 1}}).start()
        for number in range(2, 12):
            self.limits(relay, number)
            relay.reload()
            self.assertIn("reloaded", relay.ctl("reload").stdout)
            peer = self.peer(relay)
            self.assertEqual(self.say(peer, "MAIL FROM:<a@clinic.example>"), "250")
            self.assertEqual(self.recipients(peer, number + 1)[-2:], ["250", "452"])

    def test_listeners_come_and_go(self):
        relay = self.new_relay().start()
        peer, old = self.peer(relay), relay.ports["plain"]
        relay.listeners["other"], relay.ports["other"] = OPEN, proc.free_port()
        relay.write()
        relay.ctl("reload")
        other = self.peer(relay, "other")
        del relay.listeners["plain"], relay.ports["plain"]
        relay.write()
        relay.ctl("reload")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", old), 5)
        self.assertEqual(self.say(peer, "NOOP"), "421")
        self.assertEqual(self.say(other, "NOOP"), "250")
        self.assertEqual(self.say(self.peer(relay, "other"), "NOOP"), "250")

    def test_address_in_use(self):
        """A listener that cannot be had leaves all as it was."""
        relay = self.new_relay().start()
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        relay.listeners["other"], relay.ports["other"] = OPEN, taken.getsockname()[1]
        relay.write()
        done = relay.ctl("reload", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("listener other", done.stderr)
        self.assertIn("in use", done.stderr)
        self.assertEqual(self.say(self.peer(relay), "NOOP"), "250")
        del relay.listeners["other"], relay.ports["other"]


class Supervision(ProcessCase):
    def test_without_its_master_the_relay_leaves(self):
        relay = self.new_relay().start()
        peer, busy = self.peer(relay), self.peer(relay)
        self.begin_data(busy)
        relay.kill_master()
        self.assertEqual(peer.reply()[0], "421")
        relay.start()
        self.assertEqual(self.say(self.peer(relay), "NOOP"), "250")

    def test_a_relay_that_dies_is_replaced(self):
        relay = self.new_relay().start()
        pid = relay.kill_relay()
        self.assertNotEqual(proc.wait_until(lambda: relay.child("relay") not in (None, pid), 10, "another"), pid)
        self.assertEqual(self.say(self.peer(relay), "NOOP"), "250")
        self.assertRegex(relay.log(), r"relay-died how=.*signal 9")

    def test_two_on_one_folder(self):
        first = self.new_relay().start()
        second = Relay(os.path.join(self.directory, "second"), self.builddir, {"plain": OPEN},
                       [{"to": "discard"}], relay={"state_directory": first.state})
        self.addCleanup(second.stop)
        with self.assertRaises(Failed) as refused:
            second.start(30)
        self.assertIn(f"{first.state}: another posternd runs on this folder", str(refused.exception))
        self.assertEqual(self.say(self.peer(first), "NOOP"), "250")
        first.stop()
        second.start()
        self.assertEqual(self.say(self.peer(second), "NOOP"), "250")

    def dying_module(self, how):
        """modules/dies.so, which takes with it whoever loads it."""
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if not compiler:
            self.skipTest("there is no C compiler")
        folder = os.path.join(self.directory, "modules")
        os.makedirs(folder, exist_ok=True)
        subprocess.run([compiler, "-w", "-shared", "-fPIC", f"-DHOW={how}", "-x", "c", "-", "-o",
                        os.path.join(folder, "dies.so")], input=DIES.encode(), check=True)
        return folder

    def test_a_module_that_kills_the_checker(self):
        for how in ("SIGKILL", "SIGSEGV"):
            with self.subTest(how=how):
                relay = Relay(os.path.join(self.directory, how), self.builddir, {"plain": OPEN},
                              [{"to": "discard"}], ["dies"])
                self.addCleanup(relay.stop)
                relay.programs.modules = self.dying_module(f"raise({how})")
                with self.assertRaises(Failed) as refused:
                    relay.start()
                self.assertIn("the checker ended without an answer", str(refused.exception))
                self.assertIn("a module may have crashed it", str(refused.exception))

    def test_a_module_that_hangs_in_the_checker(self):
        """The master, all of whose signals are blocked, still ends when told to."""
        relay = self.relay({"plain": OPEN}, pipeline=["dies"])
        relay.programs.modules = self.dying_module("for (;;) pause()")
        with open(relay.log_path, "wb") as log:
            relay.process = subprocess.Popen([relay.programs.posternd, "-c", relay.conf, "-m", relay.programs.modules],
                                             stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        checker = proc.wait_until(lambda: relay.child("checker"), 10, "the checker starts")
        relay.process.terminate()
        self.assertEqual(self.ended(relay, 60), 1)
        relay.process = None
        self.assertIn("told to end while the configuration was checked", relay.log())
        proc.wait_until(lambda: not os.path.exists(f"/proc/{checker}"), 60, "the checker has left as well")

    def test_a_reload_that_kills_the_checker(self):
        relay = self.new_relay()
        relay.programs.modules = self.dying_module("raise(SIGKILL)")
        relay.start()
        relay.pipeline = ["dies"]
        relay.write()
        relay.reload()
        proc.wait_until(lambda: "reload-refused" in relay.log(), 20, "the reload is refused")
        self.assertIn("the checker ended without an answer", relay.log())
        self.assertEqual(self.say(self.peer(relay), "NOOP"), "250")


class Privileges(ProcessCase):
    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("only root has privileges to drop")
        self.server = self.relay({"plain": OPEN, "tls": dict(OPEN, tls="implicit")},
                                 tls=certificate(self.directory, "localhost"))
        if self.server.note:
            self.skipTest(self.server.note)
        self.server.start()
        self.nobody = pwd.getpwnam("nobody")

    def status(self, pid):
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
        return {line.split(":")[0]: line.split(":")[1].split() for line in text.splitlines()}

    def test_the_relay_has_none(self):
        status = self.status(self.server.child("relay"))
        self.assertEqual(status["Uid"], [str(self.nobody.pw_uid)] * 4)
        self.assertEqual(status["Gid"], [str(self.nobody.pw_gid)] * 4)
        self.assertLessEqual(set(status["Groups"]), {str(self.nobody.pw_gid)})
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            self.assertEqual(int(status[name][0], 16), 0, name)
        self.assertEqual(status["NoNewPrivs"], ["1"])

    def test_a_key_that_only_root_may_read(self):
        key = os.stat(self.server.tls[1])
        self.assertEqual((key.st_uid, stat.S_IMODE(key.st_mode)), (0, 0o600))
        for _ in range(2):      # also after a reload, when only the master can read it
            peer = Peer(self.server.port("tls"))
            self.addCleanup(lambda peer=peer: peer.socket.close())
            peer.tls()
            self.assertEqual(peer.reply()[0], "220")
            self.assertIsInstance(peer.socket, ssl.SSLSocket)
            self.server.ctl("reload")

    def test_files_and_sockets(self):
        control = os.stat(os.path.join(self.server.run, "control"))
        self.assertTrue(stat.S_ISSOCK(control.st_mode))
        self.assertEqual((control.st_uid, stat.S_IMODE(control.st_mode)), (self.nobody.pw_uid, 0o600))
        for path in [self.server.state, *pathlib.Path(self.server.state).rglob("*")]:
            try:
                found = os.stat(path)
            except FileNotFoundError:   # the database's other files come and go
                continue
            self.assertEqual(found.st_uid, self.nobody.pw_uid, path)
            self.assertEqual(stat.S_IMODE(found.st_mode) & 0o077, 0, path)
