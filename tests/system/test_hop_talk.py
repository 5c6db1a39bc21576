# SPDX-License-Identifier: Apache-2.0
"""Conversations with next hops: every script of tests/talk/hop/*.talk (see lib/talk.py) is a test, in
which the script is the server and one relay the client of all.

    route tls=encrypt user=u password=p     how the relay goes there (tls=none)
    timeouts greeting=500ms                 of this host
    idle 100ms                              how long a connection is kept for the next letter (1m)
    sender a@example.com                    of the next letter; "sender <>"
    to b c                                  its recipients, without their domain (b)
    mail RET=HDRS / rcpt NOTIFY=NEVER       parameters that our client gives
    text "Subject: x\\r\\n\\r\\nbody\\r\\n"       its text
    send                                    the letter goes to the relay; at the beginning by itself
    A                                       takes the relay's next connection; the first by itself
    S 250 ok                                says a line
    R "250 ok\\r\\n" / B "250 ok\\r\\n"         says bytes; one a packet
    C MAIL FROM:<a@clinic.example>*         the relay's next line is this; * is anything
    silent                                  the relay says nothing but QUIT, if at all, and closes
    D                                       takes a message up to its dot, unstuffed
    K                                       takes a BDAT line and its octets
    hello PIPELINING DSN                    greeting, EHLO and its answer
    taken                                   MAIL, RCPT b and the message, one after the other
    tls                                     the handshake
    untrusted                               the same, which the relay breaks off
    heard                                   the relay has begun one: what came before that it throws away
    pause 0.2                               says nothing for a while
    reset / close                           the end of the connection
    raw has "text" / lacks "text"           the message as it was taken
    fate b delivered 250 2.0.0              what the log says next of a recipient, and of the reply
    log text                                a line of the log that speaks of this host
    report has "text"                       a report about this script's letter, to its sender

{domain} stands for the domain of the recipients, which is routed to this script.
"""
import fnmatch
import os
import pathlib
import queue
import re
import shutil
import smtplib
import socket
import ssl
import struct
import tempfile
import threading
import time
import unittest

from tests.lib import proc, talk
from tests.lib.certificates import certificate
from tests.lib.postern import File, Relay

PATIENCE = 60
SETTINGS = ("sender", "to", "mail", "rcpt", "text", "send")
TEXT = b"Subject: x\r\n\r\nbody\r\n"


