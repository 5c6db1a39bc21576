# SPDX-License-Identifier: Apache-2.0
"""proc.py - processes and ports, for tests and the benchmark.

Sums what a tree of processes used (CPU, memory), picks free ports, waits for a listener by
connecting. Signals only processes whose Popen object or pid the caller hands in.
"""
import os
import random
import signal
import socket
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")
# Nobody waits less before he says that something does not happen: a busy machine is no failure.
PATIENCE_SECONDS = 60
# Sockets without a file, one for each port that this process has asked for; they end with it.
RESERVED = []


class CannotRun(Exception):
    """This machine cannot run the thing at all: count it as skipped, and say so aloud."""


class Failed(Exception):
    """It should have worked and did not."""


def _reserve(port):
    """False where another process of tests has the port for itself, listening already or not."""
    mine = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        mine.bind(f"\0postern-test-port-{port}")
    except OSError:
        mine.close()
        return False
    RESERVED.append(mine)
    return True


def free_port():
    """A TCP port of 127.0.0.1, below the range from which outgoing connections take theirs. It stays
    the caller's until this process ends: several modules of tests run side by side, and some count
    on a port at which nobody listens yet, or any more."""
    for _ in range(200):
        port = random.randrange(10240, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if _reserve(port):
            return port
    raise Failed("no free port between 10240 and 32000")


def wait_listening(port, process=None, seconds=20, host="127.0.0.1"):
    """Connects until someone answers; fails at once if `process` (a Popen) has ended."""
    seconds = max(seconds, PATIENCE_SECONDS)
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, port), 1).close()
            return
        except OSError as problem:
            if process is not None and process.poll() is not None:
                raise Failed(f"ended with status {process.returncode} instead of listening")
            if time.monotonic() > end:
                raise Failed(f"nobody listens on {host}:{port} after {seconds} s: {problem}")
            time.sleep(0.01)


def wait_until(condition, seconds, what):
    """Polls until `condition()` is true; its value comes back. More seconds than PATIENCE_SECONDS are
    for what takes its time on an idle machine, too."""
    seconds = max(seconds, PATIENCE_SECONDS)
    end = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"not within {seconds} s: {what}")
        # Who asks by a program of its own does not keep a processor from whom it waits for.
        time.sleep(min(max(time.monotonic() - asked, 0.01), 0.2))


def _stat(pid):
    """(parent, own ticks, ticks of reaped children, name), None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            text = file.read()
    except OSError:
        return None
    close = text.rindex(")")
    rest = text[close + 2:].split()
    return (int(rest[1]), int(rest[11]) + int(rest[12]), int(rest[13]) + int(rest[14]),
            text[text.index("(") + 1:close])


def tree(root):
    """{pid: _stat} of `root` and all its descendants."""
    everyone = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = _stat(int(name))
            if stat:
                everyone[int(name)] = stat
    children = {}
    for pid, stat in everyone.items():
        children.setdefault(stat[0], []).append(pid)
    found, wanted = {}, [root]
    while wanted:
        pid = wanted.pop()
        if pid in everyone:
            found[pid] = everyone[pid]
            wanted.extend(children.get(pid, []))
    return found


def _running_time(pid):
    """Seconds on a processor of a live process's threads, to the nanosecond. Its utime and stime
    are cut to ticks, which of 50 small processes loses half a second."""
    total = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                total += int(file.read().split()[0])
    except OSError:
        pass  # it left, or this kernel keeps no such figures: then ticks have to do
    return total / 1e9


def cpu_seconds(root):
    """utime + stime of a whole tree, reaped children included (the kernel adds those to their
    parent when it waits for them). A child reaped between two reads would be counted twice or not
    at all, so the tree is read until two reads agree on who is there."""
    before = tree(root)
    for _ in range(50):
        now = tree(root)
        if now.keys() == before.keys() and all(
                now[pid][2] == before[pid][2] for pid in now):
            break
        before = now
    return sum(max(stat[1] / TICK, _running_time(pid)) + stat[2] / TICK
               for pid, stat in now.items())


def settled_cpu(root, seconds=5):
    """cpu_seconds() once it stands still, so that work left behind by a run is in its figure."""
    end = time.monotonic() + seconds
    last = cpu_seconds(root)
    while time.monotonic() < end:
        time.sleep(0.2)
        now = cpu_seconds(root)
        if now - last <= 1 / TICK:
            return now
        last = now
    return last


def _memory_of(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def memory(root):
    """Proportional set size of a whole tree, bytes: shared pages are counted once."""
    return sum(_memory_of(pid) for pid in tree(root))


def end(process, seconds=20, first=signal.SIGTERM):
    """Ends a Popen that the caller started: politely, then by force. Its status comes back."""
    if process.poll() is None:
        process.send_signal(first)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def reachable_by_others(path):
    """Can an unprivileged user walk to `path`? The directory in the way, or None."""
    path = os.path.realpath(path)
    while True:
        if not os.stat(path).st_mode & 0o001:
            return path
        if path == "/":
            return None
        path = os.path.dirname(path)
