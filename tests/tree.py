# SPDX-License-Identifier: Apache-2.0
"""The tree's own rules: who may include whom, a licence line in every file, no file too long."""
import fnmatch
import pathlib
import re
import subprocess
import unittest

TREE = pathlib.Path(__file__).resolve().parent.parent

# A folder of core/ may include these others. Whatever is not here is an arrow that must not be.
ARROWS = {
    "base": set(),
    "net": {"base"},
    "mail": {"base"},
    "store": {"base", "mail"},
    "client": {"base"},
    # What helpers hold counts against the memory for mail.
    "crypt": {"base", "mail"},
    "web": {"base", "net"},
    # The address of a directory server is checked where its section is.
    "config": {"base", "client", "mail", "net"},
    # Policies of MTA-STS: read off the network, kept in the database.
    "sts": {"base", "client", "mail", "net", "store"},
    "queue": {"base", "config", "mail", "net", "smtp", "sts"},
    "policy": {"base", "client", "config", "crypt", "mail", "net", "queue", "store"},
    "smtp": {"base", "config", "mail", "net", "policy", "queue"},
    "ctl": {"base", "config", "crypt", "mail", "master", "net", "policy", "queue", "smtp", "store",
            "sts"},
    "master": {"base", "config", "crypt", "ctl", "mail", "net", "policy", "queue", "smtp", "store",
               "sts", "web"},
}
# Inside core/smtp the sending side and the grammar know nothing of policy and queue.
SENDING = ("courier", "reply", "dot", "command")


def files(*patterns):
    """The tree's own files: git's where it is a checkout, all but what was generated in a release."""
    if not (TREE / ".git").exists():
        made = {"build-aux", "_build", "build"}
        own = [path for path in sorted(TREE.rglob("*"))
               if path.is_file() and not made.intersection(path.relative_to(TREE).parts)]
        return [path for path in own
                if any(fnmatch.fnmatch(str(path.relative_to(TREE)), pattern) for pattern in patterns)]
    # Root may look at a user's checkout; git wants to be told.
    listed = subprocess.run(["git", "-c", f"safe.directory={TREE}", "ls-files", "--cached", "--others",
                             "--exclude-standard", *patterns], cwd=TREE, stdout=subprocess.PIPE, check=True)
    return [path for path in (TREE / name for name in listed.stdout.decode().split("\n") if name)
            if path.is_file()]


def includes(path):
    return re.findall(r'^#include [<"]([^>"]+)[>"]', path.read_text(errors="replace"), re.M)


class Tree(unittest.TestCase):
    def test_arrows_of_core(self):
        wrong = []
        for path in files("core/*.[ch]"):
            folder = path.relative_to(TREE).parts[1]
            for name in includes(path):
                parts = name.split("/")
                if parts[0] == "modules" or (parts[0] == "core" and parts[1] != folder
                                             and parts[1] not in ARROWS[folder]):
                    wrong.append(f"{path.relative_to(TREE)} includes {name}")
        self.assertEqual(wrong, [])

    def test_sending_side_knows_no_policy(self):
        wrong = [f"{path.name} includes {name}" for path in files("core/smtp/*.[ch]")
                 if path.name.startswith(SENDING) for name in includes(path)
                 if name.startswith(("core/policy", "core/queue/queue"))]
        self.assertEqual(wrong, [])

    def test_modules_include_only_the_api(self):
        wrong = [f"{path.relative_to(TREE)} includes {name}" for path in files("modules/*.[ch]")
                 for name in includes(path) if name.startswith("core/")]
        self.assertEqual(wrong, [])

    def test_api_includes_only_itself(self):
        wrong = [f"{path.name} includes {name}" for path in files("api/*.h")
                 for name in includes(path) if "/" in name and not name.startswith("postern/")]
        self.assertEqual(wrong, [])

    def test_tls_is_never_called_end_to_end(self):
        """S4-13: TLS protects one hop. Whoever writes of "end to end" says what it is not."""
        wrong = []
        for path in files("*.md", "*.in", "*.yaml", "*.c", "*.h", "docs/man/*"):
            if path.relative_to(TREE).parts[0] == "tests":
                continue
            text = " ".join(re.sub(r"(?m)^[ \t]*(/?\*+/?|\.[A-Z]\S*)?", "", path.read_text(errors="replace")).split())
            wrong += [f"{path.relative_to(TREE)}: {sentence.strip()[:200]}"
                      for sentence in re.findall(r"[^.;:]*\bend[- ]to[- ]end\b[^.;:]*", text, re.I)
                      if not re.search(r"\b(not|never|nor|no)\b", sentence, re.I)]
        self.assertEqual(wrong, [])

    def test_licence_line(self):
        kinds = ("*.c", "*.h", "*.py", "*.mk", "*.am", "*.ac", "*.sh", "*.yaml", "*.talk", ".ci/run")
        wrong = [str(path.relative_to(TREE)) for path in files(*kinds)
                 if "/data/" not in str(path) and "/config/bad/" not in str(path)
                 and "SPDX-License-Identifier: Apache-2.0" not in path.read_text(errors="replace")[:300]]
        self.assertEqual(wrong, [])

    def test_no_file_is_too_long(self):
        long = [str(path.relative_to(TREE)) for path in files("core/*.[ch]", "modules/*.[ch]", "api/*.h")
                if len(path.read_text().splitlines()) > 700]
        self.assertEqual(long, [])

    def test_formatted(self):
        done = subprocess.run(["clang-format-14", "--dry-run", "-Werror",
                               *map(str, files("core/*.[ch]", "modules/*.[ch]", "api/*.h", "tests/*.[ch]"))],
                              cwd=TREE, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.stderr.decode()[:2000], "")
