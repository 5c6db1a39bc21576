# SPDX-License-Identifier: Apache-2.0
"""Logs (SPEC R13): every format is what its readers expect, and says the same; docs/logs.md is true."""
import base64
import os
import re
import socket
import threading

from tests.lib import logs, proc
from tests.lib.case import PASSWORD, TREE, USER, RelayCase
from tests.lib.proc import CannotRun

ODD = b"\xff\xfe \"q\" \\ = \x01\x7f \xc2\x9b31m \xe2\x80\xae\xe2\x80\xa8 \xf0\x9f\x93\xa7 caf\xc3\xa9"
ODD_JSON = "\ufffd\ufffd \"q\" \\ = \x01\x7f \x9b31m \u202e\u2028 \U0001f4e7 caf\xe9"
BODY = "What-nobody-but-Bob-reads"


class Logs(RelayCase):
    def serve(self, log, environment=None):
        # A level below which nothing is written, so that all there is is looked at.
        relay = self.relay({"plain": {"tls": "none", "auth": "offered", "auth_without_tls": True}},
                           pipeline=["auth"], relay={"log": dict({"level": "debug"}, **log)})
        relay.environment.update(environment or {})
        relay.add_user(USER, PASSWORD)
        return relay.start()

    def talk(self, relay):
        """A refused AUTH with an odd name, then a message from a known user."""
        with socket.create_connection(("127.0.0.1", relay.port("plain")), 60) as peer, peer.makefile("rb") as replies:
            def say(line, code):
                peer.sendall(line + b"\r\n")
                reply = replies.readline()
                while reply[3:4] == b"-":
                    reply = replies.readline()
                self.assertEqual(reply[:3], code, reply)
                return reply
            say(b"NOOP", b"220")
            self.assertEqual(replies.readline()[:3], b"250")
            say(b"EHLO client.example", b"250")
            say(b"AUTH PLAIN " + base64.b64encode(b"\0" + ODD + b"\0not-the-password"), b"501")
            say(b"AUTH PLAIN " + base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()), b"235")
            say(f"MAIL FROM:<{USER}>".encode(), b"250")
            say(b"RCPT TO:<bob@partner.example>", b"250")
            say(b"DATA", b"354")
            peer.sendall(f"Subject: {BODY}\r\n\r\n{BODY}\r\n".encode())
            queued = say(b".", b"250")
        self.delivered(1)
        return re.search(rb"(?:as|id=?) ?(\w+)", queued)[1].decode()

    def judge(self, records, message_id, odd):
        """What the formats have in common."""
        events = [record["event"] for record in records]
        of_message = [record["event"] for record in records if record.get("id") == message_id]
        self.assertEqual([event for event in of_message if event != "trace"], ["accepted", "delivered"])
        failed = records[events.index("auth-failed")]
        self.assertEqual((failed["user"], failed["client"], failed["level"]), (odd, "127.0.0.1", "notice"))
        known = logs.events(TREE)
        for record in records:
            extra = set(record) - {"time", "level", "process", "event", "cut"} - known[record["event"]]
            self.assertEqual(extra, set(), record)
        text = repr(records)
        for secret in (BODY, PASSWORD, "not-the-password", base64.b64encode(PASSWORD.encode()).decode().strip("=")):
            self.assertNotIn(secret, text)

    def lines(self, relay, read):
        proc.wait_until(lambda: "delivered" in relay.log(), 20, "the delivery is logged")
        with open(relay.log_path, "rb") as file:
            raw = file.read()
        self.assertTrue(raw.endswith(b"\n"))
        text = raw.decode()  # valid to the last byte
        self.assertEqual(len(text.splitlines()), text.count("\n"), "a line is a line for everybody")
        return [read(line) for line in text.splitlines() if ": warning: " not in line]

    def test_logfmt(self):
        relay = self.serve({})
        message_id = self.talk(relay)
        self.judge(self.lines(relay, logs.logfmt), message_id, ODD.decode(errors="surrogateescape"))

    def test_json(self):
        relay = self.serve({"format": "json"})
        message_id = self.talk(relay)
        proc.wait_until(lambda: '"event":"delivered"' in relay.log(), 20, "the delivery is logged")
        lines = [line for line in relay.log().splitlines() if line.startswith("{")]
        # Before the configuration was read, the program spoke logfmt.
        first = relay.log().splitlines().index(lines[0])
        self.assertEqual(len(relay.log().splitlines()) - first, len(lines))
        self.judge([logs.as_json(line) for line in lines], message_id, ODD_JSON)
        self.assertIn(f"event=accepted id={message_id} ", relay.ctl("trace", message_id).stdout)

    def test_another_format_by_reload(self):
        relay = self.serve({})
        relay.relay["log"] = {"format": "json", "level": "warning"}
        relay.write()
        relay.ctl("reload")
        before = len(relay.log())
        self.talk(relay)
        told = [line for line in relay.log()[before:].splitlines()
                if '"event":"loop-stall"' not in line and '"event":"dns-not-validating"' not in line]
        self.assertEqual(told, [], "but that a slow machine holds up a loop, and that DNSSEC cannot be checked from here")

    def test_journal(self):
        """It is chosen by itself where standard error leads there."""
        shim = os.path.join(self.builddir, "tests/shims/.libs/journal.so")
        path = os.path.join(self.directory, "journal")
        if len(path) > 100:
            raise CannotRun(f"{path} is too long for a socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
            journal.bind(path)
            os.chmod(path, 0o666)
            datagrams = []
            reader = threading.Thread(target=self.read_all, args=(journal, datagrams), daemon=True)
            reader.start()
            os.makedirs(os.path.join(self.directory, "relay"), exist_ok=True)
            with open(os.path.join(self.directory, "relay", "log"), "wb") as log:
                about = os.fstat(log.fileno())
            relay = self.serve({}, {
                "LD_PRELOAD": shim, "POSTERN_TEST_JOURNAL": path, "JOURNAL_STREAM": f"{about.st_dev}:{about.st_ino}",
                "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"})
            message_id = self.talk(relay)
            reader.join(60)
            self.assertFalse(reader.is_alive(), f"the journal has seen no delivery: {datagrams[-3:]} {relay.log()[-2000:]}")
            self.judge([self.entry(datagram) for datagram in datagrams], message_id,
                       ODD.decode(errors="surrogateescape"))
        self.assertEqual([line for line in relay.log().splitlines() if "event=" in line], [])

    def read_all(self, journal, into):
        """To the delivery, at once: the kernel keeps few datagrams."""
        while not into or b"POSTERN_EVENT=delivered\n" not in into[-1]:
            into.append(journal.recv(1 << 16))

    def entry(self, datagram):
        """The native protocol (systemd: Native Journal Protocol): NAME=value, or a length before odd bytes."""
        fields, at = {}, 0
        while at < len(datagram):
            end = datagram.index(b"\n", at)
            name, equals, value = datagram[at:end].partition(b"=")
            at = end + 1
            if not equals:
                length = int.from_bytes(datagram[at:at + 8], "little")
                value = datagram[at + 8:at + 8 + length]
                at += 8 + length + 1
            fields[name.decode()] = value.decode(errors="surrogateescape")
        self.assertEqual(fields["SYSLOG_IDENTIFIER"], "postern")
        self.assertIn(fields["POSTERN_EVENT"], fields["MESSAGE"])
        level = {"3": "error", "4": "warning", "5": "notice", "6": "info", "7": "debug"}[fields["PRIORITY"]]
        named = logs.events(TREE)[fields["POSTERN_EVENT"]]
        upper = {name.upper().replace("-", "_"): name for name in named | {"event", "process"}}
        return dict({upper[name[8:]]: value for name, value in fields.items() if name.startswith("POSTERN_")},
                    level=level)

    def test_an_attack_is_summed_up(self):
        """80 wrong passwords: 5 lines of each kind and a sum; the message between them is told as ever."""
        relay = self.serve({"level": "notice", "repeats": 5})
        for number in range(8):
            with socket.create_connection(("127.0.0.1", relay.port("plain")), 60) as peer, peer.makefile("rb") as replies:
                peer.sendall(b"EHLO eve\r\n")
                while replies.readline()[:4] != b"250 ":
                    pass
                for _ in range(10):
                    peer.sendall(b"AUTH PLAIN " + base64.b64encode(b"\0eve\0no") + b"\r\n")
                    self.assertIn(replies.readline()[:1], (b"4", b"5"))
            if number == 4:
                message_id = self.talk(relay)
        self.assertEqual(relay.stop(), 0)
        records = [logs.logfmt(line) for line in relay.log().splitlines() if "event=" in line]
        self.assertEqual([record["event"] for record in records if record.get("id") == message_id],
                         ["accepted", "delivered"])
        for record in records:
            if record["event"] == "repeated":
                same = [line for line in records if line["event"] == record["of"]]
                sums = [line for line in records if line["event"] == "repeated" and line["of"] == record["of"]]
                self.assertLessEqual(len(same), 5 * (len(sums) + 1), record)  # each minute has its own five
                self.assertGreaterEqual(len(same), 5, record)
                self.assertEqual(record["client"], "127.0.0.0/24")
        self.assertIn("repeated", [record["event"] for record in records])

    def test_the_events_are_documented(self):
        rows = re.findall(r"^\| ([a-z-]+) \| (.*?) \| (.+) \|$", (TREE / "docs" / "logs.md").read_text(), re.M)
        told = {event: set(re.findall(r"`([\w-]+)`", fields)) for event, fields, _ in rows if event != "event"}
        known = logs.events(TREE)
        wrong = {event: known.get(event, "gone") for event in {*told, *known} if told.get(event) != known.get(event)}
        self.assertEqual(wrong, {}, "docs/logs.md says otherwise about these")
