# SPDX-License-Identifier: Apache-2.0
"""saslauthd.py - a private saslauthd that asks a directory server, unpacked from Debian's package.

    with Saslauthd(directory, builddir, options={"ldap_servers": server.uri, ...}) as service:
        service.socket

PAM would ask the machine's own files; a directory server belongs to the test.
"""
import os
import socket
import subprocess
import tempfile

from . import proc
from .unpack import libraries, unpack


class Saslauthd:
    def __init__(self, directory, builddir, options):
        self.root = unpack(builddir, "sasl2-bin")
        self.config, self.log = os.path.join(directory, "saslauthd.conf"), os.path.join(directory, "saslauthd.log")
        with open(self.config, "w") as file:
            file.writelines(f"{key}: {value}\n" for key, value in options.items())
        # A unix socket's address is short, a build tree's path may be long.
        self.folder = tempfile.mkdtemp(prefix="postern-")
        os.chmod(self.folder, 0o755)
        self.socket = os.path.join(self.folder, "mux")
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [os.path.join(self.root, "usr/sbin/saslauthd"), "-d", "-n", "1", "-a", "ldap", "-O", self.config,
                 "-m", self.folder], env=dict(os.environ, LD_LIBRARY_PATH=libraries(self.root)),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)  # at its end it sends SIGTERM to its whole process group
        proc.wait_until(self._answers, 20, "saslauthd takes connections")
        return self

    def _answers(self):
        """Its socket is there before it listens."""
        with socket.socket(socket.AF_UNIX) as peer:
            return peer.connect_ex(self.socket) == 0

    def stop(self):
        if self.process:
            proc.end(self.process)
            self.process = None
        for name in os.listdir(self.folder):
            os.unlink(os.path.join(self.folder, name))

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        os.rmdir(self.folder)
