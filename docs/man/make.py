#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the man pages from their sources, the option tables, the commands and the public headers.

    docs/man/make.py --build DIR [--check]

A source is mdoc(7) with lines of its own: "@options NAME" (settings of a section or module),
"@commands NAME" (of posternctl or a module), "@filters" (of queue commands), "@header NAME" (what
api/postern/NAME says). With
--check nothing is written: pages that are not what would be made are named, exit status 1.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
PAGES = TREE / "docs" / "man"


def sources():
    """Each source with its page: docs/man/NAME.in, and modules/NAME/manual.in for postern-NAME.7."""
    for path in sorted(PAGES.glob("*.in")):
        yield path, PAGES / path.stem
    for path in sorted(TREE.glob("modules/*/manual.in")):
        yield path, PAGES / f"postern-{path.parent.name}.7"


def posternctl(build, *arguments):
    modules = ":".join(str(path) for path in (build / "modules", build / "modules" / ".libs"))
    done = subprocess.run([build / "posternctl", "-m", modules, *arguments], stdout=subprocess.PIPE)
    if done.returncode != 0:
        raise SystemExit(f"posternctl {' '.join(arguments)}: exit status {done.returncode}")
    return done.stdout.decode().rstrip("\n")


def escape(text):
    text = text.replace("\\", "\\e")
    return "\\&" + text if text[:1] in (".", "'") else text


def comment_text(comment):
    """The words of a comment: one line a paragraph line, "" between paragraphs."""
    lines = re.sub(r"^/\*|\*/$", "", comment.strip()).split("\n")
    return [re.sub(r"^\s*\* ?", "", line) if number else line.strip() for number, line in enumerate(lines)]


def write_comment(comment):
    """Paragraphs as text, indented lines as they stand."""
    out, literal = [], False
    for line in comment_text(comment):
        code = line.startswith(("\t", "    ")) and line.strip() != ""
        if code != literal and line.strip():
            out.append(".Bd -literal -offset indent" if code else ".Ed")
            literal = code
        if not line.strip():
            out.append(escape("") if literal else ".Pp")
        else:
            out.append(escape(line if literal else line.strip()))
    if literal:
        out.append(".Ed")
    while out and out[0] == ".Pp":
        out.pop(0)
    while out and out[-1] == ".Pp":
        out.pop()
    return out


def write_filters(rows):
    lines = [".Bl -tag -width Ds -compact"]
    for row in rows:
        lines += [f".It Fl -{row['filter']} Ar {row['value']}", escape(row["matches"].capitalize() + ".")]
    return "\n".join(lines + [".El"])


def chunks(text):
    """(comment, code) pairs in the order of the header; either may be empty."""
    position, code, comment = 0, [], ""
    for found in re.finditer(r"^(?:/\*.*?\*/)[ \t]*$", text, re.S | re.M):
        between = text[position:found.start()].strip("\n")
        if comment or between.strip():
            yield comment, between
        comment, position = found.group(0), found.end()
    yield comment, text[position:].strip("\n")


def write_header(name):
    path = TREE / "api" / "postern" / name
    if not path.is_file():
        raise SystemExit(f"there is no header {name}")
    out = []
    for comment, code in chunks(path.read_text()):
        if comment.startswith("/* SPDX"):
            continue
        divider = re.match(r"/\* -+ (.*?) -+\s*\*/", comment, re.S)
        if divider:
            out.append(f".Ss {divider.group(1)}")
            comment = ""
        code = "\n".join(line for line in code.split("\n")
                         if not re.match(r"#\s*(include|ifndef POSTERN|define POSTERN|endif)", line)).strip("\n")
        if comment:
            out += [".Pp"] + write_comment(comment)
        if code.strip():
            out += [".Bd -literal"] + [escape(line) for line in code.split("\n")] + [".Ed"]
    return "\n".join(tidy(out))


def tidy(lines):
    """mdoc wants no .Pp behind a heading or before a display."""
    out = []
    for line in lines:
        if line == ".Pp" and out and out[-1].startswith((".Ss", ".Sh", ".Pp")):
            continue
        out.append(line)
    return out


def make(source, build):
    out = ['.\\" SPDX-License-Identifier: Apache-2.0',
           f'.\\" Made by docs/man/make.py from {source.relative_to(TREE)}; change that, then: make man']
    for line in source.read_text().split("\n")[1:]:
        words = line.split()
        if line.startswith("@options "):
            line = posternctl(build, "help", "--mdoc", words[1])
        elif line.startswith("@commands "):
            line = posternctl(build, "help", "--mdoc-commands", words[1])
        elif line == "@filters":
            line = write_filters(json.loads(posternctl(build, "--json", "queue", "filters")))
        elif line.startswith("@header "):
            line = write_header(words[1])
        out.append(line)
    return "\n".join(out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    stale = []
    for source, page in sources():
        text = make(source, options.build.resolve())
        if page.is_file() and page.read_text() == text:
            continue
        stale.append(str(page.relative_to(TREE)))
        if not options.check:
            page.write_text(text)
    for name in stale:
        print(f"{name}: {'is not what its tables say; make man' if options.check else 'written'}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
