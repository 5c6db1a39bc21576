# SPDX-License-Identifier: Apache-2.0
"""Next hops that reset, stall, send garbage, answer late or twice, at every step of a session, with and
without PIPELINING: nobody is lost, nobody gets a message twice, and each recipient's fate is right."""
import collections
import itertools
import os
import re
import smtplib
import socket
import ssl
import struct
import threading
import time

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.certificates import certificate
from tests.lib.postern import File

# The step, and which of the time-outs ends a wait there.
PLAIN = {"connect": "greeting", "greeting": "greeting", "EHLO": "hello", "MAIL": "mail", "RCPT 1": "rcpt",
         "RCPT 2": "rcpt", "RCPT 3": "rcpt", "DATA": "data", "body": "final", "final": "final", "next": "mail",
         "QUIT": "quit"}
SECURE = {"STARTTLS": "hello", "handshake": "handshake", "EHLO in TLS": "hello", "AUTH": "hello"}
FAULTS = ("reset", "stall", "garbage", "late", "twice")
OFFERS = {False: "250 hop", True: "250-hop\r\n250 PIPELINING"}


class Cell:
    """One next hop, and what it does wrong, once."""

    def __init__(self, number, step, fault, piped):
        self.step, self.fault, self.piped, self.done = step, fault, piped, False
        self.secure = step in SECURE
        self.timeout = {**PLAIN, **SECURE}[step]
        self.host, self.domain = f"127.7.0.{number + 1}", f"h{number}.example"
        self.taken, self.lock = collections.Counter(), threading.Lock()

    def __str__(self):
        return f"{self.fault} at {self.step}{', piped' if self.piped else ''} ({self.host})"

    def once(self):
        with self.lock:
            first, self.done = not self.done, True
            return first

    @property
    def destination(self):
        item = {"host": [self.host], "connections": 1, "idle_connection": "200ms" if self.step == "QUIT" else "1m",
                "back_off": {"first": "50ms", "most": "1s"}}
        # Garbage may be the beginning of a record of TLS, of which more is to come.
        waits = self.fault == "stall" or (self.step, self.fault) == ("handshake", "garbage")
        return dict(item, timeouts={self.timeout: "4s"}) if waits else item


class Gone(Exception):
    pass


class Session:
    def __init__(self, cell, connection, tls):
        self.cell, self.socket, self.tls, self.input = cell, connection, tls, b""
        self.socket.settimeout(60)

    def line(self):
        while b"\r\n" not in self.input:
            data = self.socket.recv(65536)
            if not data:
                raise Gone
            self.input += data
        line, self.input = self.input.split(b"\r\n", 1)
        return line.decode()

    def say(self, text, step):
        """Says it, unless this is where to go wrong."""
        cell, times = self.cell, 1
        if step == cell.step and cell.once():
            times = self.go_wrong(2)
        self.socket.sendall((text + "\r\n").encode() * times)

    def go_wrong(self, times):
        fault = self.cell.fault
        if fault == "reset":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise Gone
        if fault == "garbage":
            self.socket.sendall(b"\xff\xfe what is this\x00\r\n")
        if fault in ("stall", "garbage"):
            while self.socket.recv(65536):
                pass
            raise Gone
        if fault == "late":
            time.sleep(0.3)
        return times if fault == "twice" else 1

    def run(self):
        try:
            if self.cell.step == "connect" and self.cell.once():
                self.go_wrong(1)
            self.say("220 hop ESMTP", "greeting")
            self.talk()
        except (Gone, OSError):
            pass
        finally:
            self.socket.close()

    def talk(self):
        recipients, asked, after = [], 0, ""
        while line := self.line():
            verb = line.split()[0]
            if verb == "EHLO":
                self.hello()
            elif verb == "STARTTLS":
                self.starttls()
            elif verb == "AUTH":
                self.say("235 2.7.0 welcome", "AUTH")
            elif verb == "MAIL":
                recipients, asked = [], 0
                self.say("250 2.1.0 ok", after or "MAIL")
            elif verb == "RCPT":
                asked, address = asked + 1, re.search("<(.*)>", line)[1]
                if not address.startswith("c@"):
                    recipients.append(address)
                self.say("250 2.1.5 ok" if not address.startswith("c@") else "550 5.1.1 nobody", f"RCPT {asked}")
            elif verb == "DATA":
                self.data(recipients)
                after = "next"
            elif verb == "QUIT":
                self.say("221 2.0.0 bye", "QUIT")
                return
            else:
                self.say("250 2.0.0 ok", after)

    def is_secure(self):
        return isinstance(self.socket, ssl.SSLSocket)

    def hello(self):
        if self.cell.secure and not self.is_secure():
            self.say("250-hop\r\n250 STARTTLS", "EHLO")
        elif self.cell.secure:
            self.say("250-hop\r\n250 AUTH PLAIN", "EHLO in TLS")
        else:
            self.say(OFFERS[self.cell.piped], "EHLO")

    def starttls(self):
        self.say("220 2.0.0 go on", "STARTTLS")
        if self.cell.step == "handshake" and self.cell.once():
            self.go_wrong(1)
        self.socket, self.input = self.tls.wrap_socket(self.socket, server_side=True), b""

    def data(self, recipients):
        self.say("354 go on", "DATA")
        if self.cell.step == "body" and self.cell.once():
            self.line()
            self.go_wrong(1)
        while self.line() != ".":
            pass
        with self.cell.lock:
            before = self.cell.taken.copy()
            self.cell.taken.update(recipients)
        try:
            self.say("250 2.0.0 taken", "final")
        except Gone:
            self.cell.taken = before
            raise


