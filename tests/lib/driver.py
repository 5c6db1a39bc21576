# SPDX-License-Identifier: Apache-2.0
"""driver.py - feeds tests/driver/mail_driver with many mails at once."""
import json
import os
import subprocess

from .case import TREE

CORPUS = TREE / "tests" / "data" / "corpus"


def corpus():
    """name -> bytes with CRLF line ends, as a client would send them."""
    mails = {}
    for path in sorted(CORPUS.rglob("*.eml")):
        data = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        mails[str(path.relative_to(CORPUS))] = data if data.endswith(b"\r\n") else data + b"\r\n"
    return mails


def _talk(arguments, mails):
    build = os.environ["POSTERN_BUILDDIR"]
    done = subprocess.run([os.path.join(build, "tests", "driver", "mail_driver"), *arguments],
                          input=b"".join(b"%d\n" % len(mail) + mail for mail in mails),
                          stdout=subprocess.PIPE, timeout=300, check=True)
    frames, at = [], 0
    while at < len(done.stdout):
        begin = done.stdout.index(b"\n", at) + 1
        at = begin + int(done.stdout[at:begin])
        frames.append(done.stdout[begin:at])
    return frames


def parts(mails):
    """For each mail the list of its parts, or of one text: why it cannot be read."""
    frames = _talk(["parts"], mails)
    assert len(frames) == len(mails)
    return [json.loads(frame) for frame in frames]


def convert(mails):
    """For each mail "pass" and what a next hop of seven bits gets, or why not, and nothing."""
    return _pairs(["convert"], mails)


def run(mails, pipeline, sections):
    """For each mail the ruling of the message stage and what became of the mail."""
    return _pairs(["run", pipeline, sections], mails)


def _pairs(arguments, mails):
    frames = _talk(arguments, mails)
    assert len(frames) == 2 * len(mails)
    return [(frames[i].decode(), frames[i + 1]) for i in range(0, len(frames), 2)]


def time(mails, pipeline, sections):
    """For each mail the microseconds of CPU that the message stage takes."""
    return [float(frame) for frame in _talk(["time", pipeline, sections], mails)]
