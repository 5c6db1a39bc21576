#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the tests and counts them: unit programs, system tests, conversations, short fuzzing.

    tests/run.py --build build [--only unit,system,talk,fuzz,tree] [--match TEXT] [--fuzz-seconds N]
    tests/run.py --build build --only torture

The second runs the system tests that say TORTURE = True, with many more rounds, one after the other.
Otherwise several programs and modules of tests run at a time, as many of them wait more than they
work; those that say SLOW = True begin first. What each prints comes when it has ended.

The last line is "N passed, N failed", with ", N skipped" behind it where a test could not run here;
what was skipped and why is said above it. Exit status 0 only when nothing failed.
"""
import argparse
import concurrent.futures
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

UNIT_SECONDS = 900
MODULE_SECONDS = 900
AT_A_TIME = (os.cpu_count() or 1) + 1


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
    # Also of those that a program sets itself, which know neither sanitizers nor busy machines.
    env.setdefault("CK_TIMEOUT_MULTIPLIER", "5" if env["SANITIZERS"] else "3")
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


def at_a_time(work, what, count):
    """work(one of them) gives the arguments of Count.add and what is to be printed."""
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        for future in concurrent.futures.as_completed([pool.submit(work, one) for one in what]):
            text, *result = future.result()
            print(text, flush=True)
            count.add(*result)


def run(command, seconds, **more):
    """What it said, and its status, which is a text where it did not end."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=seconds, check=False, **more)
        return done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace"), "not finished in time"


def run_unit(build, count, args):
    prefix = ["setarch", os.uname().machine, "-R"] if "thread" in variable(build, "SANITIZERS") else []

    def one(name):
        began = time.monotonic()
        out, status = run(prefix + [str(build / name)], UNIT_SECONDS, cwd=build, env=environment(build))
        found = re.search(r"Checks: (\d+), Failures: (\d+), Errors: (\d+)", out)
        checks, bad = (int(found[1]), int(found[2]) + int(found[3])) if found else (0, 0)
        text = f"{name}: {checks - bad} of {checks} in {time.monotonic() - began:.1f} s"
        failed = [f"{name}: {line}" for line in out.splitlines() if re.search(r":[FE]:", line)]
        skipped = [f"{name}: {why}" for why in re.findall(r"^SKIPPED (.+)$", out, re.M)]
        if status != 0 and not failed:
            failed = [f"{name}: ended with {status}"]
        return f"{text}\n{out}" if failed else text, max(0, checks - bad - len(skipped)), failed, skipped

    at_a_time(one, [name for name in variable(build, "UNIT_TESTS")
                    if not args.match or args.match in name], count)


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


def run_module(name, build, count, match):
    os.environ.update(environment(build))
    suite = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(name))
    run_suite(select(suite, match) if match else suite, count)


def run_modules(names, build, count, args):
    """Each in a process of its own, which prints its count as this one does."""
    def one(name):
        command = [sys.executable, __file__, "--build", str(build), "--module", name,
                   "--fuzz-seconds", args.fuzz_seconds] + (["--match", args.match] if args.match else [])
        out, status = run(command, MODULE_SECONDS)
        *lines, last = out.rstrip("\n").split("\n")
        found = re.match(r"(\d+) passed, (\d+) failed", last)
        if not found:
            return out, 0, [f"{name}: ended with {status}"]
        told = {word: [line[len(word) + 1:] for line in lines
                       if line.startswith(word + " ") and not line.startswith(word + " (")]
                for word in ("FAILED", "SKIPPED")}  # unittest's own line has a bracket
        text = "\n".join(line for line in lines if not line.startswith(("FAILED ", "SKIPPED ")))
        return text, int(found[1]), told["FAILED"], told["SKIPPED"]

    at_a_time(one, names, count)


def modules_of(parts):
    """Of these parts, those that take long first."""
    files = sorted((TESTS / "system").glob("test_*.py")) if "system" in parts else []
    slow = [path for path in files if "\nSLOW = True\n" in path.read_text()]
    return ([f"tests.system.{path.stem}" for path in slow]
            + [MODULES[part] for part in parts if part in MODULES]
            + [f"tests.system.{path.stem}" for path in files if path not in slow])


def run_torture(build, count, args):
    os.environ["POSTERN_TORTURE"] = "1"
    for path in sorted((TESTS / "system").glob("test_*.py")):
        if "\nTORTURE = True\n" in path.read_text():
            run_module(f"tests.system.{path.stem}", build, count, args.match)


MODULES = {"tree": "tests.tree", "talk": "tests.lib.talk_tests", "fuzz": "tests.fuzz.smoke"}
PARTS = ["unit", "system", *MODULES]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--match", help="only tests whose name has this text")
    parser.add_argument("--fuzz-seconds", default="10")
    parser.add_argument("--module", help="only this module of tests, in this process")
    args = parser.parse_args()
    build = args.build.resolve()
    os.environ["FUZZ_SECONDS"] = args.fuzz_seconds
    count = Count()
    if args.module:
        run_module(args.module, build, count, args.match)
        return count.finish()
    subprocess.run(["make", "-s", "-C", str(build), f"-j{os.cpu_count()}", "tests-build"], check=True)
    parts = args.only.split(",")
    unknown = set(parts) - {*PARTS, "torture"}
    if unknown:
        parser.error(f"--only: {', '.join(unknown)}: none of {', '.join(PARTS)}, torture")
    if "torture" in parts:
        run_torture(build, count, args)
    if "unit" in parts:
        print("== unit", flush=True)
        run_unit(build, count, args)
    if modules_of(parts):
        print(f"== {', '.join(part for part in parts if part not in ('unit', 'torture'))}", flush=True)
        run_modules(modules_of(parts), build, count, args)
    return count.finish()


if __name__ == "__main__":
    sys.exit(main())
