# SPDX-License-Identifier: Apache-2.0
"""machine.py - the facts of a machine that a figure means nothing without."""
import os
import platform
import ssl
import time


def _first(path, key):
    with open(path) as file:
        for line in file:
            if line.startswith(key):
                return line.partition(":")[2].strip()
    return "unknown"


def _file_system(folder):
    best = ("", "unknown")
    real = os.path.realpath(folder)
    with open("/proc/mounts") as file:
        for line in file:
            _, where, kind = line.split()[:3]
            if (real + "/").startswith(where.rstrip("/") + "/") and len(where) >= len(best[0]):
                best = (where, kind)
    return f"{best[1]} on {best[0]}"


def sync_cost(folder, count=100):
    """Milliseconds of one fdatasync of 4 KB appended to a file."""
    path = os.path.join(folder, "sync-probe")
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        began = time.monotonic()
        for _ in range(count):
            os.write(fd, b"x" * 4096)
            os.fdatasync(fd)
        return (time.monotonic() - began) * 1000 / count
    finally:
        os.close(fd)
        os.unlink(path)


def facts(folder):
    return {
        "processors": f"{os.cpu_count()} ({len(os.sched_getaffinity(0))} usable), "
                      f"{_first('/proc/cpuinfo', 'model name')}",
        "memory": _first("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "file system": _file_system(folder),
        "fdatasync of 4 KB": f"{sync_cost(folder):.3f} ms",
        "load average before": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "OpenSSL": ssl.OPENSSL_VERSION,
    }
