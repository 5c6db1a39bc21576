#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""bench.py - Postern and Postfix side by side: durable relaying, end to end.

Each server accepts from the load generator and delivers to a sink of its own, on one file system;
runs alternate, the table shows medians. Fairness: Postfix's AUTH is answered by a tiny responder
outside its process tree (tests/lib/dovecot_auth.py), which favours Postfix. Targets missed are
printed, never an error: the exit status is 1 only when mail was lost or nothing could be measured.
"""
import argparse
import datetime
import json
import os
import statistics
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.dont_write_bytecode = True

from lib import machine, proc  # noqa: E402
from lib.contenders import GateContender, PosternContender, PostfixContender  # noqa: E402
from lib.proc import CannotRun, Failed  # noqa: E402
from lib.traffic import Idle, Load, Sink  # noqa: E402

import targets  # noqa: E402

PATIENCE = 180  # seconds until everything must have reached the sink


class Case:
    """One line of the table: how the load looks."""

    def __init__(self, size_kb, sessions, per_connection, secure, messages, domains=0):
        self.size_kb, self.sessions = size_kb, sessions
        self.per_connection, self.secure, self.messages = per_connection, secure, messages
        self.domains = domains  # that the recipients are of, below `domain`
        self.domain = "mx.example" if domains else None
        self.name = (f"{size_kb} KB, {sessions} sessions, {per_connection} per connection"
                     + (", TLS+AUTH" if secure else ""))
        if domains:
            self.name = f"mx, {domains:,} domains, {size_kb} KB"


def cases(quick):
    """The few that the targets speak of; in the full run, all combinations."""
    plain, secure = (1000, 300) if quick else (3000, 1000)
    few = [Case(10, 20, 1, False, plain), Case(10, 20, 100, False, plain),
           Case(10, 100, 1, False, plain), Case(10, 20, 1, True, secure)]
    if quick:
        return few
    names = {case.name for case in few}
    for secured in (False, True):
        for size in (1, 10, 100):
            for sessions in (20, 100):
                for per in (1, 100):
                    count = secure if secured and per == 1 else plain
                    count = count // 2 if size == 100 else count
                    case = Case(size, sessions, per, secured, count)
                    if case.name not in names:
                        few.append(case)
    return few


class Bench:
    def __init__(self, builddir, quick):
        self.builddir, self.quick = builddir, quick
        self.contenders = []
        self.results = []    # one per run
        self.memory = {}     # name -> figures
        self.latency = {}    # name -> list of figures
        self.notes = []

    # -- one run ------------------------------------------------------------------------------
    def _options(self, contender, case, messages):
        options = dict(sessions=case.sessions, messages=messages, size=case.size_kb * 1024,
                       per_connection=case.per_connection, domains=case.domains or None,
                       domain=case.domain)
        if case.secure:
            options.update(contender.login())
        return options

    def run(self, contender, case, messages=None):
        messages = messages or case.messages * contender.factor
        pid = contender.pid(case.secure)
        contender.sink.reset()
        before = proc.settled_cpu(pid)
        load = Load(self.builddir, contender.port(case.secure),
                    **self._options(contender, case, messages)).finish()
        arrived = contender.sink.wait(load["accepted"], PATIENCE)
        used = proc.settled_cpu(pid) - before
        return self._figures(contender, case, load, arrived, used)

    @staticmethod
    def _figures(contender, case, load, arrived, used):
        accepted = load["accepted"]
        seconds = arrived["last"] - load["first"]
        return {
            "server": contender.name, "case": case.name, "accepted": accepted,
            "failed": load["failed"], "reasons": load["reasons"],
            "lost": max(accepted - arrived["messages"], 0),
            "twice": max(arrived["messages"] - accepted, 0),
            "rate": accepted / seconds if accepted and seconds > 0 else 0,
            "accept_rate": load["rate"],
            "cpu_per_1000": used * 1000 / accepted if accepted else 0,
            "reply_us": load.get("reply_us"), "whole_us": load.get("whole_us"),
        }

    def warm_up(self):
        for contender in self.contenders:
            for secure in (False, True)[contender.only_secure:1 + contender.secures]:
                self.run(contender, Case(10, 20, 1, secure, 100), 100)

    def rounds(self, count, wanted):
        for case in cases(self.quick):
            if wanted not in case.name:
                continue
            for number in range(count):
                for contender in self.contenders:
                    if contender.once and (number > 0 or not targets.is_key(case.name)):
                        continue
                    if not (contender.secures if case.secure else not contender.only_secure):
                        continue
                    if contender.only_secure and not targets.is_key(case.name):
                        continue
                    got = self.run(contender, case)
                    self.results.append(got)
                    self.say(f"{case.name:46} {contender.name:16} {got['rate']:8.0f} msg/s "
                             f"{got['cpu_per_1000']:7.3f} CPU s/1000{trouble(got)}"
                             f"{'  ' + str(got['reasons']) if got['failed'] else ''}")

    # -- memory and latency -------------------------------------------------------------------
    def idle_memory(self, contender, secure):
        """What each of the second lot of sessions takes: the first uses up what lies free."""
        pid, lots, sizes, open_lots = contender.pid(secure), contender.idle_sessions, [], []
        try:
            for count in lots:
                idle = Idle(self.builddir, contender.port(secure), count, starttls=secure)
                open_lots.append(idle)
                sizes.append(proc.memory(pid))
                if idle.standing < count:
                    self.notes.append(f"{contender.name}: only {idle.standing} of {count} idle "
                                      f"sessions were let in")
            return (sizes[1] - sizes[0]) / max(open_lots[1].standing, 1)
        finally:
            for idle in open_lots:
                idle.close()

    def peak_memory(self, contender):
        """A run of its own: reading the memory of many processes costs time."""
        case, peak, over = Case(10, 100, 1, False, 1000), [0], threading.Event()

        def sample():
            while not over.wait(0.1):
                peak[0] = max(peak[0], proc.memory(contender.pid(False)))
        sampler = threading.Thread(target=sample)
        sampler.start()
        self.run(contender, case)
        over.set()
        sampler.join()
        return peak[0]

    def measure_memory(self):
        for contender in self.contenders:
            if contender.only_secure:
                continue
            self.memory[contender.name] = {
                "idle_plain": self.idle_memory(contender, False),
                "idle_tls": self.idle_memory(contender, True) if contender.secures else None,
                "peak": self.peak_memory(contender),
            }
            self.say(f"memory {contender.name}: {self.memory[contender.name]}")

    def measure_latency(self, rounds):
        """An open loop of 200 messages per second, far below what either server can do."""
        messages = 600 if self.quick else 3000
        for _ in range(1 if self.quick else rounds):
            for contender in self.contenders:
                if contender.once or contender.only_secure:
                    continue
                contender.sink.reset()
                load = Load(self.builddir, contender.port(False), sessions=100, rate=200,
                            messages=messages).finish()
                contender.sink.wait(load["accepted"], PATIENCE)
                got = {key: load.get(key) for key in ("accepted", "failed", "reply_us", "whole_us")}
                self.latency.setdefault(contender.name, []).append(got)
                self.say(f"latency {contender.name}: {got}")

    def measure_direct(self):
        """The generator straight into a sink: what the tools themselves can do."""
        sink = Sink(self.builddir)
        try:
            return {per: Load(self.builddir, sink.port, messages=2000 * (3 if per > 1 else 1),
                              per_connection=per).finish()["rate"] for per in (1, 100)}
        finally:
            sink.stop()

    # -- all of it ----------------------------------------------------------------------------
    @staticmethod
    def say(text):
        print(text, file=sys.stderr, flush=True)

    def start(self, names, directory):
        makers = {
            "postfix": lambda: PostfixContender("Postfix tuned", directory, self.builddir,
                                                open(os.path.join(HERE, "postfix-main.cf")).read()),
            "postern": lambda: PosternContender("Postern", directory, self.builddir),
            "gate": lambda: GateContender(targets.GATE, directory, self.builddir),
            "untuned": lambda: PostfixContender("Postfix untuned", directory, self.builddir, "",
                                                once=True),
        }
        for name in names:
            contender = makers[name]()
            self.contenders.append(contender)
            try:
                contender.start()
                self.notes += contender.notes
            except CannotRun as reason:
                self.contenders.pop().stop()
                self.notes.append(f"SKIPPED {contender.name}: {reason}")
                self.say(self.notes[-1])

    def stop(self):
        for contender in self.contenders:
            contender.stop()


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def trouble(got):
    """What must not go unseen beside a good figure."""
    return "".join(f"  {got[key]} {key.upper()}" for key in ("failed", "lost", "twice") if got[key])


def summary(bench):
    """{case: {server: medians}} in the order of the runs."""
    table = {}
    for run in bench.results:
        table.setdefault(run["case"], {}).setdefault(run["server"], []).append(run)
    return {case: {server: {
        "rate": median([r["rate"] for r in runs]),
        "lowest": min(r["rate"] for r in runs), "highest": max(r["rate"] for r in runs),
        "cpu_per_1000": median([r["cpu_per_1000"] for r in runs]),
        "p50_us": median([r["reply_us"]["p50"] for r in runs if r["reply_us"]]),
        "p99_us": median([r["reply_us"]["p99"] for r in runs if r["reply_us"]]),
        "failed": sum(r["failed"] for r in runs), "lost": sum(r["lost"] for r in runs),
        "twice": sum(r["twice"] for r in runs),
        "runs": len(runs)} for server, runs in servers.items()} for case, servers in table.items()}


def print_runs(table, out):
    print(f"\n{'case':44} {'server':16} {'msg/s':>8} {'(range)':>15} {'CPU s/1000':>10} "
          f"{'250 p50':>9} {'p99 ms':>8}", file=out)
    for case, servers in table.items():
        for server, got in servers.items():
            spread = f"({got['lowest']:.0f}-{got['highest']:.0f})"
            print(f"{case:44} {server:16} {got['rate']:8.0f} {spread:>15} "
                  f"{got['cpu_per_1000']:10.3f} {(got['p50_us'] or 0) / 1000:9.2f} "
                  f"{(got['p99_us'] or 0) / 1000:8.2f}{trouble(got)}", file=out)
            case = ""


def print_rest(bench, direct, out):
    print(f"\ngenerator straight into the sink: {direct[1]:.0f} msg/s at one per connection, "
          f"{direct[100]:.0f} at 100", file=out)
    print(f"\n{'memory':16} {'idle plain':>12} {'idle TLS':>12} {'peak, 100 sessions':>20}",
          file=out)
    for name, got in bench.memory.items():
        tls = got["idle_tls"] / 1024 if got["idle_tls"] is not None else float("nan")
        print(f"{name:16} {got['idle_plain'] / 1024:9.1f} KB {tls:9.1f} KB "
              f"{got['peak'] / 1048576:17.1f} MB", file=out)
    print("(proportional set size of the process tree; the kernel's socket buffers not counted)",
          file=out)
    print(f"\n{'at 200 msg/s':16} {'last byte to 250: p50':>22} {'p99':>8} "
          f"{'due to 250: p50':>16} {'p99 ms':>8}", file=out)
    for name, runs in bench.latency.items():
        row = [targets.latency(runs, kind, p) / 1000
               for kind in ("reply_us", "whole_us") for p in ("p50", "p99")]
        print(f"{name:16} {row[0]:22.2f} {row[1]:8.2f} {row[2]:16.2f} {row[3]:8.2f}", file=out)


def print_all(bench, facts, direct, table, judged, out):
    print("Postern and Postfix, durable relaying end to end (first connect to last arrival)",
          file=out)
    for key, value in facts.items():
        print(f"  {key}: {value}", file=out)
    print_runs(table, out)
    print_rest(bench, direct, out)
    targets.print_judged(judged, out)
    for note in bench.notes:
        print(f"note: {note}", file=out)


def save(bench, facts, direct, table, judged, folder):
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    base = os.path.join(folder, f"bench-{stamp}")
    with open(base + ".json", "w") as file:
        json.dump({"facts": facts, "direct": direct, "runs": bench.results, "medians": table,
                   "memory": bench.memory, "latency": bench.latency, "targets": judged,
                   "notes": bench.notes}, file, indent=1)
    with open(base + ".txt", "w") as file:
        print_all(bench, facts, direct, table, judged, file)
    return base


def parse():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--builddir", default=os.environ.get("POSTERN_BUILDDIR", "."))
    parser.add_argument("--quick", action="store_true", help="few cases, small counts, < 90 s")
    parser.add_argument("--rounds", type=int, help="how often each case runs (3; quick: 2)")
    parser.add_argument("--servers", default="postfix,postern,gate,untuned",
                        help="some of postfix,postern,gate,untuned")
    parser.add_argument("--case", default="", help="only cases whose name contains this")
    return parser.parse_args()


def main():
    options = parse()
    builddir = os.path.abspath(options.builddir)
    rounds = options.rounds or (2 if options.quick else 3)
    folder = os.path.join(builddir, "bench")
    os.makedirs(folder, exist_ok=True)
    bench = Bench(builddir, options.quick)
    started = time.monotonic()
    try:
        bench.start(options.servers.split(","), folder)
        if not bench.contenders:
            print("bench: nothing to measure", file=sys.stderr)
            return 1
        facts = machine.facts(folder)
        facts["servers"] = ", ".join(c.describe() for c in bench.contenders)
        bench.warm_up()
        bench.measure_memory()
        bench.rounds(rounds, options.case)
        bench.measure_latency(rounds)
        direct = bench.measure_direct()
    except Failed as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    finally:
        bench.stop()
    facts["took"] = f"{time.monotonic() - started:.0f} s, {rounds} rounds"
    table = summary(bench)
    judged = targets.judge(table, bench.memory, bench.latency)
    print_all(bench, facts, direct, table, judged, sys.stdout)
    print(f"saved: {save(bench, facts, direct, table, judged, folder)}.json and .txt")
    return 1 if any(run["lost"] for run in bench.results) else 0


if __name__ == "__main__":
    sys.exit(main())
