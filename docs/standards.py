#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/standards.md: each clause of a standard, and the tests that bear it.

    python3 docs/standards.py             writes the page
    python3 docs/standards.py --check     says what is wrong with the page and writes nothing

The clauses stand in docs/standards.in. Found by themselves are
- scripts of tests/talk and tests/talk/hop, by their names: rfc5321_4_1_4_order;
- system tests named alike (test_rfc5321_4_1_4_...), or test_4_1_4_... in a class Rfc5321, or with
  "RFC 5321 section 4.1.4" in their docstring, or in their class's;
- unit tests with "RFC 5321 section 4.1.4" in the comment right before START_TEST.

Wrong are a clause that nothing bears and no reason stands for, a script that names no clause, a test
that is named and does not exist, and a page that says something else than the clauses or leaves a
script out. A test elsewhere that begins to bear a clause is taken up when the page is written next.
"""
import ast
import pathlib
import re
import sys

TREE = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TREE))

from tests.lib import talk  # noqa: E402

SOURCE, PAGE = TREE / "docs" / "standards.in", TREE / "docs" / "standards.md"
SAID = re.compile(r"RFC[\s*]+(\d{4})[\s*]+sections?[\s*]+(\d+(?:\.\d+)*(?:(?:,|[\s*]and)[\s*]+\d+(?:\.\d+)*)*)")
COMMENTED = re.compile(r"/\*((?:[^*]|\*(?!/))*)\*/\s*START_TEST\((\w+)\)")


class Clause:
    def __init__(self, chapter, line, number):
        columns = [column.strip() for column in line.split("|")]
        if len(columns) != 3:
            raise SystemExit(f"{SOURCE.name}:{number}: a row is section | text | what more bears it")
        self.section, self.text, rest = columns
        self.rfc, _, self.place = self.section.rpartition(" ")
        self.rfcs = {self.rfc} if self.rfc else chapter
        self.reason = rest.partition(":")[2].strip() if rest.startswith("none:") else ""
        self.more = [] if self.reason or not rest else re.split(r",\s*", rest)

    def bears(self, keys):
        return any(rfc in self.rfcs and place == self.place for rfc, place in keys)


def read():
    """[(title, clauses)]"""
    chapters = []
    for number, line in enumerate(SOURCE.read_text().splitlines(), 1):
        if line.startswith("## "):
            title = line[3:]
            names = set(re.findall(r"\d{4}", title.partition(":")[0])) or {title.split()[-1].lower()}
            chapters.append((title, names, []))
        elif line.strip() and not line.startswith("#"):
            chapters[-1][2].append(Clause(chapters[-1][1], line, number))
    return [(title, clauses) for title, _, clauses in chapters]


def named(name):
    """rfc5321_4_1_4_order is ("5321", "4.1.4"); smuggling_1_nul is ("smuggling", "1")."""
    found = re.search(r"(?:rfc(\d{4})|(smuggling))_(\d+(?:_\d+)*)(?:_|$)", name)
    return {(found[1] or found[2], found[3].replace("_", "."))} if found else set()


def said(text):
    return {(rfc, place) for rfc, places in SAID.findall(text or "") for place in re.findall(r"\d+(?:\.\d+)*", places)}


def scripts():
    found = {f"talk/{name}": named(name) for name in talk.read_all()}
    found.update({f"hop/{name}": named(name) for name in talk.read_all(talk.TALKS / "hop")})
    return found


def system_tests():
    found = {}
    for path in sorted((TREE / "tests" / "system").glob("test_*.py")):
        for group in (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)):
            rfc = re.fullmatch(r"Rfc(\d{4})\w*", group.name)
            for test in group.body:
                if not isinstance(test, ast.FunctionDef) or not test.name.startswith("test"):
                    continue
                place = re.match(r"test_(\d+(?:_\d+)*)_", test.name)
                keys = named(test.name) | said(ast.get_docstring(test)) | said(ast.get_docstring(group))
                if rfc and place:
                    keys.add((rfc[1], place[1].replace("_", ".")))
                found.setdefault(f"system/{path.stem}:{test.name}", set()).update(keys)
    return found


def unit_tests():
    found = {}
    for path in sorted((TREE / "tests" / "unit").glob("*.c")):
        text = path.read_text()
        for name in re.findall(r"START_TEST\((\w+)\)", text):
            found[f"unit/{path.stem}:{name}"] = named(name)
        for comment, name in COMMENTED.findall(text):
            found[f"unit/{path.stem}:{name}"] |= said(comment)
    return found


def gather():
    """The chapters as [(title, [(clause, tests)])], and what is wrong."""
    found, chapters, wrong, taken = {**scripts(), **system_tests(), **unit_tests()}, [], [], set()
    for title, clauses in read():
        rows = []
        for clause in clauses:
            tests = [name for name, keys in found.items() if clause.bears(keys)]
            tests += [name for name in clause.more if name not in tests]
            wrong += [f"{title}, {clause.section}: there is no {name}" for name in clause.more if name not in found]
            if not tests and not clause.reason:
                wrong.append(f"{title}, {clause.section}: nothing bears it, and no reason stands there")
            taken.update(tests)
            rows.append((clause, tests))
        chapters.append((title, rows))
    wrong += [f"{name} names no clause of {SOURCE.name}" for name, keys in scripts().items()
              if keys and name not in taken]
    return chapters, wrong


HEAD = """# Standards, clause by clause

Made by `python3 docs/standards.py` from docs/standards.in and the tests; not to be edited. Sections are the RFCs',
texts are ours. `talk/` is a conversation in tests/talk, in which we are the server; `hop/` one in tests/talk/hop, in
which we are the client; `system/` and `unit/` are tests of those folders. `tests/run.py --match` takes their names.
"""


def write(chapters):
    lines = [HEAD]
    for title, rows in chapters:
        lines += [f"## {title}", "", "| section | what it wants | borne by |", "|---|---|---|"]
        for clause, tests in rows:
            borne = " ".join(f"`{name}`" for name in tests) or f"no test: {clause.reason}"
            lines.append(f"| {clause.section} | {clause.text} | {borne} |")
        lines.append("")
    return "\n".join(lines)


def differences(page, chapters):
    """What a page says that is not so, and which scripts it leaves out."""
    fresh = write(chapters)
    if page == fresh:
        return []
    known = {name for names in (scripts(), system_tests(), unit_tests()) for name in names}
    wrong = [f"{PAGE.name} names {name}, which does not exist"
             for name in re.findall(r"`((?:talk|hop|system|unit)/[^`]+)`", page) if name not in known]
    wrong += [f"{PAGE.name} leaves {name} out" for name in re.findall(r"`((?:talk|hop)/[^`]+)`", fresh)
              if f"`{name}`" not in page]
    rows = re.compile(r"^(## .*|\|[^|]*\|[^|]*\|)", re.M)
    if rows.findall(page) != rows.findall(fresh):
        wrong.append(f"{PAGE.name} has not the clauses of {SOURCE.name}")
    return wrong


def main():
    chapters, wrong = gather()
    if "--check" in sys.argv[1:]:
        wrong += differences(PAGE.read_text() if PAGE.exists() else "", chapters)
    elif not wrong:
        PAGE.write_text(write(chapters))
    for line in wrong:
        print(line)
    if wrong:
        print("write it anew: python3 docs/standards.py")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
