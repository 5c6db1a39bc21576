# SPDX-License-Identifier: Apache-2.0
"""dovecot_auth.py - the server side of Dovecot's authentication protocol for one user, PLAIN only.

Postfix's smtpd asks it (smtpd_sasl_type = dovecot). It compares strings where a real server would
look up and hash, and runs in the caller's process: both favour Postfix in a comparison.
"""
import base64
import os
import selectors
import socket
import threading

GREETING = b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t0\nDONE\n"


class DovecotAuth:
    def __init__(self, path, user, password):
        self.path, self.user = path, user
        self.expected = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        self.selector = selectors.DefaultSelector()
        self.wake, self.woken = socket.socketpair()
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def start(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        listener = socket.socket(socket.AF_UNIX)
        # A path under a deep build tree may be longer than an address of a unix socket.
        folder = os.open(os.path.dirname(self.path), os.O_PATH)
        listener.bind(f"/proc/self/fd/{folder}/{os.path.basename(self.path)}")
        os.close(folder)
        os.chmod(self.path, 0o666)
        listener.listen(128)
        self.listener = listener
        self.selector.register(listener, selectors.EVENT_READ, None)
        self.selector.register(self.woken, selectors.EVENT_READ, None)
        self.thread.start()

    def stop(self):
        self.wake.send(b"x")
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()
        self.wake.close()

    def _serve(self):
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.woken:
                    return
                if key.fileobj is self.listener:
                    peer, _ = self.listener.accept()
                    peer.sendall(GREETING)
                    self.selector.register(peer, selectors.EVENT_READ, [b""])
                else:
                    self._read(key.fileobj, key.data)

    def _read(self, peer, kept):
        try:
            got = peer.recv(16384)
        except ConnectionError:
            got = b""
        if not got or len(kept[0]) > 65536:
            self.selector.unregister(peer)
            peer.close()
            return
        *lines, kept[0] = (kept[0] + got).split(b"\n")
        answers = [self._answer(line.decode("ascii", "replace").split("\t")) for line in lines]
        try:
            peer.sendall("".join(answers).encode())
        except ConnectionError:
            pass  # the next read finds the end

    def _answer(self, fields):
        if fields[0] not in ("AUTH", "CONT"):
            return ""
        number, response = fields[1], fields[-1]
        if fields[0] == "AUTH":
            if not response.startswith("resp="):
                return f"CONT\t{number}\t\n"
            response = response[5:]
        if response == self.expected:
            return f"OK\t{number}\tuser={self.user}\n"
        return f"FAIL\t{number}\n"
