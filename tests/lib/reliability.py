# SPDX-License-Identifier: Apache-2.0
"""reliability.py - what a fault cost, kept for docs/reliability.md where `make reliability` asks for it."""
import collections
import json
import os


def tally(acked, arrived):
    """Acknowledged, delivered, lost and duplicated messages, by the ids that client and next hop kept."""
    times = collections.Counter(arrived)
    return {"acknowledged": len(acked), "delivered": sum(each in times for each in acked),
            "lost": sum(each not in times for each in acked),
            "duplicated": sum(count > 1 for count in times.values())}


def keep(fault, rounds, figures, explained=""):
    """One row; nothing where nobody makes the table."""
    path = os.environ.get("POSTERN_RELIABILITY")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(dict(figures, fault=fault, rounds=rounds, explained=explained)) + "\n")
