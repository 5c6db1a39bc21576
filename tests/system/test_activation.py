# SPDX-License-Identifier: Apache-2.0
"""Socket activation: listeners on sockets that somebody else has opened, as sd_listen_fds(3) says."""
import json
import os
import pathlib
import smtplib
import socket
import sys

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.proc import Failed

OPEN = {"tls": "none", "auth": "off", "networks": ["127.0.0.0/8"]}

# Opens sockets as systemd does, from 3 on and blocking, and becomes posternd.
MANAGER = """#!{python}
import json, os, socket, sys
made = []
for name, where in json.loads({sockets!r}):
    if isinstance(where, str):
        one = socket.socket(socket.AF_UNIX)
        one.bind(where)
        os.chmod(where, 0o666)
    else:
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(tuple(where))
    if name != "deaf":
        one.listen(50)
    made.append((name, one))
far = [os.dup2(one.fileno(), 100 + number) for number, (name, one) in enumerate(made)]
for number, fd in enumerate(far):
    os.dup2(fd, 3 + number, inheritable=True)
os.environ.update(LISTEN_FDS=str(len(made)), LISTEN_PID=str(os.getpid()),
                  LISTEN_FDNAMES=":".join(name for name, one in made))
for fd in far:
    os.set_inheritable(fd, False)
os.execv({posternd!r}, [{posternd!r}, *sys.argv[1:]])
"""


class Activation(RelayCase):
    def activated(self, sockets, listeners):
        """A relay that is passed `sockets(relay)`: pairs of a name and an address or path."""
        relay = self.relay(listeners)
        path = pathlib.Path(self.directory, "manager")
        path.write_text(MANAGER.format(python=sys.executable, sockets=json.dumps(sockets(relay)),
                                       posternd=relay.programs.posternd))
        path.chmod(0o755)
        relay.programs.posternd = str(path)
        return relay

    @staticmethod
    def greeted(port):
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
            return client.ehlo()[0] == 250

    def test_by_name_by_address_and_its_own(self):
        """The named one is not where the configuration says; what is passed would be busy otherwise."""
        unused = proc.free_port()
        relay = self.activated(lambda relay: [("named", ["127.0.0.1", relay.port("named")]),
                                              ("postern.socket", ["127.0.0.1", relay.port("found")])],
                               {"named": dict(OPEN, address=f"127.0.0.1:{unused}"), "found": OPEN, "own": OPEN})
        relay.start()
        for name in ("named", "found", "own"):
            self.assertTrue(self.greeted(relay.port(name)), name)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", unused), 60)

    def test_reload_upgrade_and_a_dead_relay_keep_them(self):
        relay = self.activated(lambda relay: [("in", ["127.0.0.1", relay.port("in")])],
                               {"in": dict(OPEN, address=f"127.0.0.1:{proc.free_port()}")}).start()
        self.assertIn("reloaded", relay.ctl("reload").stdout)
        self.assertTrue(self.greeted(relay.port("in")))
        relay.ctl("upgrade")
        proc.wait_until(lambda: "=relay-left " in relay.log(), 60, "the relay before has left")
        self.assertTrue(self.greeted(relay.port("in")))
        pid = relay.kill_relay()
        proc.wait_until(lambda: relay.child("relay") not in (None, pid), 60, "another relay")
        self.assertTrue(self.greeted(relay.port("in")))

    def test_unix_socket(self):
        path = os.path.join(self.directory, "smtp")
        relay = self.activated(lambda relay: [("postern.socket", path)], {"tcp": OPEN})
        relay.relay["listeners"] = [dict(OPEN, name="tcp", address=f"127.0.0.1:{relay.port('tcp')}"),
                                    {"name": "local", "address": f"unix:{path}", "tls": "none", "auth": "off"}]
        relay.write()
        relay.start()
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(60)
            peer.connect(path)
            self.assertTrue(peer.recv(100).startswith(b"220 "))

    def refused(self, sockets):
        relay = self.activated(sockets, {"in": OPEN})
        with self.assertRaises(Failed) as refused:
            relay.start(60)
        return str(refused.exception)

    def test_one_that_fits_no_listener(self):
        port = proc.free_port()
        said = self.refused(lambda relay: [("in", ["127.0.0.1", relay.port("in")]), ("web", ["127.0.0.1", port])])
        self.assertIn(f'systemd passes "web", 127.0.0.1:{port}, and no listener has that name or address', said)

    def test_two_for_one_listener(self):
        said = self.refused(lambda relay: [("in", ["127.0.0.1", relay.port("in")]),
                                           ("in", ["127.0.0.1", proc.free_port()])])
        self.assertIn('listener "in" has a socket from it already', said)

    def test_one_that_does_not_listen(self):
        said = self.refused(lambda relay: [("deaf", ["127.0.0.1", relay.port("in")])])
        self.assertIn('systemd passes "deaf", descriptor 3, which is no listening stream socket', said)
