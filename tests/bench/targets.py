# SPDX-License-Identifier: Apache-2.0
"""targets.py - what Postern is to reach beside Postfix, and whether it did."""
import statistics

PLAIN = "10 KB, 20 sessions, 1 per connection"
MANY = "10 KB, 20 sessions, 100 per connection"
CROWD = "10 KB, 100 sessions, 1 per connection"
SECURE = PLAIN + ", TLS+AUTH"
US, THEM = "Postern", "Postfix tuned"
GATE = "Postern gate"


def is_key(case):
    return case in (PLAIN, MANY, CROWD, SECURE)


def latency(runs, kind, percentile):
    """Median over runs, µs; 0 where nothing was measured."""
    values = [run[kind][percentile] for run in runs if run[kind]]
    return statistics.median(values) if values else 0


def row(what, wanted, got, met, unit=""):
    return {"what": what, "wanted": wanted, "measured": f"{got:.2f}{unit}", "met": bool(met)}


def _rates(table):
    for case, times, share in ((PLAIN, 6, 6), (MANY, 10, None), (SECURE, 4, 5)):
        ours, theirs = table.get(case, {}).get(US), table.get(case, {}).get(THEM)
        if not ours or not theirs or not theirs["rate"] or not theirs["cpu_per_1000"]:
            continue
        ratio = ours["rate"] / theirs["rate"]
        yield row(f"{case}: rate", f">= {times} x Postfix", ratio, ratio >= times, " x")
        if share:
            part = ours["cpu_per_1000"] / theirs["cpu_per_1000"]
            yield row(f"{case}: CPU", f"<= 1/{share} of Postfix", part, part <= 1 / share, " x")
    few, many = table.get(PLAIN, {}).get(US), table.get(CROWD, {}).get(US)
    if few and many and few["rate"]:
        part = many["rate"] / few["rate"]
        yield row("100 sessions against 20", ">= 0.90", part, part >= 0.9, " x")


def _gate(table):
    """Who may send what to whom and how much, beside `auth` alone."""
    alone, gate = table.get(SECURE, {}).get(US), table.get(SECURE, {}).get(GATE)
    if alone and gate and alone["cpu_per_1000"]:
        part = gate["cpu_per_1000"] / alone["cpu_per_1000"]
        yield row(f"{SECURE}: CPU, the full gate", "<= 1.25 x auth alone", part, part <= 1.25, " x")


def _memory(memory):
    ours = memory.get(US)
    if ours:
        for key, most in (("idle_plain", 12), ("idle_tls", 40)):
            if ours[key] is None:
                continue
            got = ours[key] / 1024
            yield row(f"memory of a session, {key.replace('_', ' ')}", f"<= {most} KB", got,
                       got <= most, " KB")


def _latencies(latencies):
    ours, theirs = latencies.get(US), latencies.get(THEM)
    if not ours or not theirs:
        return
    for kind, name in (("reply_us", "last byte to 250"), ("whole_us", "due to 250")):
        for percentile, most in (("p50", 0.7), ("p99", 1.0)):
            got, base = latency(ours, kind, percentile), latency(theirs, kind, percentile)
            if base:
                yield row(f"at 200 msg/s, {name}, {percentile}", f"<= {most} x Postfix",
                           got / base, got <= most * base, " x")


def judge(table, memory, latencies):
    return [*_rates(table), *_gate(table), *_memory(memory), *_latencies(latencies)]


def print_judged(judged, out):
    if not judged:
        print("\ntargets: not judged, they need Postern and what it is compared with", file=out)
        return
    print(f"\n{'target':56} {'wanted':22} {'measured':>10}", file=out)
    for row in judged:
        print(f"{row['what']:56} {row['wanted']:22} {row['measured']:>10}  "
              f"{'met' if row['met'] else 'NOT MET'}", file=out)
