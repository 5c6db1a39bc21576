#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""modules.py - CPU per message that a module takes at the message stage, over an empty chain."""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.dont_write_bytecode = True

from tests.lib import driver  # noqa: E402

HEAD = b"From: ada@clinic.example\r\nTo: bo@partner.example\r\nSubject: bench\r\nMIME-Version: 1.0\r\n"
LINE = b"Some words of a message that somebody may have written to somebody else.\r\n"
SECTION = 'taglines: { text: "Clinic Ltd, registered in Ruritania" }\n'


def plain(size):
    return b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + LINE * (size // len(LINE))


def both(size):
    html = b"Content-Type: text/html; charset=utf-8\r\n\r\n<body>\r\n" + (b"<p>" + LINE) * (size // len(LINE)) + b"</body>"
    return (b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n" + plain(size) + b"\r\n--b\r\n" + html
            + b"\r\n--b--\r\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--builddir", default=".")
    os.environ["POSTERN_BUILDDIR"] = os.path.abspath(parser.parse_args().builddir)
    cases = {"10 KB of text": HEAD + plain(10240), "10 KB of text and 10 KB of HTML": HEAD + both(10240),
             "100 KB of text": HEAD + plain(102400)}
    with_it = driver.time(list(cases.values()), "  - taglines\n", SECTION)
    empty = driver.time(list(cases.values()), "  []\n", "")
    print("\nCPU per message at the message stage, over an empty chain")
    for name, module, nothing in zip(cases, with_it, empty):
        print(f"  taglines, {name}: {module - nothing:.0f} \u00b5s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