class Hops:
    def __init__(self, cells, pair):
        self.cells = {cell.host: cell for cell in cells}
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(*pair)
        self.socket = socket.create_server(("0.0.0.0", 0), backlog=500)
        self.port = self.socket.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            cell = self.cells[connection.getsockname()[0]]
            threading.Thread(target=Session(cell, connection, self.tls).run, daemon=True).start()


def all_cells():
    kinds = [(step, fault, piped) for step, fault, piped in itertools.product(PLAIN, FAULTS, (False, True))
             if not (fault == "twice" and step in ("connect", "body"))]
    kinds += [(step, fault, False) for step, fault in itertools.product(SECURE, FAULTS)
              if not (fault == "twice" and step == "handshake")]
    return [Cell(number, *kind) for number, kind in enumerate(kinds)]


class EveryStep(RelayCase):
    def route(self, cell):
        route = {"when": {"recipient_domain": [cell.domain]}, "to": "smarthost",
                 "host": f"{cell.host}:{self.hops.port}", "tls": "encrypt" if cell.secure else "none"}
        if cell.secure:
            route["auth"] = {"user": "user", "password": File(self.password)}
        return route

    def start(self, cells):
        self.password = os.path.join(self.directory, "password")
        with open(self.password, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write("secret")
        self.hops = self.enterContext(Hops(cells, certificate(self.directory, "hop")))
        routes = [self.route(cell) for cell in cells]
        queue = {"retry_first": "100ms", "retry_most": "500ms"}
        self.server = self.relay({"plain": {"tls": "none", "auth": "off"}}, [*routes, {"to": "discard"}],
                                 sections={"destinations": [cell.destination for cell in cells]},
                                 relay={"loops": 1, "queue": queue}).start()

    def send(self, cells):
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            for cell, names in itertools.product(cells, ("bcd", "e")):
                text = f"From: a@clinic.example\r\nSubject: {cell}\r\n\r\nbody\r\nmore\r\n"
                self.assertEqual(client.sendmail("a@clinic.example", [f"{name}@{cell.domain}" for name in names],
                                                 text), {})

    def fates(self):
        """{address: [event, ...]} of what is final."""
        fates = collections.defaultdict(list)
        for event, address in re.findall(r"event=(delivered|bounced) .*?\bto=(\S+@h\d+\.example)", self.server.log()):
            fates[address].append(event)
        return fates

    def test_nobody_is_lost_and_nobody_served_twice(self):
        """RFC 5321 sections 3.8, 4.5.3.2 and 6.1, RFC 2920 section 3.1."""
        cells = all_cells()
        self.start(cells)
        self.send(cells)
        want = {f"{name}@{cell.domain}": ["bounced" if name == "c" else "delivered"]
                for cell in cells for name in "bcde"}
        proc.wait_until(lambda: len(self.fates()) == len(want), 120, "everybody has his fate")
        proc.wait_until(lambda: all(cell.done for cell in cells), 60, "every fault was met")
        fates = self.fates()
        self.assertEqual({address: fate for address, fate in fates.items() if fate != want[address]}, {})
        for cell in cells:
            self.assertEqual(dict(cell.taken), {f"{name}@{cell.domain}": 1 for name in "bde"}, str(cell))
            if cell.fault == "late":
                self.assertNotRegex(self.server.log(), rf"event=deferred .*\bto=\S+@{re.escape(cell.domain)}")
            if cell.fault == "stall" and cell.step not in ("next", "QUIT"):
                self.assertRegex(self.server.log(), rf"{re.escape(cell.host)}:\d+: timed out waiting", str(cell))


