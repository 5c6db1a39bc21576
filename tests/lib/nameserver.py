# SPDX-License-Identifier: Apache-2.0
"""nameserver.py - a name server on a port of this machine, out of Debian's unbound, never installed.

    with NameServer(directory, builddir, {"plain.example": "@ MX 10 mx\nmx A 127.0.0.2\n"},
                    signed={"safe.example": "..."}) as server:
        relay = {"dns": {"servers": [server.address], "trust_anchor": server.anchor}}

Zones are written as in a zone file; SOA, NS and a TTL of a minute come by themselves. Those in
`signed` are signed with a key of their own, all of which stand in `anchor`. `forge` is a function
that changes the text of a signed zone behind its signature's back. `dead` are domains of which
the server tells nothing (REFUSED). `port` is a free one unless said. set_zone() replaces a zone. Ends only what it started.
"""
import os
import re
import shutil
import subprocess

from . import proc
from .proc import CannotRun
from .unpack import libraries, unpack

HEAD = "$ORIGIN {name}.\n$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n"

CONFIG = """\
server:
    chroot: ""
    username: ""
    directory: "{folder}"
    pidfile: "{folder}/unbound.pid"
    use-syslog: no
    logfile: "{folder}/log"
    interface: 127.0.0.1
    port: {port}
    do-ip6: no
    do-daemonize: no
    do-not-query-localhost: no
    module-config: "iterator"
    access-control: 127.0.0.0/8 allow
    num-queries-per-thread: 4096
    outgoing-range: 1024
    root-hints: "{folder}/root"
remote-control:
    control-enable: no
"""


class NameServer:
    def __init__(self, directory, builddir, zones=None, signed=None, forge=None, dead=(), port=0):
        self.folder = os.path.join(directory, "dns")
        os.makedirs(self.folder)
        os.chmod(self.folder, 0o755)
        self.root = unpack(builddir, "unbound")
        self.zones, self.dead, self.process = dict(zones or {}), list(dead), None
        self.wanted = port
        self.anchor = os.path.join(self.folder, "anchor")
        for name, text in (signed or {}).items():
            self._sign(name, text, forge)
        for name, text in self.zones.items():
            self._write(name, HEAD.format(name=name) + text)
        self.zones.update(signed or {})

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def _path(self, name):
        return os.path.join(self.folder, f"{name}.zone")

    def _write(self, name, text):
        with open(self._path(name), "w") as file:
            file.write(text)

    def _run(self, *command):
        program = shutil.which(command[0], path=os.environ["PATH"] + ":/usr/sbin:/usr/bin")
        if not program:
            raise CannotRun(f"{command[0]} is missing (package bind9-utils)")
        done = subprocess.run([program, *command[1:]], cwd=self.folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise CannotRun(f"{command[0]}: {done.stderr[-500:]}")
        return done.stdout.strip()

    def _sign(self, name, text, forge):
        self._write(name, HEAD.format(name=name) + text)
        key = self._run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", name)
        with open(os.path.join(self.folder, f"{key}.key")) as file:
            record = [line for line in file if not line.startswith(";")]
        with open(self._path(name), "a") as zone, open(self.anchor, "a") as anchor:
            zone.writelines(record)
            anchor.writelines(record)
        self._run("dnssec-signzone", "-q", "-z", "-O", "full", "-o", name, "-f", "signed",
                  self._path(name), f"{key}.key")
        with open(os.path.join(self.folder, "signed")) as file:
            made = file.read()
        self._write(name, forge(made) if forge else made)

    def __enter__(self):
        self.port = self.wanted or proc.free_port()
        self.start()
        return self

    def start(self):
        text = CONFIG.format(folder=self.folder, port=self.port)
        refused = "".join(f'    local-zone: "{name}" refuse\n' for name in self.dead)
        text = text.replace("remote-control:", refused + "remote-control:")
        for name in self.zones:
            text += (f'auth-zone:\n    name: "{name}"\n    zonefile: "{self._path(name)}"\n'
                     "    for-downstream: no\n    for-upstream: yes\n    fallback-enabled: no\n")
        with open(os.path.join(self.folder, "root"), "w") as file:  # nothing is ever asked outside
            file.write(". 3600 NS ns.root.\nns.root. 3600 A 127.0.0.1\n")
        config = os.path.join(self.folder, "unbound.conf")
        with open(config, "w") as file:
            file.write(text)
        environment = dict(os.environ, LD_LIBRARY_PATH=libraries(self.root))
        self.process = subprocess.Popen([os.path.join(self.root, "usr/sbin/unbound"), "-c", config],
                                        env=environment, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        try:
            proc.wait_listening(self.port, self.process)
        except proc.Failed as problem:
            with open(os.path.join(self.folder, "log")) as log:
                raise CannotRun(f"unbound: {problem}: {log.read()[-500:]}") from problem

    def stop(self):
        if self.process:
            proc.end(self.process)
            self.process = None

    def __exit__(self, *exception):
        self.stop()

    def set_zone(self, name, text):
        """Without a signature; whoever has asked may keep the old answer for its TTL."""
        self.stop()
        self._write(name, HEAD.format(name=name) + text)
        self.start()


def forge_address(old, new):
    """The A records of a signed zone say something else than what was signed."""
    return lambda text: re.sub(rf"(\sIN\s+A\s+){re.escape(old)}\b", rf"\g<1>{new}", text)
