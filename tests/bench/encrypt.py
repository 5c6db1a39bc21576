#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""encrypt.py - messages that a relay encrypts by S/MIME and OpenPGP, beside `openssl cms` and gpg by hand.

The relay takes each message by SMTP, makes it durable, encrypts it to one recipient and delivers it to
a sink; by hand is one process for each message, two at a time, which reads and writes a file. Runs
alternate, the figures are medians. Mail that is lost is an error, a ratio never is.
"""
import argparse
import concurrent.futures
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(os.path.dirname(HERE)))
sys.dont_write_bytecode = True

from tests.lib import machine, proc  # noqa: E402
from tests.lib.openpgp import Gpg  # noqa: E402
from tests.lib.postern import Relay  # noqa: E402
from tests.lib.proc import CannotRun, Failed  # noqa: E402
from tests.lib.smime import Authority  # noqa: E402
from tests.lib.traffic import Load, Sink  # noqa: E402

RECIPIENT = "r1@sink.test"  # whom tests/bench/load writes to
AT_A_TIME = 2
KINDS = {"S/MIME, RSA-2048": "rsa", "S/MIME, P-256": "ec", "OpenPGP, Curve25519": None}


class Contest:
    """One kind of key: a relay that has it, and the command that does the same by hand."""

    def __init__(self, name, folder, builddir):
        self.folder = os.path.join(folder, "".join(letter for letter in name if letter.isalnum()))
        self.builddir, self.kind, self.gpg = builddir, KINDS[name], None
        os.mkdir(self.folder)
        os.chmod(self.folder, 0o755)
        self.sink = Sink(builddir)
        self.relay = Relay(self.folder, builddir,
                           {"bench": {"tls": "none", "auth": "off", "networks": ["127.0.0.0/8"]}},
                           [{"to": "smarthost", "host": f"127.0.0.1:{self.sink.port}", "tls": "none"}],
                           pipeline=["pki"], sections={"protection": {"wanted": "always"}})
        try:
            key = self._certify() if self.kind else self._make_key()
            self.relay.ctl("pki", "import", key)
            self.relay.start()
        except BaseException:
            self.stop()
            raise

    def _certify(self):
        self.key = Authority(os.path.join(self.folder, "ca")).certify("recipient", RECIPIENT, self.kind)[0]
        os.chmod(os.path.dirname(self.key), 0o755)
        return self.key

    def _make_key(self):
        self.gpg = Gpg()
        path = os.path.join(self.folder, "key.asc")
        with open(path, "wb") as file:
            file.write(self.gpg.make(RECIPIENT)[1])
        return path

    def stop(self):
        self.relay.stop()
        self.sink.stop()
        if self.gpg:
            self.gpg.__exit__()

    # -- one run of each ------------------------------------------------------------------------
    def by_relay(self, size, messages):
        """Messages a second until the last has arrived, and seconds of CPU for each."""
        self.sink.reset()
        before = proc.settled_cpu(self.relay.pid)
        load = Load(self.builddir, self.relay.port("bench"), sessions=4, messages=messages, size=size,
                    per_connection=100).finish()
        arrived = self.sink.wait(load["accepted"], 180)
        used = proc.settled_cpu(self.relay.pid) - before
        if load["failed"] or arrived["messages"] != messages:
            raise Failed(f"{messages} messages, {load['failed']} refused, {arrived['messages']} arrived: "
                         f"{load['reasons']}\n{self.relay.log()[-2000:]}")
        return messages / (arrived["last"] - load["first"]), used / messages

    def _command(self, source, target):
        if self.kind:
            return ["openssl", "cms", "-encrypt", "-aes-256-cbc", "-in", source, "-out", target, self.key]
        return ["gpg", "--batch", "--yes", "--quiet", "--no-tty", "--trust-model", "always",
                "--compress-algo", "none", "--armor", "--recipient", RECIPIENT, "--output", target, "--encrypt", source]

    def by_hand(self, size, messages):
        source = os.path.join(self.folder, "message")
        environment = self.gpg.environment if self.gpg else None
        with open(source, "wb") as file:
            file.write(b"Content-Type: text/plain\r\n\r\n" + (b"x" * 70 + b"\r\n") * (size // 72))

        def one(number):
            target = os.path.join(self.folder, f"out{number % AT_A_TIME}-{number}")
            subprocess.run(self._command(source, target), check=True, env=environment, capture_output=True)
            os.unlink(target)

        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
            list(pool.map(one, range(messages)))
        took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        return messages / took, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / messages


def measure(contest, size, messages, rounds):
    """Medians of the relay and by hand: messages a second, milliseconds of CPU each."""
    contest.by_relay(size, messages // 4)
    runs = [(contest.by_relay(size, messages), contest.by_hand(size, messages // 2)) for _ in range(rounds)]
    return [(statistics.median(run[who][0] for run in runs), 1000 * statistics.median(run[who][1] for run in runs))
            for who in (0, 1)]


def row(name, size, relay, hand):
    return (f"  {name:20} {size // 1024:5} KB  relay {relay[0]:7.0f}/s {relay[1]:7.2f} ms CPU   by hand {hand[0]:6.0f}/s "
            f"{hand[1]:7.2f} ms CPU   {relay[0] / hand[0]:5.2f} x, CPU {relay[1] / hand[1]:.2f} x")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--builddir", default=os.environ.get("POSTERN_BUILDDIR", "."))
    parser.add_argument("--quick", action="store_true", help="small counts")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    builddir = os.path.abspath(options.builddir)
    missing = [program for program in ("openssl", "gpg") if not shutil.which(program)]
    if missing:
        print(f"SKIPPED encryption: no {', '.join(missing)}")
        return 0
    os.makedirs(os.path.join(builddir, "bench"), exist_ok=True)
    folder = tempfile.mkdtemp(prefix="encrypt-", dir=os.path.join(builddir, "bench"))
    os.chmod(folder, 0o755)
    try:
        print("Encryption to one recipient, beside one process for each message")
        for key, value in machine.facts(folder).items():
            print(f"  {key}: {value}")
        for name in KINDS:
            contest = Contest(name, folder, builddir)
            try:
                for size, messages in ((10240, 400), (1048576, 60)):
                    count = messages if options.quick else 3 * messages
                    print(row(name, size, *measure(contest, size, count, options.rounds)), flush=True)
            finally:
                contest.stop()
    except (CannotRun, Failed) as problem:
        print(f"encrypt: {problem}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
