# SPDX-License-Identifier: Apache-2.0
"""Large messages: many at a time cost little memory, what leaves it is encrypted and has no name,
and a disk that fails costs a 452."""
import hashlib
import os
import pathlib
import re
import secrets
import smtplib
import socket
import threading

from tests.lib import proc
from tests.lib.case import RelayCase, rounds
from tests.lib.nexthop import NextHop, _Session
from tests.lib.postern import File

TORTURE = True
MIB = 1 << 20
COUNT, SIZE = rounds((12, 10 * MIB), (50, 50 * MIB))
# What 50 messages of 50 MiB stay under, and much more than 12 of 10 should need.
PEAK_MOST = rounds(100 * MIB, 300 * MIB)
WAIT = rounds(120, 900)
OPEN = {"tls": "none", "auth": "off", "networks": ["127.0.0.0/8"]}
CANARY = b"canary-in-a-coal-mine"


class HashingSession(_Session):
    """Keeps what hashes to little, since all of it would be gigabytes."""

    def data(self):
        digest, header, before = hashlib.sha256(), b"", b""
        while line := self.rfile.readline():
            if line == b".\r\n":
                return header + digest.hexdigest().encode()
            line = line[1:] if line.startswith(b".") else line
            if before != b"end":
                header += line
                before = b"end" if line == b"\r\n" else b""
            else:
                digest.update(line)
        raise ConnectionError("the data did not end")

    def keep(self, sender, recipients, data):
        header, _, body = data.partition(b"\r\n\r\n")
        if len(body) != 64:  # BDAT
            data = header + b"\r\n\r\n" + hashlib.sha256(body).hexdigest().encode()
        super().keep(sender, recipients, data)


class HashingHop(NextHop):
    def __init__(self, **more):
        super().__init__(**more)
        self.RequestHandlerClass = HashingSession


def piece(number):
    """Lines of all lengths, some of which begin with dots; canaries all over them."""
    line = b"." * (number % 3) + CANARY + b" %d " % number + b"x" * (300 + 37 * number % 600) + b"\r\n"
    return line * 40 + b"..\r\n.\r\n\r\n" + CANARY[::-1] + b"\r\n"


class Client:
    """One message on its way, as far as its caller wants it; made of one piece again and again."""

    def __init__(self, port, number, size, to):
        self.socket = socket.create_connection(("127.0.0.1", port), 60)
        self.socket.settimeout(WAIT)
        self.replies = self.socket.makefile("rb")
        self.number, self.piece = number, piece(number)
        self.times = size // len(self.piece)
        digest = hashlib.sha256()
        for _ in range(self.times):
            digest.update(self.piece)
        self.digest = digest.hexdigest()
        self.reply()
        self.say("EHLO client.example")
        self.say("MAIL FROM:<s@clinic.example>")
        self.say(f"RCPT TO:<{to}>")
        self.say("DATA")

    def reply(self):
        while (line := self.replies.readline()) and line[3:4] == b"-":
            pass
        return line.decode().strip()

    def say(self, line):
        self.socket.sendall(line.encode() + b"\r\n")
        return self.reply()

    def send(self):
        """All but the end of the data."""
        stuffed = re.sub(rb"(?m)^\.", b"..", self.piece)
        self.socket.sendall(b"Subject: large %d\r\n\r\n" % self.number)
        for _ in range(self.times):
            self.socket.sendall(stuffed)

    def end(self):
        return self.say(".")

    def close(self):
        self.replies.close()
        self.socket.close()


