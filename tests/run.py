#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the tests and counts them: unit programs, system tests, conversations, short fuzzing.

    tests/run.py --build build [--only unit,system,talk,fuzz,tree] [--match TEXT] [--fuzz-seconds N]
    tests/run.py --build build --only torture

The second runs the system tests that say TORTURE = True, with many more rounds.

The last line is "N passed, N failed", with ", N skipped" behind it where a test could not run here;
what was skipped and why is said above it. Exit status 0 only when nothing failed.
"""
import argparse
import importlib
import os
import pathlib
import re
import subprocess
import sys
import time
import unittest

TESTS = pathlib.Path(__file__).resolve().parent
TREE = TESTS.parent
sys.path.insert(0, str(TREE))

UNIT_SECONDS = 240


class Count:
    """What has been run so far, and what is to be said about it at the end."""

    def __init__(self):
        self.passed = 0
        self.failures = []
        self.skips = []

    def add(self, passed=0, failed=(), skipped=()):
        self.passed += passed
        self.failures += failed
        self.skips += skipped

    def finish(self):
        for text in self.skips:
            print(f"SKIPPED {text}")
        for text in self.failures:
            print(f"FAILED {text}")
        line = f"{self.passed} passed, {len(self.failures)} failed"
        if self.skips:
            line += f", {len(self.skips)} skipped"
        print(line, flush=True)
        return 1 if self.failures or not self.passed else 0


def environment(build):
    env = dict(os.environ, POSTERN_SRCDIR=str(TREE), POSTERN_BUILDDIR=str(build),
               SANITIZERS=" ".join(variable(build, "SANITIZERS")))
    env.setdefault("TSAN_OPTIONS", f"suppressions={TESTS}/tsan.supp halt_on_error=1")
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0")
    env.setdefault("LSAN_OPTIONS", f"suppressions={TESTS}/lsan.supp:print_suppressions=0")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    env.setdefault("CK_DEFAULT_TIMEOUT", "60")
    return env


def variable(build, name):
    """A variable of the generated Makefile, as a list of words."""
    text = (build / "Makefile").read_text().replace("\\\n", " ")
    found = re.search(rf"^{name} = (.*)$", text, re.M)
    words = found.group(1).split() if found else []
    out = []
    for word in words:
        inner = re.fullmatch(r"\$\((\w+)\)", word)
        out += variable(build, inner.group(1)) if inner else [word.replace("$(EXEEXT)", "")]
    return out


def run_unit(build, count, args):
    prefix = ["setarch", os.uname().machine, "-R"] if "thread" in variable(build, "SANITIZERS") else []
    for name in variable(build, "UNIT_TESTS"):
        if args.match and args.match not in name:
            continue
        began = time.monotonic()
        try:
            done = subprocess.run(prefix + [str(build / name)], cwd=build, env=environment(build),
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=UNIT_SECONDS, check=False)
            out, status = done.stdout.decode(errors="replace"), done.returncode
        except subprocess.TimeoutExpired as late:
            out, status = (late.stdout or b"").decode(errors="replace"), "not finished in time"
        found = re.search(r"Checks: (\d+), Failures: (\d+), Errors: (\d+)", out)
        checks, bad = (int(found[1]), int(found[2]) + int(found[3])) if found else (0, 0)
        print(f"{name}: {checks - bad} of {checks} in {time.monotonic() - began:.1f} s", flush=True)
        failed = [f"{name}: {line}" for line in out.splitlines() if re.search(r":[FE]:", line)]
        if status != 0 and not failed:
            failed = [f"{name}: ended with {status}"]
        if failed:
            print(out)
        count.add(checks - bad, failed)


class Result(unittest.TextTestResult):
    """Times each test, so that the slow ones show."""

    def startTest(self, test):
        self.began = time.monotonic()
        super().startTest(test)

    def stopTest(self, test):
        if self.showAll:
            self.stream.writeln(f"        {time.monotonic() - self.began:.1f} s")
        super().stopTest(test)


def run_suite(suite, count):
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result)
    result = runner.run(suite)
    failed = [f"{test.id()}" for test, _ in result.failures + result.errors]
    failed += [f"{test.id()}: passed where failure was expected" for test in result.unexpectedSuccesses]
    skipped = [f"{test.id()}: {why}" for test, why in result.skipped]
    bad = len(result.failures) + len(result.errors) + len(result.skipped) + len(result.unexpectedSuccesses)
    count.add(max(0, result.testsRun - bad), failed, skipped)


def select(suite, match):
    """The tests of a suite whose id has the text."""
    chosen = unittest.TestSuite()
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            chosen.addTests(select(test, match))
        elif match in test.id():
            chosen.addTest(test)
    return chosen


def run_modules(names, build, count, args):
    os.environ.update(environment(build))
    suite = unittest.TestSuite()
    for name in names:
        suite.addTests(unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(name)))
    run_suite(select(suite, args.match) if args.match else suite, count)


def run_system(build, count, args):
    names = sorted(path.stem for path in (TESTS / "system").glob("test_*.py"))
    run_modules([f"tests.system.{name}" for name in names], build, count, args)


def run_torture(build, count, args):
    os.environ["POSTERN_TORTURE"] = "1"
    run_modules([f"tests.system.{path.stem}" for path in sorted((TESTS / "system").glob("test_*.py"))
                 if "\nTORTURE = True\n" in path.read_text()], build, count, args)


def run_talk(build, count, args):
    run_modules(["tests.lib.talk_tests"], build, count, args)


def run_fuzz(build, count, args):
    run_modules(["tests.fuzz.smoke"], build, count, args)


def run_tree(build, count, args):
    run_modules(["tests.tree"], build, count, args)


PARTS = {"unit": run_unit, "tree": run_tree, "talk": run_talk, "system": run_system, "fuzz": run_fuzz}
EXTRA = {"torture": run_torture}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--match", help="only tests whose name has this text")
    parser.add_argument("--fuzz-seconds", default="10")
    args = parser.parse_args()
    build = args.build.resolve()
    os.environ["FUZZ_SECONDS"] = args.fuzz_seconds
    subprocess.run(["make", "-s", "-C", str(build), f"-j{os.cpu_count()}", "tests-build"], check=True)
    count = Count()
    for part in args.only.split(","):
        print(f"== {part}", flush=True)
        (PARTS | EXTRA)[part](build, count, args)
    return count.finish()


if __name__ == "__main__":
    sys.exit(main())
