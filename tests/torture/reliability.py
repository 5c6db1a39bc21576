#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every fault and writes what came of it into docs/reliability.md.

    tests/torture/reliability.py --build build [--torture]

Nothing in the table is written by hand. A fault that loses a message, or delivers one twice without the
reason that its test accepts, fails its test; then there is no table. --torture: many more rounds.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = TREE / "docs" / "reliability.md"
MARK = "<!-- made by tests/torture/reliability.py -->\n"
TESTS = ("test_crash", "test_faults.Faults", "test_reloads_and_upgrades_under_load")


def power_cuts(build):
    """The unit test replays the spool's writes and syncs and says how often; it fails where anything is lost."""
    done = subprocess.run([build / "tests/unit/spool_power"], capture_output=True, text=True, cwd=build, check=False,
                          env=dict(os.environ, CK_DEFAULT_TIMEOUT="240"))
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)
    said = re.findall(r"^power: (\d+) cuts, (\d+) acknowledged$", done.stdout, re.M)
    count = sum(int(number) for _, number in said)
    return {"fault": "power cut (writes and syncs replayed: all kept, unsynced lost, some lost, torn)",
            "rounds": sum(int(number) for number, _ in said), "acknowledged": count, "delivered": count, "lost": 0,
            "duplicated": "-", "explained": "counted at each cut: in the spool, waiting or with the mark of its end"}


def system_faults(build, torture):
    with tempfile.NamedTemporaryFile("r", prefix="postern-reliability-") as rows:
        os.chmod(rows.name, 0o600)
        env = dict(os.environ, POSTERN_RELIABILITY=rows.name)
        if torture:
            env["POSTERN_TORTURE"] = "1"
        for name in TESTS:
            subprocess.run([sys.executable, TREE / "tests" / "run.py", "--build", build, "--only", "system",
                            "--match", name], env=env, check=True)
        return [json.loads(line) for line in rows.read().splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--torture", action="store_true")
    args = parser.parse_args()
    build = args.build.resolve()
    columns = ("fault", "rounds", "acknowledged", "delivered", "lost", "duplicated", "explained")
    table = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in [*system_faults(build, args.torture), power_cuts(build)]:
        if not row["duplicated"]:
            row["explained"] = ""
        table.append(f"| {' | '.join(str(row[name]) for name in columns)} |")
    before, _, _ = PAGE.read_text().partition(MARK)
    PAGE.write_text(before + MARK + "\n".join(table) + "\n")
    print(f"{PAGE.relative_to(TREE)}: written")


main()
