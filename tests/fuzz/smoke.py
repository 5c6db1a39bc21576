# SPDX-License-Identifier: Apache-2.0
"""Builds every fuzz target with clang beside the tests' build and runs each for FUZZ_SECONDS.

A finding leaves its input under build/fuzz/findings. `make fuzz` runs the same for longer.
"""
import os
import pathlib
import shutil
import subprocess
import unittest

FUZZ = pathlib.Path(__file__).resolve().parent
TREE = FUZZ.parent.parent
CLANG = "clang-14"


class Fuzz(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which(CLANG):
            raise unittest.SkipTest(f"{CLANG} is not installed")
        cls.build = pathlib.Path(os.environ["POSTERN_BUILDDIR"], "fuzz")
        cls.build.mkdir(exist_ok=True)
        if not (cls.build / "Makefile").exists():
            subprocess.run([TREE / "configure", "--quiet", "--enable-werror", "--enable-fuzzing",
                            f"CC={CLANG}"], cwd=cls.build, check=True, stderr=subprocess.DEVNULL)
        targets = [f"tests/fuzz/{path.stem}" for path in FUZZ.glob("*.c")]
        subprocess.run(["make", "-s", f"-j{os.cpu_count()}", "core/libcore.a", *targets],
                       cwd=cls.build, check=True)

    def fuzz(self, name):
        findings, corpus = self.build / "findings", self.build / "corpus" / name
        findings.mkdir(exist_ok=True)
        corpus.mkdir(parents=True, exist_ok=True)
        seeds = [str(folder) for folder, _, files in os.walk(FUZZ / "seeds" / name) if files]
        done = subprocess.run([self.build / "tests/fuzz" / name, f"-max_total_time={os.environ['FUZZ_SECONDS']}",
                               "-timeout=10", "-rss_limit_mb=4096", "-print_final_stats=1",
                               f"-artifact_prefix={findings}/{name}-", corpus, *seeds],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        out = done.stdout.decode(errors="replace")
        self.assertEqual(done.returncode, 0, out[-4000:])
        runs = [line for line in out.splitlines() if "number_of_executed_units" in line]
        self.assertTrue(runs and int(runs[0].split()[-1]) > 100, out[-2000:])
        print(f"        {runs[0].split()[-1]} runs", end=" ", flush=True)


def _add(name):
    setattr(Fuzz, f"test_{name}", lambda self: self.fuzz(name))


for _path in sorted(FUZZ.glob("*.c")):
    _add(_path.stem)
