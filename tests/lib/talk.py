# SPDX-License-Identifier: Apache-2.0
"""talk.py - reads conversations: files of tests/talk, one script each or several with headings.

    === 4.1.4 order: what is shown

begins a script named by the file, the section and the word: rfc5321_4_1_4_order in rfc5321.talk.
Lines before the first heading belong to every script of the file. A file without headings is one
script of the file's name. A line that begins with "#" is a comment; {x*70} stands for seventy x,
also {\\r\\n*3} and the like.
"""
import ast
import dataclasses
import pathlib
import re

TALKS = pathlib.Path(__file__).resolve().parent.parent / "talk"
HEADING = re.compile(r"=== (?:([0-9A-Z.]+) )?([a-z][a-z0-9-]*): (\S.*)")


@dataclasses.dataclass
class Script:
    name: str
    about: str
    path: pathlib.Path
    lines: list  # (number, word, rest)


def literal(text):
    """What stands in quotes, with Python's escapes, as bytes; what is not ASCII as UTF-8."""
    return ast.literal_eval("b" + "".join(each if each.isascii() else
                                          "".join(f"\\x{byte:02x}" for byte in each.encode())
                                          for each in text.strip()))


def expand(text):
    return re.sub(r"\{((?:\\.|[^{}\\])+)\*(\d+)\}", lambda found: found[1] * int(found[2]), text)


def words(rest):
    """name=value pairs of a line of settings."""
    return dict(pair.split("=", 1) for pair in rest.split() if "=" in pair)


def read(path):
    """The scripts of a file."""
    common, scripts, about = [], [], ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("==="):
            heading = HEADING.fullmatch(line)
            if not heading:
                raise ValueError(f"{path.name}:{number}: a heading is === SECTION word: what is shown")
            section, word, about = heading.groups()
            name = "_".join(re.sub(r"\W", "_", part) for part in (path.stem, section, word) if part)
            scripts.append(Script(name, about, path, list(common)))
        elif line.startswith("#"):
            if not scripts and "SPDX" not in line:
                about = f"{about} {line[1:].strip()}".strip()
        elif line.strip():
            word, _, rest = line.partition(" ")
            (scripts[-1].lines if scripts else common).append((number, word, expand(rest)))
    scripts = scripts or [Script(re.sub(r"\W", "_", path.stem), about, path, common)]
    for script in scripts:
        if not any(word not in ("listener", "limits", "relay", "pipeline", "user", "queue")
                   for _, word, _ in script.lines):
            raise ValueError(f"{path.name}: {script.name} says nothing")
    return scripts


def read_all(folder=TALKS):
    """Of all files of a folder, by name."""
    found = {}
    for path in sorted(folder.glob("*.talk")):
        for script in read(path):
            if script.name in found:
                raise ValueError(f"{path.name}: a second {script.name}")
            found[script.name] = script
    return found
