# SPDX-License-Identifier: Apache-2.0
"""Conversations as text: every script of tests/talk/*.talk (see talk.py) is a test.

    # What is shown, with RFC and section.
    listener tls=starttls auth=required     settings of the listener;
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
    each "a" "b" : R "{}"                   the script runs once per item, {} replaced
    times 100 : C RCPT TO:<b{}@example.net> a line a hundred times, {} is 1 to 100
    hello                                   greeting and EHLO, which is answered 250
    begin                                   the same, MAIL from a@example.com, RCPT b@example.net
    packet 3                                three whole replies come at once and nothing behind them
    tls                                     TLS handshake on the connection
    closed                                  the server closes
    reconnect                               a new connection (the reply is the greeting)
    accepted 1                              so many messages have been accepted
    message has "text" / lacks "text"       the message that was queued last, as it is delivered
    trace with ESMTPS id                    its first Received field, unfolded, has this text
    log refused                             a line of the relay's log has this text

The first S of a script is the greeting. Every reply but those to the greeting and EHLO, and 3yz, must
have an enhanced code of its class on every line (RFC 2034). A warning or error in the log that no `log` line announced
fails the test. Scripts with the same settings but for the listener's share a relay.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import tempfile
import unittest

from . import proc, talk
from .certificates import certificate
from .postern import Relay
from .talk import literal

PATIENCE = 60


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


class Scene:
    """What a script wants of the relay, and what is left of it: the conversation."""

    def __init__(self, script):
        self.listener = {"tls": "none", "auth": "off", "networks": ["127.0.0.0/8"]}
        self.limits, self.relay, self.pipeline, self.users = {}, {}, [], []
        self.announced, self.lines, self.items = [], [], [None]
        for number, word, rest in script.lines:
            self.read(number, word, rest)

    def read(self, number, word, rest):
        if word == "listener":
            self.listener.update(talk.words(rest))
            if "proxy" in talk.words(rest):
                self.listener["proxy"] = self.listener["proxy"].split(",")
            if talk.words(rest).get("networks") == "none":
                del self.listener["networks"]
        elif word in ("limits", "relay"):
            getattr(self, word).update(talk.words(rest))
        elif word == "pipeline":
            self.pipeline = rest.split()
        elif word == "user":
            self.users.append(rest.split())
        else:
            self.lines.append((number, word, rest))
            if word == "log":
                self.announced.append(rest)
            if word == "each":
                self.items = re.findall(r'"(?:[^"\\]|\\.)*"', rest.partition(" : ")[0])

    @property
    def kin(self):
        """Scripts for which this is the same share a relay."""
        return json.dumps([self.limits, self.relay, self.pipeline, self.users])

    @property
    def port(self):
        return re.sub(r"\W+", "-", json.dumps(self.listener, sort_keys=True)).strip("-")


class Stage:
    """A relay with a listener for each way in that its scripts want."""

    def __init__(self, scenes):
        self.announced = []
        self.expected = [text for scene in scenes for text in scene.announced]
        self.directory = tempfile.mkdtemp(prefix="talk-")
        os.chmod(self.directory, 0o755)
        first = scenes[0]
        settings = dict({"log": {"repeats": 0}}, **first.relay)
        if first.limits:
            settings["limits"] = first.limits
        self.relay = Relay(self.directory, os.environ["POSTERN_BUILDDIR"],
                           {scene.port: scene.listener for scene in scenes},
                           [{"to": "maildir", "path": os.path.join(self.directory, "state", "mail")}],
                           first.pipeline, tls=certificate(self.directory), relay=settings)
        for address, password in first.users:
            self.relay.add_user(address, password)
        self.relay.start()
        self.begun = self.relay.log()

    @staticmethod
    def loud(log, announced):
        """What the log says as a warning or error that no script wanted. That something was held up for
        a tenth of a second, or that no signed answers come out of the DNS, is a matter of the machine."""
        return [line for line in log.splitlines()
                if re.match(r"time=\S+ level=(warning|error) ", line)
                and not re.search(r" event=((loop-)?stall|dns-not-validating) ", line)
                and not any(text in line for text in announced)]

    def end(self):
        self.relay.stop()
        log = self.relay.log()
        shutil.rmtree(self.directory, ignore_errors=True)
        report = re.search(r"\w+Sanitizer|runtime error:", log)
        loud = self.loud(log, self.expected)
        if report or loud:
            raise AssertionError(f"in the log: {log[report.start():][:6000] if report else loud}")


class Conversation:
    """What the words of a script do."""

    def __init__(self, stage, scene, item):
        self.relay, self.begun, self.item, self.last = stage.relay, stage.begun, item, []
        self.greeting, self.queued = True, None
        self.port = self.relay.port(scene.port)
        self.log_at = len(self.relay.log())
        self.mail = pathlib.Path(self.relay.directory, "state", "mail", "new")
        counts = any(word == "accepted" for _, word, _ in scene.lines)
        self.before = self.status()["accepted"] if counts else 0
        self.peer = Peer(self.port)

    def log(self):
        return self.relay.log()[self.log_at:]

    def do_each(self, rest):
        self.do(rest.partition(" : ")[2].replace("{}", self.item[1:-1]))

    def do(self, line):
        word, _, rest = line.partition(" ")
        getattr(self, "do_" + word)(rest)

    def do_times(self, rest):
        count, _, line = rest.partition(" : ")
        for number in range(int(count)):
            self.do(line.replace("{}", str(number + 1)))

    def do_hello(self, rest):
        for line in ("S 220 postern.test", "C EHLO client.example", "S 250 postern.test"):
            self.do(line)

    def do_begin(self, rest):
        for line in ("hello", "C MAIL FROM:<a@example.com>", "S 250 2.1.0", "C RCPT TO:<b@example.net>",
                     "S 250 2.1.5"):
            self.do(line)

    def do_packet(self, rest):
        self.peer.input = self.peer.socket.recv(65536)
        lines = self.peer.input.split(b"\r\n")
        if lines.pop() or sum(line[3:4] != b"-" for line in lines) != int(rest):
            raise AssertionError(f"one packet was {self.peer.input!r}")

    def do_C(self, rest):
        self.peer.send(rest.encode() + b"\r\n")

    def do_R(self, rest):
        self.peer.send(literal(rest))

    def do_B(self, rest):
        for byte in literal(rest):
            self.peer.send(bytes([byte]))

    def do_D(self, rest):
        self.peer.send(b"BDAT %d LAST\r\n" % len(literal(rest)))
        self.do_B(rest)

    def do_S(self, rest):
        code, _, text = rest.partition(" ")
        got, self.last = self.peer.reply()
        if got != code or not any(line.startswith(text) for line in self.last):
            raise AssertionError(f"the server said {got} {self.last}")
        plain = (self.greeting or got[0] == "3" or self.last[0].startswith("postern.test")
                 or self.last[0] == "Syntax: EHLO hostname")
        if not plain and not all(re.match(got[0] + r"\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2}) ", line)
                                 for line in self.last):
            raise AssertionError(f"without an enhanced code: {got} {self.last}")
        self.greeting = False
        if "queued as " in self.last[0]:
            self.queued = self.last[0].split()[-1]

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
        self.peer, self.greeting = Peer(self.port), True

    def status(self):
        return json.loads(self.relay.ctl("--json", "status").stdout)[0]

    def do_accepted(self, rest):
        accepted = self.status()["accepted"] - self.before
        if accepted != int(rest):
            raise AssertionError(f"accepted {accepted}")

    def delivered(self):
        """The message that was queued last, as it was delivered."""
        mark = f"id {self.queued}".encode()

        def found():
            files = self.mail.iterdir() if self.mail.is_dir() else ()
            return [data for data in (path.read_bytes() for path in files) if mark in data]
        return proc.wait_until(found, PATIENCE, f"{self.queued} is delivered")[0]

    def do_message(self, rest):
        what, _, text = rest.partition(" ")
        data = self.delivered()
        if (literal(text) in data) != (what == "has"):
            raise AssertionError(f"the message is {data!r}")

    def do_trace(self, rest):
        field = self.delivered().split(b"\r\nReceived: ")[1]
        trace = re.sub(rb"\r\n[ \t]", b" ", field).split(b"\r\n")[0].decode()
        if rest not in trace:
            raise AssertionError(f"the trace is {trace!r}")

    def do_log(self, rest):
        proc.wait_until(lambda: rest in self.begun or rest in self.log(), PATIENCE, f"the log has {rest!r}")


class Talk(unittest.TestCase):
    """Filled below, a method a script."""
    scenes, stages = {}, {}

    @classmethod
    def tearDownClass(cls):
        with contextlib.ExitStack() as ending:       # all of them, whatever is wrong with one
            while cls.stages:
                ending.callback(cls.stages.popitem()[1].end)

    def stage(self, scene):
        if scene.kin not in self.stages:
            self.stages[scene.kin] = Stage([each for each in self.scenes.values() if each.kin == scene.kin])
        return self.stages[scene.kin]

    def run_script(self, script):
        scene = self.scenes[script.name]
        stage = self.stage(scene)
        stage.announced += scene.announced
        for item in scene.items:
            conversation = Conversation(stage, scene, item)
            for number, word, rest in scene.lines:
                try:
                    getattr(conversation, "do_" + word)(rest)
                except Exception as problem:
                    raise AssertionError(f"{script.path.name}:{number}{f' with {item}' if item else ''}: {word} "
                                         f"{rest[:200]}: {problem}\n{conversation.log()[-2000:]}") from None
            conversation.peer.socket.close()
            self.assertEqual(stage.loud(conversation.log(), stage.announced), [], "not announced in the log")


def _add(script):
    Talk.scenes[script.name] = Scene(script)
    setattr(Talk, f"test_{script.name}", lambda self: self.run_script(script))


for _script in talk.read_all().values():
    _add(_script)
