# SPDX-License-Identifier: Apache-2.0
"""prometheus.py - reads metrics as Prometheus' own Python client does (Debian: python3-prometheus-client).

The package belongs to the system's Python, which need not be the one that runs the tests.
"""
import json
import subprocess

from .proc import CannotRun

PYTHON = "/usr/bin/python3"
READ = """
import json, sys
from prometheus_client.parser import text_string_to_metric_families as families
print(json.dumps([{"name": family.name, "type": family.type, "help": family.documentation,
                   "samples": [[sample.name, sample.labels, sample.value] for sample in family.samples]}
                  for family in families(sys.stdin.read())]))
"""


def parse(text):
    """A list of metrics, each with name, type, help and samples (name, labels, value)."""
    try:
        there = subprocess.run([PYTHON, "-c", "import prometheus_client"], capture_output=True, check=False)
    except OSError as problem:
        raise CannotRun(f"{PYTHON}: {problem}") from problem
    if there.returncode != 0:
        raise CannotRun("python3-prometheus-client is not installed")
    done = subprocess.run([PYTHON, "-c", READ], input=text, capture_output=True, text=True, timeout=60,
                          check=False)
    if done.returncode != 0:
        raise ValueError(f"Prometheus cannot read that: {done.stderr[-1000:]}")
    return json.loads(done.stdout)
