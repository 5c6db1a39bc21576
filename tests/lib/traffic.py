# SPDX-License-Identifier: Apache-2.0
"""traffic.py - the C load generator and sink (tests/bench) from Python."""
import json
import os
import select
import subprocess

from . import proc
from .proc import CannotRun, Failed


def _program(builddir, name):
    path = os.path.join(os.path.abspath(builddir), "tests/bench", name)
    if not os.access(path, os.X_OK):
        raise CannotRun(f"tests/bench/{name} is not built in {builddir}")
    return path


class Sink:
    """A running sink. `options` as `sink` has them, for example "--fault", "dot:7:451"."""

    def __init__(self, builddir, *options):
        self.process = subprocess.Popen([_program(builddir, "sink"), *options],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.pending = b""
        self.port = self._read(60)["port"]

    def _read(self, seconds):
        """The next line of its output, None if there is none in that time."""
        while b"\n" not in self.pending:
            if not select.select([self.process.stdout], [], [], seconds)[0]:
                return None
            got = self.process.stdout.read(65536)
            if not got:
                raise Failed("the sink ended")
            self.pending += got
        line, _, self.pending = self.pending.partition(b"\n")
        return json.loads(line)

    def _say(self, line):
        self.process.stdin.write(line.encode() + b"\n")

    def reset(self):
        self._say("reset")

    def report(self):
        """Counters: messages, recipients, bytes, connections, faulted, first, last."""
        self._say("report")
        return self._read(60)

    def wait(self, messages, seconds):
        """The counters when that many messages have come, or those of the end of the wait."""
        if messages == 0:
            return self.report()
        self._say(f"expect {messages}")
        got = self._read(seconds)
        if got is None:
            self._say("expect 0")
            got = self.report()
            got = self._read(0) or got  # it may have been enough at the last moment
        return got

    def stop(self):
        """Ends it; the last counters."""
        self.process.stdin.close()
        last = self._read(60)
        proc.end(self.process, 5)
        self.process.stdout.close()
        return last


def _command(builddir, port, options):
    words = [_program(builddir, "load"), "--to", f"127.0.0.1:{port}"]
    for name, value in options.items():
        if value is True:
            words.append("--" + name.replace("_", "-"))
        elif value is not None and value is not False:
            words += ["--" + name.replace("_", "-"), str(value)]
    return words


class Load:
    """A running load generator: Load(builddir, port, sessions=20, messages=1000, starttls=True)."""

    def __init__(self, builddir, port, **options):
        self.process = subprocess.Popen(_command(builddir, port, options),
                                        stdout=subprocess.PIPE, text=True)

    def stop(self):
        """Asks it to begin no more messages; finish() tells what came of the others."""
        self.process.terminate()

    def finish(self, seconds=620):
        """What it measured (tests/bench/load.c)."""
        seconds = max(seconds, 5 * proc.PATIENCE_SECONDS)
        try:
            out, _ = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise Failed(f"the load generator did not end in {seconds} s")
        if not out:
            raise Failed(f"the load generator failed: status {self.process.returncode}")
        return json.loads(out)


class Idle:
    """Sessions that say EHLO (after STARTTLS, AUTH) and then nothing, until close()."""

    def __init__(self, builddir, port, count, **options):
        self.process = subprocess.Popen(_command(builddir, port, dict(options, idle=count)),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise Failed("the load generator failed")
        self.standing = json.loads(line)["idle"]

    def close(self):
        """Closes them; how many stood until now."""
        out, _ = self.process.communicate(timeout=60)
        return json.loads(out)["idle"]
