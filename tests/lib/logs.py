# SPDX-License-Identifier: Apache-2.0
"""logs.py - reads log lines as tools do, and what events the sources have (docs/logs.md)."""
import json
import re

from .proc import Failed

TREE_HEAD = ("time", "level", "process", "event")
FIELD = re.compile(r'([a-z0-9_-]+)=(?:"((?:[^"\\]|\\["\\]|\\x[0-9a-f]{2})*)"|([^\s"=\\]+))(?: |$)')


def _plain(quoted):
    """What stands between quotes, as bytes that may be no text."""
    raw = re.sub(rb'\\(x[0-9a-f]{2}|["\\])',
                 lambda found: bytes([int(found[1][1:], 16)]) if found[1][:1] == b"x" else found[1],
                 quoted.encode())
    return raw.decode(errors="surrogateescape")


def logfmt(line):
    """The fields of one line; Failed where it is not logfmt to the last byte."""
    fields, at = {}, 0
    while at < len(line):
        found = FIELD.match(line, at)
        if not found or found[1] in fields:
            raise Failed(f"no logfmt at {at}: {line!r}")
        fields[found[1]] = found[3] if found[2] is None else _plain(found[2])
        at = found.end()
    if tuple(fields)[:4] != TREE_HEAD:
        raise Failed(f"begins otherwise: {line!r}")
    return fields


def as_json(line):
    """The same of a JSON line; no name may stand twice."""
    pairs = json.loads(line, object_pairs_hook=list)
    fields = dict(pairs)
    if len(fields) != len(pairs) or tuple(fields)[:4] != TREE_HEAD:
        raise Failed(f"a name twice, or another beginning: {line!r}")
    return fields


# ---- what the sources can say ----------------------------------------------------------------------

def _arguments(text, at):
    """The arguments of the call whose "(" is at `at`, split at commas outside brackets and strings."""
    words, depth, begin = [], 0, at + 1
    while True:
        if text[at] == '"':
            at = re.compile(r'"(?:[^"\\]|\\.)*"').match(text, at).end() - 1
        elif text[at] in "([{":
            depth += 1
        elif text[at] in ")]}":
            depth -= 1
        if (text[at] == "," and depth == 1) or depth == 0:
            words.append(text[begin:at].strip())
            begin = at + 1
        if depth == 0:
            return words
        at += 1


def _literals(text):
    return re.findall(r'"([^"\\]*)"', text)


def _names(expression, text, at):
    """The names that an event may have: literals, those of a table or a function of the same file,
    what a variable was given, or what the function around `at` is called with there."""
    found = _literals(expression)
    for name in re.findall(r"\b(\w+)[\[(]", expression):
        table = re.search(rf"\b{name}\[[^\]]*\] = \{{(.*?)\}};", text, re.S)
        function = re.search(rf"^{name}\([^;]*?\)\n\{{(.*?)^\}}", text, re.S | re.M)
        found += _literals((table or function)[1])
    if re.fullmatch(r"\w+", expression):
        local = re.findall(rf"^\t(?:const char \*)?{expression} = ([^;]*);", text[:at], re.M)
        if local:
            return _literals(local[-1])
        around = re.findall(r"^(\w+)\([^;{]*?\)\n\{", text[:at], re.M)[-1]
        for call in re.finditer(rf"\b{around}(?=\()", text):
            found += [word.strip('"') for word in _arguments(text, call.end()) if re.fullmatch(r'"[a-z-]+"', word)]
    return found


def events(tree):
    """Each event's name and the names of the fields that it may have, over all of core."""
    known = {"message": {"text"}, "repeated": {"of", "reason", "client", "count", "seconds"}}  # of core/base
    for path in sorted((tree / "core").rglob("*.c")):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
        for found in re.finditer(r"\blog_(?:event|repeating)(?=\()", text):
            if path.parent.name == "base":
                continue
            words = _arguments(text, found.end())
            first = next(number for number, word in enumerate(words) if "PN_LOG" in word or "level" in word) + 1
            fields = {name for word in words[first + 1:-1:2] for name in _literals(word)}
            for event in _names(words[first], text, found.start()):
                known.setdefault(event, set()).update(fields)
    return known
