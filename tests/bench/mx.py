#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""mx.py - Postern and Postfix side by side: mail to 1,000 domains, each sent to its mail exchanger.

Postfix delivers to port 25 and asks whom /etc/resolv.conf names. So both servers, the name server
and the sink run in mount and network namespaces made here, which only root may make; elsewhere it
says so and measures nothing. Each domain has one MX, one of 40 loopback addresses. Runs alternate,
the figures are medians; a target missed is printed, never an error.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.dont_write_bytecode = True

import bench  # noqa: E402
import targets  # noqa: E402
from lib import machine  # noqa: E402
from lib.contenders import PosternContender, PostfixContender  # noqa: E402
from lib.nameserver import NameServer  # noqa: E402
from lib.postern import Relay  # noqa: E402
from lib.postfix import Postfix  # noqa: E402
from lib.proc import CannotRun, Failed  # noqa: E402
from lib.traffic import Sink  # noqa: E402
from lib.unpack import unpack  # noqa: E402

DOMAINS, HOSTS = 1000, 40
TARGET = 5  # times the rate of Postfix
SPACES = ["unshare", "--mount", "--net"]
# As Postfix has it by default: domains share hosts here, and connections to them can be handed on.
MX_CF = "\nsmtp_connection_cache_on_demand = yes\n"


class MxPostfix(PostfixContender):
    secures = False

    def __init__(self, directory, builddir, sink):
        with open(os.path.join(HERE, "postfix-main.cf")) as file:
            main_cf = file.read()
        super().__init__(targets.THEM, directory, builddir,
                         main_cf.replace("smtp_connection_cache_on_demand = no\n", MX_CF))
        self.sink = sink

    def log(self):
        return self.server.log()

    def start(self):
        self.server = Postfix(self.directory, self.builddir, "mx", main_cf=self.main_cf)
        self.server.remove()
        self.server.start()


class MxPostern(PosternContender):
    secures = False
    factor = 1  # as many messages for each domain as through Postfix

    def __init__(self, directory, builddir, sink):
        super().__init__(targets.US, directory, builddir)
        self.sink = sink

    def log(self):
        return self.plain.log()

    def start(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        self.plain = Relay(self.directory, self.builddir,
                           {"bench": {"tls": "none", "auth": "off", "networks": ["127.0.0.0/8"],
                                      "fixups": False}},
                           # Instead of the default list, which the loopback is in.
                           [{"to": "mx", "tls": "none", "refused_networks": ["192.0.2.0/24"]}],
                           relay=dict(self.limits, dns={"validate": False}))
        self.notes += [self.plain.note] if self.plain.note else []
        self.plain.start()


def zone():
    return ("".join(f"h{i} A 127.0.1.{i + 1}\n" for i in range(HOSTS))
            + "".join(f"d{i} MX 10 h{i % HOSTS}\n" for i in range(DOMAINS)))


def ratio(table, case):
    """Of the two rates; 0 where one is missing."""
    ours, theirs = (table.get(case.name, {}).get(name) for name in (targets.US, targets.THEM))
    return ours["rate"] / theirs["rate"] if ours and theirs and theirs["rate"] else 0


def measure(builddir, folder, quick, rounds):
    """Inside the namespaces."""
    runs, case = bench.Bench(builddir, quick), bench.Case(10, 20, 100, False, 1000 if quick else 3000, DOMAINS)
    with NameServer(folder, builddir, {case.domain: zone()}, port=53):
        sink = Sink(builddir, "--anywhere", "--port", "25")
        try:
            for contender in (MxPostfix(folder, builddir, sink), MxPostern(folder, builddir, sink)):
                runs.contenders.append(contender)
                contender.start()
                runs.notes += contender.notes
                if runs.run(contender, case, DOMAINS)["lost"]:  # every domain has been asked for
                    raise Failed(f"{contender.name} does not deliver:\n{contender.log()[-2000:]}")
            for _ in range(rounds):
                for contender in runs.contenders:
                    got = runs.run(contender, case)
                    runs.results.append(got)
                    runs.say(f"{contender.name:16} {got['rate']:8.0f} msg/s "
                             f"{got['cpu_per_1000']:7.3f} CPU s/1000{bench.trouble(got)}")
            facts = machine.facts(folder)
        finally:
            for contender in runs.contenders:
                contender.sink = None  # one for both
                contender.stop()
            sink.stop()
    return runs, case, facts


def inside(builddir, quick, rounds):
    folder = tempfile.mkdtemp(prefix="mx-", dir=os.path.join(builddir, "bench"))
    os.chmod(folder, 0o755)
    try:
        resolv = os.path.join(folder, "resolv.conf")
        with open(resolv, "w") as file:
            file.write("nameserver 127.0.0.1\n")
        subprocess.run(["mount", "--bind", resolv, "/etc/resolv.conf"], check=True)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        runs, case, facts = measure(builddir, folder, quick, rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table = bench.summary(runs)
    print(f"Mail to {DOMAINS:,} domains on {HOSTS} hosts, end to end (first connect to last arrival)")
    for key, value in facts.items():
        print(f"  {key}: {value}")
    bench.print_runs(table, sys.stdout)
    got = ratio(table, case)
    targets.print_judged([targets.row(f"mx, {DOMAINS:,} domains: rate", f">= {TARGET} x Postfix", got,
                                      got >= TARGET, " x")] if got else [], sys.stdout)
    for note in runs.notes:
        print(f"note: {note}")
    return 1 if any(run["lost"] for run in runs.results) else 0


def why_not():
    """None where the namespaces can be had."""
    if os.geteuid() != 0:
        return "only root may listen on port 25 and replace /etc/resolv.conf"
    for program in ("unshare", "mount", "ip"):
        if not shutil.which(program):
            return f"{program} is missing"
    tried = subprocess.run([*SPACES, "ip", "link", "set", "lo", "up"], capture_output=True, text=True)
    return tried.stderr.strip() if tried.returncode != 0 else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--builddir", default=os.environ.get("POSTERN_BUILDDIR", "."))
    parser.add_argument("--quick", action="store_true", help="small counts")
    parser.add_argument("--rounds", type=int, help="how often each server runs (3; quick: 2)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    builddir = os.path.abspath(options.builddir)
    try:
        if options.inside:
            return inside(builddir, options.quick, options.rounds or (2 if options.quick else 3))
        os.makedirs(os.path.join(builddir, "bench"), exist_ok=True)
        reason = why_not()
        for package in () if reason else ("postfix", "unbound"):
            unpack(builddir, package)  # inside there is no network
    except CannotRun as problem:
        reason = str(problem)
    except Failed as problem:
        print(f"mx: {problem}", file=sys.stderr)
        return 1
    if reason or options.inside:
        print(f"SKIPPED mx to {DOMAINS:,} domains: {reason}")
        return 0
    return subprocess.run([*SPACES, sys.executable, os.path.abspath(__file__), "--inside",
                           *sys.argv[1:]]).returncode


if __name__ == "__main__":
    sys.exit(main())
