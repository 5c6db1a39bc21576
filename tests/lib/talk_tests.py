# SPDX-License-Identifier: Apache-2.0
"""Conversations as text: every tests/talk/*.talk is a test.

    # What is shown, with RFC and section.
    listener tls=starttls auth=required     settings of the listener (before the first C);
                                            proxy=A,B is a list, networks=none takes them out
    limits recipients=2                     settings of relay.limits
    relay trace_memory=1m                   settings of relay
    pipeline auth                           the pipeline's entries
    user ada@example.com secret             a user with a password
    S 220                                   the next reply has this code
    C EHLO client.example                   send a line
    S 250 postern.test                      code, and one of its lines begins with this text
    has PIPELINING                          a line of the last reply has this text
    lacks STARTTLS                          no line has it
    R "raw\\r\\n"                             send bytes, Python's escapes
    B "raw\\r\\n"                             the same, one byte a packet
    D "data"                                the same as one BDAT with LAST
    each "a" "b" : R "{}"                   the rest of the file runs once per item, {} replaced
    tls                                     TLS handshake on the connection
    closed                                  the server closes
    reconnect                               a new connection (the reply is the greeting)
    accepted 1                              so many messages have been accepted
    message has "text" / lacks "text"       the last delivered message (a maildir is the next hop)
    log refused                             a line of the relay's log has this text

The first S of a file is the greeting. A warning or error in the log that no `log` line announced
fails the test.
"""
import ast
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import tempfile
import unittest

from . import proc
from .certificates import certificate
from .postern import Relay

TALKS = pathlib.Path(__file__).resolve().parent.parent / "talk"
PATIENCE = 10


def literal(text):
    return ast.literal_eval("b" + text.strip())