def together(calls):
    """Runs them at the same time; what they return, in order."""
    results = [None] * len(calls)

    def run(at, call):
        results[at] = call()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def peak(pid):
    return int(re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def is_sanitized(pid):
    return "libasan" in pathlib.Path(f"/proc/{pid}/maps").read_text()


class Large(RelayCase):
    def clients(self, relay, count, size):
        made = together([lambda n=n: Client(relay.port("plain"), n, size, f"r{n}@{('data', 'bdat')[n % 2]}.example")
                         for n in range(count)])
        for client in made:
            self.addCleanup(client.close)
        return made

    def spool(self):
        return pathlib.Path(self.directory, "relay", "state", "spool")

    def overflows(self, pid):
        """Open files of the spool's folder that have no name."""
        found = []
        for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(fd)
            except OSError:
                continue
            if target.startswith(str(self.spool())) and target.endswith("(deleted)"):
                found.append(fd)
        return found

    def wait_gone(self, relay):
        proc.wait_until(lambda: not self.overflows(relay.child("relay")), 60, "no such file is open")

    @staticmethod
    def wait_memory(relay):
        proc.wait_until(lambda: relay.status()["message_memory"] < MIB, 60, "no message is in memory")

    def assert_no_canary(self, files):
        for path in files:
            with open(path, "rb", 0) as file:
                before = b""
                while got := file.read(MIB):
                    self.assertNotIn(CANARY, before + got, path)
                    before = got[-len(CANARY):]

    def test_many_at_a_time(self):
        hops = {name: self.enterContext(HashingHop(chunking=name == "bdat")) for name in ("data", "bdat")}
        relay = self.relay({"plain": OPEN}, [dict(hop.route, when={"recipient_domain": [f"{name}.example"]})
                                             for name, hop in hops.items()] + [hops["data"].route],
                           relay={"limits": {"memory": rounds("64m", "256m"),
                                             "connections_per_address": 2 * COUNT}})
        relay.start()
        pid = relay.child("relay")
        clients = self.clients(relay, COUNT, SIZE)
        together([client.send for client in clients])
        proc.wait_until(lambda: sum(os.stat(fd).st_size for fd in self.overflows(pid)) > COUNT * (SIZE - 2 * MIB),
                        WAIT, "most of each message has left memory")
        self.assertEqual(len(self.overflows(pid)), COUNT)
        self.assertLess(relay.status()["message_memory"], COUNT * 2 * MIB)
        self.assert_no_canary(self.overflows(pid))
        self.assert_no_canary(self.spool().glob("*.seg"))
        # A small message need not wait for these.
        with smtplib.SMTP("127.0.0.1", relay.port("plain"), timeout=60) as small:
            small.sendmail("s@clinic.example", ["small@data.example"], "Subject: small\r\n\r\nsmall\r\n")
        replies = together([client.end for client in clients])
        self.assertEqual([reply[:3] for reply in replies], ["250"] * COUNT, replies)
        for name, hop in hops.items():
            hop.wait(len([n for n in range(COUNT) if ("data", "bdat")[n % 2] == name]) + (name == "data"), WAIT)
        got = {data.rpartition(b"\r\n\r\n")[2].decode() for hop in hops.values() for _, _, data in hop.messages}
        self.assertEqual(len([client for client in clients if client.digest not in got]), 0)
        proc.wait_until(lambda: relay.queue_is_empty() and not self.overflows(pid), WAIT, "nothing is left")
        highest = peak(pid)
        print(f"\n{COUNT} messages of {SIZE // MIB} MiB at a time: peak memory {highest / MIB:.0f} MiB", flush=True)
        if not is_sanitized(pid):
            self.assertLess(highest, PEAK_MOST)
        self.wait_memory(relay)

    def test_read_back(self):
        """What waits is read back in windows, into a file without a name again; here all is encrypted."""
        keys = os.path.join(self.directory, "spool.key")
        with open(os.open(keys, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(f"spring {secrets.token_hex(32)}\n")
        hop = self.enterContext(HashingHop())
        hop.answers["RCPT TO:<r0@data.example>"] = ["450 4.2.0 later"]
        hop.answers["RCPT TO:<r1@bdat.example>"] = ["450 4.2.0 later"] * 1000
        relay = self.relay({"plain": OPEN}, [hop.route], relay={
            "spool": {"encrypt_with": File(keys)}, "queue": {"retry_first": "100ms", "retry_most": "300ms"}})
        relay.start()
        clients = self.clients(relay, 2, 3 * MIB)
        for client in clients:
            client.send()
            self.assertIn("250", client.end())
        hop.wait(1, 60)
        proc.wait_until(lambda: relay.status()["spool_live_bytes"] < 4 * MIB, 60, "the first is noted")
        self.assert_no_canary(self.spool().glob("*.seg"))
        relay.kill_relay()
        relay.wait_ready()
        hop.answers.clear()
        hop.wait(2, 60)
        self.assertEqual(sorted(data.rpartition(b"\r\n\r\n")[2].decode() for _, _, data in hop.messages),
                         sorted(client.digest for client in clients))

    def test_header_without_an_end_in_a_reload(self):
        """What may be a header is less from one moment to the next: a message whose header has no end yet
        when it leaves memory is refused, and what stands behind is not taken for its body."""
        relay = self.relay({"plain": OPEN}, relay={"limits": {"header_size": "8m"}}).start()
        field = b"X-Long: x\r\n" + (b" " + b"y" * 900 + b"\r\n") * (3 * MIB // 1806)
        with socket.create_connection(("127.0.0.1", relay.port("plain")), 60) as peer:
            replies = peer.makefile("rb")
            self.assertEqual(replies.readline()[:3], b"220")
            for line, code in ((b"HELO client.example", b"250"), (b"MAIL FROM:<s@clinic.example>", b"250"),
                               (b"RCPT TO:<r@clinic.example>", b"250"), (b"DATA", b"354")):
                peer.sendall(line + b"\r\n")
                self.assertEqual(replies.readline()[:3], code)
            peer.sendall(b"Subject: first\r\n" + field)
            proc.wait_until(lambda: relay.status()["message_memory"] > MIB, 60, "more than a MiB is in memory")
            relay.relay["limits"]["header_size"] = "4k"
            relay.write()
            relay.ctl("reload")
            peer.sendall(field + b"Subject: second\r\n\r\nbody\r\n.\r\n")
            self.assertEqual(replies.readline(), b"552 5.3.4 The header is larger than the limit\r\n")
            replies.close()
        self.wait_gone(relay)
        self.assertNotIn("relay-died", relay.log())

    def failing(self, fault):
        faults = os.path.join(self.directory, "faults")
        os.mkdir(faults)
        os.chmod(faults, 0o755)
        relay = self.relay({"plain": OPEN})
        relay.environment.update(
            LD_PRELOAD=os.path.join(self.builddir, "tests/shims/.libs/faults.so"), POSTERN_TEST_FAULTS=faults,
            ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")
        relay.start()
        client, = self.clients(relay, 1, 3 * MIB)
        pathlib.Path(faults, fault).touch()
        client.send()
        reply = client.end()
        self.wait_gone(relay)
        os.unlink(os.path.join(faults, fault))
        self.assertIn("250", client.say("MAIL FROM:<s@clinic.example>"))
        self.assertIn("250", client.say("RCPT TO:<r@data.example>"))
        self.assertIn("354", client.say("DATA"))
        client.send()
        self.assertIn("250", client.end())
        stored, = self.delivered(1, 60)
        self.assertEqual(hashlib.sha256(stored.partition(b"\r\n\r\n")[2]).hexdigest(), client.digest)
        return reply

    def test_the_disk_is_full(self):
        self.assertEqual(self.failing("full"), "452 4.3.1 The disk is full, try again later")

    def test_the_disk_does_not_write(self):
        self.assertEqual(self.failing("broken"), "452 4.3.1 The message could not be stored, try again later")

    def test_the_reserve_counts(self):
        """The disk has less than the reserve before anything is written."""
        space = os.statvfs(self.directory)
        free = space.f_bavail * space.f_frsize
        if free > MIB * MIB // 2:
            self.skipTest("no reserve that may be set is larger than what is free here")
        relay = self.relay({"plain": OPEN}, relay={"spool": {"reserve": f"{free // MIB + 1024}m"}})
        relay.start()
        client, = self.clients(relay, 1, 3 * MIB)
        client.send()
        self.assertEqual(client.end(), "452 4.3.1 The disk is full, try again later")

    def test_killed_with_one_in_hand(self):
        relay = self.relay({"plain": OPEN})
        relay.start()
        client, = self.clients(relay, 1, 3 * MIB)
        client.send()
        proc.wait_until(lambda: self.overflows(relay.child("relay")), 60, "it has left memory")
        relay.kill_relay()
        relay.wait_ready()
        self.assertEqual(self.overflows(relay.child("relay")), [])
        left = [path.name for path in self.spool().iterdir()
                if not re.fullmatch(r"[0-9a-f]+\.seg|lock|lock\.next|writer|corrupt", path.name)]
        self.assertEqual(left, [])
        proc.wait_until(relay.queue_is_empty, 60, "the spool is read, and nothing is in it")

    def test_who_reads_all_of_it(self):
        """A module that looks at the body has it in memory, as far as there is some."""
        relay = self.relay({"plain": OPEN}, pipeline=["taglines"],
                           sections={"taglines": {"text": "Sent by the clinic.", "max_body": "40m"}},
                           relay={"limits": {"memory": "15m", "message_size": "15m"}})
        relay.start()
        small, large = Client(relay.port("plain"), 1, 3 * MIB, "r@data.example"), \
            Client(relay.port("plain"), 2, 15 * MIB - 1000, "r@data.example")
        for client in (small, large):
            self.addCleanup(client.close)
            client.send()
        self.assertIn("250", small.end())
        stored, = self.delivered(1, 60)
        self.assertTrue(stored.partition(b"\r\n\r\n")[2].startswith(small.piece * small.times), "what nobody edits stays as it is")
        self.assertIn(b"Sent by the clinic.", stored)
        self.assertEqual(large.end(), "452 4.3.1 Not enough memory for a message of this size, try again later")
        self.assertIn("250", large.say("NOOP"))
        self.wait_memory(relay)