class Doors:
    """Every loopback address is a host; the connections of each wait until its script takes them."""

    def __init__(self):
        self.socket = socket.create_server(("0.0.0.0", 0), backlog=200)
        self.port = self.socket.getsockname()[1]
        self.waiting, self.lock = {}, threading.Lock()
        threading.Thread(target=self.serve, daemon=True).start()

    def of(self, host):
        with self.lock:
            return self.waiting.setdefault(host, queue.Queue())

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.of(connection.getsockname()[0]).put(connection)

    def end(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Host:
    """One script: where it lives, what the relay has to know of it."""

    def __init__(self, number, script):
        self.script, self.address = script, f"127.6.{number // 200}.{number % 200 + 1}"
        self.domain = re.sub("[_.]", "-", script.name.lower()) + ".example"
        self.settings, self.timeouts, self.lines = {"tls": "none", "idle": "1m"}, {}, []
        for number, word, rest in script.lines:
            if word == "route":
                self.settings.update(talk.words(rest))
            elif word == "timeouts":
                self.timeouts.update(talk.words(rest))
            elif word == "idle":
                self.settings["idle"] = rest
            else:
                self.lines.append((number, word, rest.replace("{domain}", self.domain)))

    def route(self, port, folder, ca):
        route = {"when": {"recipient_domain": [self.domain]}, "to": "smarthost",
                 "host": f"{self.address}:{port}", "tls": self.settings["tls"]}
        if route["tls"] == "verify":
            route["ca_file"] = ca
        if "user" in self.settings:
            password = os.path.join(folder, f"{self.settings['password']}.password")
            with open(password, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(self.settings["password"])
            route["auth"] = {"user": self.settings["user"], "password": File(password)}
        return route

    @property
    def destination(self):
        item = {"host": [self.address], "connections": 1, "idle_connection": self.settings["idle"],
                "back_off": {"first": "50ms", "most": "1m"}}
        return dict(item, timeouts=self.timeouts) if self.timeouts else item


class Conversation:
    """What the words of a script do."""

    def __init__(self, case, host):
        self.case, self.host, self.input, self.connection = case, host, b"", None
        self.doors = case.doors.of(host.address)
        self.letter = {"sender": "a@clinic.example", "to": "b", "mail": "", "rcpt": "", "text": TEXT}
        self.sent, self.raw, self.told = False, b"", {}

    def run(self):
        for number, word, rest in self.host.lines:
            try:
                if word not in SETTINGS and not self.sent:
                    self.do_send("")
                if word not in SETTINGS and not self.connection:
                    self.do_A("")
                getattr(self, "do_" + word)(rest)
            except Exception as problem:
                log = "\n".join(line for line in self.case.server.log().splitlines() if self.is_ours(line))
                raise AssertionError(f"hop/{self.host.script.path.name}:{number}: {word} {rest}: {problem}\n"
                                     f"{log[-3000:]}") from None

    def end(self):
        """Whoever comes later finds nobody."""
        if self.connection:
            self.connection.close()
        while not self.doors.empty():
            self.doors.get().close()

    def is_ours(self, line):
        return self.host.domain in line or f"{self.host.address}:" in line

    # -- the client that sends to the relay ---------------------------------------------------
    def setting(self, word):
        return lambda rest: self.letter.update({word: talk.literal(rest) if word == "text" else rest})

    def __getattr__(self, name):
        if name[3:] in ("sender", "to", "mail", "rcpt", "text"):
            return self.setting(name[3:])
        raise AttributeError(name)

    def do_send(self, rest):
        self.sent, letter = True, self.letter
        with smtplib.SMTP("127.0.0.1", self.case.server.port("plain"), timeout=PATIENCE) as client:
            if "REQUIRETLS" in letter["mail"]:
                client.starttls(context=ssl._create_unverified_context())
            client.ehlo()
            lines = [f"MAIL FROM:<{letter['sender'].strip('<>')}> {letter['mail']}"]
            lines += [f"RCPT TO:<{name}@{self.host.domain}> {letter['rcpt']}" for name in letter["to"].split()]
            for line in lines:
                client.send(line.rstrip().encode() + b"\r\n")
                self.expect(client.getreply(), line)
            self.expect(client.data(letter["text"]), "DATA")

    @staticmethod
    def expect(reply, line):
        if reply[0] != 250:
            raise AssertionError(f"the relay said {reply} to {line}")

    # -- the next hop -------------------------------------------------------------------------
    def do_A(self, rest):
        if self.connection:
            self.connection.close()
        self.connection, self.input = self.doors.get(timeout=PATIENCE), b""
        self.connection.settimeout(PATIENCE)

    def do_S(self, rest):
        self.connection.sendall(rest.encode() + b"\r\n")

    def do_R(self, rest):
        self.connection.sendall(talk.literal(rest))

    def do_B(self, rest):
        for byte in talk.literal(rest):
            self.connection.sendall(bytes([byte]))

    def more(self):
        data = self.connection.recv(65536)
        if not data:
            raise AssertionError(f"the relay closed, after {self.input!r}")
        self.input += data

    def line(self):
        while b"\r\n" not in self.input:
            self.more()
        line, self.input = self.input.split(b"\r\n", 1)
        return line

    def do_C(self, rest):
        line = self.line().decode("utf-8", "backslashreplace")
        if not fnmatch.fnmatchcase(line, rest.replace("[", "[[]")):
            raise AssertionError(f"the relay said {line!r}")

    def do_silent(self, rest):
        try:
            while data := self.connection.recv(65536):
                self.input += data
        except ConnectionResetError:
            pass
        if self.input not in (b"", b"QUIT\r\n"):
            raise AssertionError(f"the relay said {self.input!r}")

    def do_D(self, rest):
        lines = []
        while (line := self.line()) != b".":
            lines.append(line.removeprefix(b"."))
        self.raw = b"".join(line + b"\r\n" for line in lines)

    def do_K(self, rest):
        verb, count, *_ = self.line().split()
        if verb != b"BDAT":
            raise AssertionError(f"the relay said {verb!r}")
        while len(self.input) < int(count):
            self.more()
        self.raw, self.input = self.input[:int(count)], self.input[int(count):]

    def do_hello(self, rest):
        self.do_S("220 hop ESMTP")
        self.do_C("EHLO postern.test")
        self.do_offer(rest)

    def do_offer(self, rest):
        for line in ["250-hop", *("250-" + offer.replace("=", " ") for offer in rest.split())]:
            self.do_S(line)
        self.do_S("250 HELP")

    def do_taken(self, rest):
        for line in (f"MAIL FROM:<{self.letter['sender']}>*", f"RCPT TO:<b@{self.host.domain}>*"):
            self.do_C(line)
            self.do_S("250 2.0.0 ok")
        self.do_C("DATA")
        self.do_S("354 go on")
        self.do_D("")
        self.do_S("250 2.0.0 taken")

    def do_tls(self, rest):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.case.certificate)
        self.connection = context.wrap_socket(self.connection, server_side=True)

    def do_untrusted(self, rest):
        try:
            self.do_tls(rest)
        except ssl.SSLError:
            return
        raise AssertionError("the relay has taken the certificate")

    def do_heard(self, rest):
        self.more()

    def do_pause(self, rest):
        time.sleep(float(rest))

    def do_close(self, rest):
        self.connection.close()

    def do_reset(self, rest):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    # -- what came of it ----------------------------------------------------------------------
    @staticmethod
    def look(rest, data):
        what, _, text = rest.partition(" ")
        if (talk.literal(text) in data) != (what == "has"):
            raise AssertionError(f"it is {data!r}")

    def do_raw(self, rest):
        self.look(rest, self.raw)

    def do_fate(self, rest):
        name, event, reply = (rest + "  ").split(" ", 2)
        wanted = re.compile(rf"event=(\w+) .*\bto=\"?{re.escape(name)}@{re.escape(self.host.domain)}\"? .*")

        before = self.told.get(name, 0)
        self.told[name] = before + 1
        line = proc.wait_until(lambda: list(wanted.finditer(self.case.server.log()))[before:], PATIENCE,
                               "its fate")[0]
        if line[1] != event or reply.strip() not in line[0]:
            raise AssertionError(f"its fate is {line[0]}")

    def do_log(self, rest):
        proc.wait_until(lambda: any(rest in line for line in self.case.server.log().splitlines() if self.is_ours(line)),
                        PATIENCE, f"the log has {rest!r}")

    def do_report(self, rest):
        def found():
            files = self.case.mail.iterdir() if self.case.mail.is_dir() else ()
            return [data for data in (path.read_bytes() for path in files) if self.host.domain.encode() in data]
        self.look(rest, proc.wait_until(found, PATIENCE, "a report")[-1])


class Hops(unittest.TestCase):
    """Filled below, a method a script."""
    hosts = {}

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="postern-test-", dir="/var/tmp")
        os.chmod(cls.directory, 0o755)
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.doors = Doors()
        cls.addClassCleanup(cls.doors.end)
        cls.certificate = certificate(cls.directory, "hop", [host.address for host in cls.hosts.values()])
        cls.mail = pathlib.Path(cls.directory, "relay", "state", "mail", "new")
        routes = [host.route(cls.doors.port, cls.directory, cls.certificate[0]) for host in cls.hosts.values()]
        routes.append({"to": "maildir", "path": str(cls.mail.parent)})
        cls.server = Relay(os.path.join(cls.directory, "relay"), os.environ["POSTERN_BUILDDIR"],
                           {"plain": {"tls": "starttls", "auth": "off", "fixups": False}}, routes, tls=cls.certificate,
                           sections={"destinations": [host.destination for host in cls.hosts.values()]},
                           relay={"loops": 1, "queue": {"retry_first": "100ms", "retry_most": "1h"}, "log": {"repeats": 0}})
        cls.addClassCleanup(cls.stop)
        cls.server.start()

    @classmethod
    def stop(cls):
        cls.server.stop()
        report = re.search(r"\w+Sanitizer|runtime error:", cls.server.log())
        if report:
            raise AssertionError(cls.server.log()[report.start():][:6000])

    def run_script(self, host):
        conversation = Conversation(self, host)
        try:
            conversation.run()
        finally:
            conversation.end()


for _number, _script in enumerate(talk.read_all(talk.TALKS / "hop").values()):
    Hops.hosts[_script.name] = Host(_number, _script)
    setattr(Hops, f"test_{_script.name}", lambda self, name=_script.name: self.run_script(self.hosts[name]))