class Peer:
    """The client's end of one connection."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.settimeout(PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = b""

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        while b"\n" not in self.input:
            more = self.socket.recv(65536)
            if not more:
                raise AssertionError(f"the server closed, after {self.input!r}")
            self.input += more
        line, self.input = self.input.split(b"\n", 1)
        return line.rstrip(b"\r").decode("utf-8", "replace")

    def reply(self):
        """(code, texts of the lines)"""
        texts = []
        while True:
            line = self.line()
            if not re.match(r"\d\d\d[ -]", line + " "):
                raise AssertionError(f"not a reply: {line!r}")
            texts.append(line[4:])
            if line[3:4] != "-":
                return line[:3], texts

    def closed(self):
        try:
            more = self.socket.recv(65536)
        except ConnectionResetError:
            more = b""
        if self.input or more:
            raise AssertionError(f"not closed but {(self.input + more)!r}")

    def tls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if self.input:
            raise AssertionError(f"in clear before the handshake: {self.input!r}")
        self.socket = context.wrap_socket(self.socket, server_hostname="postern.test")


class Script:
    """One run of one file."""

    def __init__(self, text, item=None):
        self.lines = []
        self.listener = {"tls": "none", "auth": "off", "networks": ["127.0.0.0/8"]}
        self.limits, self.relay_settings, self.pipeline, self.users = {}, {}, [], []
        self.announced, self.items = [], []
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                self.read(number, line, item)

    def read(self, number, line, item):
        word, _, rest = line.partition(" ")
        pairs = dict(pair.split("=", 1) for pair in rest.split()
                     if "=" in pair) if word in ("listener", "limits", "relay") else {}
        if word == "listener":
            self.listener.update(pairs)
            if "proxy" in pairs:
                self.listener["proxy"] = pairs["proxy"].split(",")
            if pairs.get("networks") == "none":
                del self.listener["networks"]
        elif word == "limits":
            self.limits.update(pairs)
        elif word == "relay":
            self.relay_settings.update(pairs)
        elif word == "pipeline":
            self.pipeline = rest.split()
        elif word == "user":
            self.users.append(rest.split())
        elif word == "each":
            names, _, self.template = rest.partition(" : ")
            self.items = re.findall(r'"(?:[^"\\]|\\.)*"', names)
            if item is not None:
                self.lines.append((number, *self.template.replace("{}", item[1:-1]).split(" ", 1)))
        elif word == "log":
            self.announced.append(rest)
            self.lines.append((number, word, rest))
        else:
            self.lines.append((number, word, rest))

    def run(self, directory, builddir):
        cert = certificate(directory)
        relay = Relay(directory, builddir, {"main": self.listener},
                      [{"to": "maildir", "path": os.path.join(directory, "state", "mail")}],
                      self.pipeline, tls=cert,
                      relay=dict(self.relay_settings, **({"limits": self.limits} if self.limits else {})))
        for address, password in self.users:
            relay.add_user(address, password)
        with relay:
            conversation = Conversation(relay)
            for number, word, rest in self.lines:
                try:
                    getattr(conversation, "do_" + word)(rest)
                except Exception as problem:
                    raise AssertionError(f"line {number}: {word} {rest}: {problem}\n"
                                         f"{relay.log()[-2000:]}") from problem
        for line in relay.log().splitlines():
            if re.match(r"time=\S+ level=(warning|error) ", line) and not any(a in line for a in self.announced):
                raise AssertionError(f"not announced in the log: {line}")


class Conversation:
    """What the words of a script do."""

    def __init__(self, relay):
        self.relay, self.last = relay, []
        self.peer = Peer(relay.port("main"))

    def do_C(self, rest):
        self.peer.send(rest.encode() + b"\r\n")

    def do_R(self, rest):
        self.peer.send(literal(rest))

    def do_B(self, rest):
        for byte in literal(rest):
            self.peer.send(bytes([byte]))

    def do_D(self, rest):
        data = literal(rest)
        self.peer.send(b"BDAT %d LAST\r\n" % len(data))
        self.do_B(rest)

    def do_S(self, rest):
        code, _, text = rest.partition(" ")
        got, self.last = self.peer.reply()
        if got != code or not any(line.startswith(text) for line in self.last):
            raise AssertionError(f"the server said {got} {self.last}")

    def do_has(self, rest):
        if not any(rest in line for line in self.last):
            raise AssertionError(f"not in {self.last}")

    def do_lacks(self, rest):
        if any(rest in line for line in self.last):
            raise AssertionError(f"in {self.last}")

    def do_tls(self, rest):
        self.peer.tls()

    def do_closed(self, rest):
        self.peer.closed()

    def do_reconnect(self, rest):
        self.peer.socket.close()
        self.peer = Peer(self.relay.port("main"))

    def status(self):
        return json.loads(self.relay.ctl("--json", "status").stdout)[0]

    def do_accepted(self, rest):
        status = self.status()
        if status["accepted"] != int(rest):
            raise AssertionError(f"accepted {status['accepted']}")

    def do_message(self, rest):
        what, _, text = rest.partition(" ")
        want = literal(text)
        new = pathlib.Path(self.relay.directory, "state", "mail", "new")
        files = proc.wait_until(lambda: new.is_dir() and sorted(new.iterdir(), key=os.path.getmtime),
                                PATIENCE, "a message is delivered")
        proc.wait_until(lambda: self.status()["delivered"] >= self.status()["accepted"], PATIENCE,
                        "all that was accepted is delivered")
        files = sorted(new.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        data = files[-1].read_bytes()
        if (want in data) != (what == "has"):
            raise AssertionError(f"the message is {data!r}")

    def do_log(self, rest):
        proc.wait_until(lambda: rest in self.relay.log(), PATIENCE, f"the log has {rest!r}")


class Talk(unittest.TestCase):
    """Filled below, a method a file."""

    def run_script(self, path):
        text = path.read_text()
        for item in Script(text).items or [None]:
            directory = tempfile.mkdtemp(prefix="talk-")
            os.chmod(directory, 0o755)
            try:
                Script(text, item).run(directory, os.environ["POSTERN_BUILDDIR"])
            except AssertionError as problem:
                raise AssertionError(f"{path.name}{' with ' + item if item else ''}: {problem}") from None
            finally:
                shutil.rmtree(directory, ignore_errors=True)


def _add(path):
    setattr(Talk, "test_" + re.sub(r"\W", "_", path.stem), lambda self: self.run_script(path))


for _path in sorted(TALKS.glob("*.talk")):
    _add(_path)
