# SPDX-License-Identifier: Apache-2.0
"""nexthop.py - a next hop that keeps every message to the byte: (sender, recipients, data).

    with NextHop(chunking=True) as hop:
        ... "127.0.0.1:%d" % hop.port
        hop.wait(3)

Told to, it misbehaves: `answers` maps a line of the client ("RCPT TO:<b@example.org>") to the replies
that it gets, in turn, before the usual one; "." is the end of the data, where "close" is no reply
but the end of the connection. `tls` (certificate, key) offers STARTTLS, `login` (user, password)
wants AUTH PLAIN. `lines` is what clients said, in clear (False) or in TLS (True). `implicit`: TLS comes
first. `lmtp`: LHLO, and a reply for each recipient, which `answers` has as ". <b@example.org>".
"""
import base64
import socketserver
import ssl
import threading
import time

from .proc import PATIENCE_SECONDS, Failed


class _Session(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def offers(self):
        server, secure = self.server, isinstance(self.connection, ssl.SSLSocket)
        yield from server.offers
        if server.tls and not secure:
            yield "STARTTLS"
        if server.login and (secure or not server.tls):
            yield "AUTH PLAIN"

    def starttls(self):
        self.say("220 2.0.0 go on")
        self.secure()

    def secure(self):
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)

    def auth(self, line):
        user, password = self.server.login
        right = base64.b64encode(f"\0{user}\0{password}".encode())
        self.known = line.split() == [b"AUTH", b"PLAIN", right]
        self.say("235 2.7.0 welcome" if self.known else "535 5.7.8 who are you")

    def told(self, line):
        """Says the reply that this line is to get; false if it is the usual one."""
        with self.server.lock:
            self.server.lines.append((isinstance(self.connection, ssl.SSLSocket), line))
            replies = self.server.answers.get(line.strip().decode("ascii", "replace"))
            reply = replies.pop(0) if replies else None
        if reply is None and line.startswith(b"MAIL") and self.server.login and not self.known:
            reply = "530 5.7.0 log in first"
        if reply:
            self.say(reply)
        return reply

    def handle(self):
        with self.server.lock:
            self.server.connections += 1
        self.known = False
        if self.server.implicit:
            self.secure()
        self.say("220 hop.test ESMTP")
        sender, recipients, chunks = None, [], b""
        while line := self.rfile.readline():
            verb = line.split(b" ")[0].strip().upper()
            if self.told(line):
                continue
            if verb == (b"LHLO" if self.server.lmtp else b"EHLO"):
                self.say("\r\n".join(["250-hop.test", *["250-" + each for each in self.offers()],
                                      "250 SIZE 100000000"]))
            elif verb == b"STARTTLS":
                self.starttls()
            elif verb == b"AUTH":
                self.auth(line)
            elif verb == b"MAIL":
                sender, recipients, chunks = line[10:].strip().decode(), [], b""
                self.say("250 2.1.0 ok")
            elif verb == b"RCPT":
                recipients.append(line[8:].strip().decode())
                self.say("250 2.1.5 ok")
            elif verb == b"DATA" and not recipients:
                self.say("554 5.5.1 no recipients")
            elif verb == b"DATA":
                self.say("354 go on")
                self.keep(sender, recipients, self.data())
            elif verb == b"BDAT":
                words = line.split()
                chunks += self.rfile.read(int(words[1]))
                if words[2:] == [b"LAST"]:
                    self.keep(sender, recipients, chunks)
                else:
                    self.say("250 2.0.0 more")
            elif verb == b"QUIT":
                self.say("221 2.0.0 bye")
                return
            else:
                self.say("250 2.0.0 ok")

    def data(self):
        lines = []
        while line := self.rfile.readline():
            if line == b".\r\n":
                return b"".join(lines)
            lines.append(line[1:] if line.startswith(b".") else line)
        raise ConnectionError("the data did not end")

    def keep(self, sender, recipients, data):
        if not self.server.lmtp:
            self.keep_for(sender, recipients, data, ".")
            return
        for each in recipients:
            self.keep_for(sender, [each], data, f". {each}")

    def keep_for(self, sender, recipients, data, key):
        with self.server.lock:
            replies = self.server.answers.get(key)
            reply = replies.pop(0) if replies else None
        if reply == "close":
            raise ConnectionError("as told")
        if reply:
            self.say(reply)
            return
        with self.server.lock:
            self.server.messages.append((sender, recipients, data))
            self.server.take(data, isinstance(self.connection, ssl.SSLSocket))
        self.say("250 2.0.0 kept")


class NextHop(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, offers=("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8"), chunking=False,
                 port=0, answers=None, tls=None, login=None, implicit=False, lmtp=False):
        super().__init__(("127.0.0.1", port), _Session)
        self.answers, self.login, self.lines, self.tls = answers or {}, login, [], None
        self.implicit, self.lmtp = implicit, lmtp
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*tls)
        self.offers = [*offers, "CHUNKING"] if chunking else list(offers)
        self.lock, self.messages, self.connections = threading.Lock(), [], 0

    def take(self, data, secure):
        """For subclasses: a message has come, in TLS or in clear; with the lock held."""

    @property
    def port(self):
        return self.server_address[1]

    @property
    def route(self):
        return {"to": "smarthost", "host": f"127.0.0.1:{self.port}", "tls": "none"}

    def handle_error(self, request, client_address):
        """A relay that is killed breaks its connections: nothing to report."""

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.shutdown()
        self.server_close()

    def wait(self, count, seconds=30):
        seconds = max(seconds, PATIENCE_SECONDS)
        end = time.monotonic() + seconds
        while len(self.messages) < count:
            if time.monotonic() > end:
                raise Failed(f"{len(self.messages)} of {count} messages after {seconds} s")
            time.sleep(0.01)
        return self.messages
