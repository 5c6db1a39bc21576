# SPDX-License-Identifier: Apache-2.0
"""nexthop.py - a next hop that keeps every message to the byte: (sender, recipients, data).

    with NextHop(chunking=True) as hop:
        ... "127.0.0.1:%d" % hop.port
        hop.wait(3)
"""
import socketserver
import threading
import time

from .proc import Failed


class _Session(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        self.server.connections += 1
        self.say("220 hop.test ESMTP")
        sender, recipients, chunks = None, [], b""
        for line in self.rfile:
            verb = line.split(b" ")[0].strip().upper()
            if verb == b"EHLO":
                self.say("\r\n".join(["250-hop.test", *["250-" + each for each in self.server.offers],
                                      "250 SIZE 100000000"]))
            elif verb == b"MAIL":
                sender, recipients, chunks = line[10:].strip().decode(), [], b""
                self.say("250 2.1.0 ok")
            elif verb == b"RCPT":
                recipients.append(line[8:].strip().decode())
                self.say("250 2.1.5 ok")
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
        for line in self.rfile:
            if line == b".\r\n":
                return b"".join(lines)
            lines.append(line[1:] if line.startswith(b".") else line)
        raise ConnectionError("the data did not end")

    def keep(self, sender, recipients, data):
        with self.server.lock:
            self.server.messages.append((sender, recipients, data))
        self.say("250 2.0.0 kept")


class NextHop(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, offers=("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8"), chunking=False):
        super().__init__(("127.0.0.1", 0), _Session)
        self.offers = [*offers, "CHUNKING"] if chunking else list(offers)
        self.lock, self.messages, self.connections = threading.Lock(), [], 0

    @property
    def port(self):
        return self.server_address[1]

    @property
    def route(self):
        return {"to": "smarthost", "host": f"127.0.0.1:{self.port}", "tls": "none"}

    def handle_error(self, request, client_address):
        """A relay that is killed breaks its connections: nothing to report."""

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.shutdown()
        self.server_close()

    def wait(self, count, seconds=30):
        end = time.monotonic() + seconds
        while len(self.messages) < count:
            if time.monotonic() > end:
                raise Failed(f"{len(self.messages)} of {count} messages after {seconds} s")
            time.sleep(0.01)
        return self.messages
