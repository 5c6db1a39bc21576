# SPDX-License-Identifier: Apache-2.0
"""SMTP listeners on unix sockets: who is trusted, what the trace says, what a start makes of old sockets."""
import grp
import os
import pwd
import shutil
import stat
import subprocess

from tests.lib.backends import UnixSMTP
from tests.lib.case import PASSWORD, USER, RelayCase

MAIL = "Subject: by way of a path\r\n\r\nHello\r\n"


class UnixListener(RelayCase):
    def start(self, own=None, **more):
        self.path = os.path.join(self.directory, "smtp")
        relay = self.relay({"tcp": {"tls": "none", "auth": "off"}}, **more)
        relay.relay["listeners"] = [
            {"name": "tcp", "address": f"127.0.0.1:{relay.port('tcp')}", "tls": "none", "auth": "off"},
            dict({"name": "path", "address": f"unix:{self.path}", "tls": "none", "auth": "off"}, **(own or {}))]
        relay.write()
        return relay

    def client(self):
        client = UnixSMTP(self.path, 25, local_hostname="client.example", timeout=60)
        self.addCleanup(client.close)
        return client

    def send(self):
        client = self.client()
        client.sendmail("a@clinic.example", ["b@partner.example"], MAIL)
        client.quit()

    def test_trusted_and_traced(self):
        relay = self.start().start()
        self.send()
        header = self.delivered(1, 60)[0].split(b"\r\n\r\n")[0].replace(b"\r\n\t", b" ")
        uid = b"%d" % os.getuid()
        self.assertRegex(header, rb"Received: from client\.example \(localhost\) \(uid " + uid + rb"\) by postern\.test ")
        self.assertIn("client=local listener=path", relay.log())
        self.assertIn(f"uid={os.getuid()} pid={os.getpid()}", relay.log())

    def test_swaks(self):
        if not shutil.which("swaks"):
            self.skipTest("swaks is not installed")
        self.start().start()
        done = subprocess.run(["swaks", "--socket", self.path, "--from", "a@clinic.example", "--to",
                               "b@partner.example", "--timeout", "60"], stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.delivered(1, 60)

    def test_what_a_killed_master_leaves_is_replaced(self):
        relay = self.start().start()
        before = os.stat(self.path)
        self.assertTrue(stat.S_ISSOCK(before.st_mode))
        relay.kill_master()
        self.assertTrue(os.path.exists(self.path))
        with self.assertRaises(ConnectionRefusedError):
            self.client()
        relay.start()
        self.send()
        self.delivered(1, 60)

    def test_reload_keeps_it(self):
        relay = self.start().start()
        client, before = self.client(), os.stat(self.path).st_ino
        relay.ctl("reload")
        relay.ctl("upgrade")
        self.assertEqual(os.stat(self.path).st_ino, before)
        self.send()
        self.delivered(1, 60)
        client.close()

    def test_login_in_clear_where_the_listener_says_so(self):
        relay = self.start({"auth": "required", "auth_without_tls": True}, pipeline=["auth"])
        relay.add_user(USER, PASSWORD)
        relay.start()
        client = self.client()
        client.ehlo()
        self.assertEqual(client.mail(USER)[0], 530)
        self.assertEqual(client.login(USER, PASSWORD)[0], 235)
        client.sendmail(USER, ["b@partner.example"], MAIL)
        self.delivered(1, 60)

    def test_mode_owner_and_group(self):
        """Set when the socket is opened; without them everybody may connect."""
        relay = self.start().start()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o666)
        relay.stop()
        local = relay.relay["listeners"][1]
        local["mode"] = "0620"
        if os.geteuid() == 0:
            local.update(owner="daemon", group="mail")
        relay.write()
        relay.start()
        found = os.stat(self.path)
        self.assertEqual(stat.S_IMODE(found.st_mode), 0o620)
        if os.geteuid() == 0:
            self.assertEqual((found.st_uid, found.st_gid),
                             (pwd.getpwnam("daemon").pw_uid, grp.getgrnam("mail").gr_gid))
            self.send()     # root may always

    def check(self, **own):
        relay = self.start(own)
        return relay.ctl("check", check=False).stderr

    def test_mistakes(self):
        for own, said in (({"mode": "rw"}, 'mode: "rw" is no mode; write it in octal digits'),
                          ({"mode": "4755"}, "is no mode"),
                          ({"owner": "no-such-user"}, 'owner: this machine has no user "no-such-user"'),
                          ({"group": "no-such-group"}, 'group: this machine has no group "no-such-group"'),
                          ({"address": "127.0.0.1:1", "group": "mail"}, 'only the socket of a "unix:" address')):
            with self.subTest(own=own):
                self.assertRegex(self.check(**own), r"test\.yaml:\d+:\d+: relay\.listeners\[1\]\.")
                self.assertIn(said, self.check(**own))
