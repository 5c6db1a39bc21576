# SPDX-License-Identifier: Apache-2.0
"""What is written about the program: man pages, JSON Schema, completion, all from the same tables."""
import glob
import json
import os
import shutil
import subprocess
import sys
import unittest

from tests.lib.case import TREE
from tests.lib.postern import Programs
from tests.system.test_check import OK, REFUSED, USAGE, Ctl

try:
    import jsonschema
    import yaml
except ImportError:
    jsonschema = yaml = None


class Pages(Ctl):
    def test_no_drift(self):
        """Every page is what its source, the tables and the headers make today: else, `make man`."""
        done = subprocess.run([sys.executable, TREE / "docs" / "man" / "make.py", "--build", self.builddir, "--check"],
                              capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)

    def test_every_module_has_a_page(self):
        modules = {os.path.basename(os.path.dirname(path)) for path in glob.glob(f"{TREE}/modules/*/local.mk")}
        self.assertTrue(modules)
        for name in sorted(modules):
            self.assertTrue((TREE / "docs" / "man" / f"postern-{name}.7").is_file(), name)

    @unittest.skipUnless(shutil.which("mandoc"), "mandoc is not installed")
    def test_the_pages_are_sound(self):
        pages = sorted(glob.glob(f"{TREE}/docs/man/*.[0-9]"))
        self.assertGreaterEqual(len(pages), 5)
        for page in pages:
            done = subprocess.run(["mandoc", "-T", "lint", "-W", "error", page], capture_output=True, text=True)
            self.assertEqual(done.stdout, "", page)


class Standards(unittest.TestCase):
    def test_each_clause_has_its_tests(self):
        """docs/standards.md: no clause without a test or a reason, no script without a clause, nothing stale."""
        done = subprocess.run([sys.executable, TREE / "docs" / "standards.py", "--check"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)


def read_yaml(folder):
    """All files of a folder as one configuration; `!file` and `!env` are texts to a schema."""
    class Loader(yaml.SafeLoader):
        pass
    Loader.add_constructor("!file", lambda loader, node: str(node.value))
    Loader.add_constructor("!env", lambda loader, node: str(node.value))
    merged = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.yaml"))):
        with open(path, encoding="utf-8") as file:
            merge(merged, yaml.load(file, Loader) or {})
    return merged


def merge(into, more):
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


GOOD = """
relay:
  listeners:
    - { name: submission, address: "*:587", auth: required }
  limits: { message_size: 20m, idle_timeout: 5m }
  networks: { google: ["203.0.113.0/24"], office: 10.0.0.1 }
  tls: { certificate: cert.pem, key: !env KEY }
routes:
  - { when: { recipient_domain: [example.net] }, to: smarthost, host: "mx.example.net:25", tls: verify }
  - { to: discard }
pipeline: [{ auth: { id: login, on_fault: reject, timeout: 5s } }]
login: { mechanisms: plain, enabled: yes }
"""
# What is put in place of a line above, and where the validator must point.
WRONG = (
    ("  limits: { message_size: 20m, idle_timeout: 5m }", "  limits: { message_sice: 20m }", ["relay", "limits"]),
    ("idle_timeout: 5m", "idle_timeout: 5 minutes", ["relay", "limits", "idle_timeout"]),
    ("message_size: 20m", "message_size: 1", ["relay", "limits", "message_size"]),
    ("auth: required }", "auth: maybe }", ["relay", "listeners", 0, "auth"]),
    ("{ to: discard }", "{ host: x }", ["routes", 1]),
    ("on_fault: reject", "on_faults: reject", ["pipeline", 0]),
    ("mechanisms: plain", "mechanism: plain", ["login"]),
    ("login: {", "logon: {", []),
)


@unittest.skipUnless(jsonschema, "python3-jsonschema and python3-yaml are not installed")
class Schema(Ctl):
    def schema(self, *folder):
        done = self.ctl("schema", *folder)
        self.assertEqual(done.returncode, OK, done.stderr)
        schema = json.loads(done.stdout)
        jsonschema.Draft202012Validator.check_schema(schema)
        return jsonschema.Draft202012Validator(schema)

    def write(self, text):
        folder = os.path.join(self.directory, "conf")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "all.yaml"), "w", encoding="utf-8") as file:
            file.write(text)
        return folder

    def test_good_ones_pass(self):
        validator = self.schema()
        self.assertEqual(list(validator.iter_errors(read_yaml(f"{TREE}/conf.d"))), [])

    def test_an_entrys_own_name(self):
        certificate = TREE / "tests" / "config" / "cert.pem"
        folder = self.write(GOOD.replace("cert.pem", str(certificate)).replace("!env KEY", "!env POSTERN_TEST_SECRET"))
        self.assertEqual(list(self.schema(folder).iter_errors(read_yaml(folder))), [])
        self.assertNotEqual(list(self.schema().iter_errors(read_yaml(folder))), [])

    def test_wrong_ones_are_pointed_at(self):
        certificate = TREE / "tests" / "config" / "cert.pem"
        good = GOOD.replace("cert.pem", str(certificate)).replace("!env KEY", "!env POSTERN_TEST_SECRET")
        validator = self.schema(self.write(good))
        for line, wrong, path in WRONG:
            with self.subTest(wrong=wrong):
                self.assertIn(line, good)
                errors = list(validator.iter_errors(read_yaml(self.write(good.replace(line, wrong)))))
                self.assertTrue(any(list(error.absolute_path)[:len(path)] == path for error in errors), errors)


class Completion(Ctl):
    def words(self, *given):
        done = self.ctl("completion", "words", "--", *given)
        self.assertEqual(done.returncode, OK, done.stderr)
        return done.stdout.split()

    def test_words(self):
        first = self.words()
        self.assertEqual(len(first), len(set(first)))
        self.assertLessEqual({"check", "queue", "user", "help", "schema"}, set(first))
        self.assertIn("passwd", self.words("user"))
        self.assertLessEqual({"relay", "pipeline", "auth"}, set(self.words("help")))
        self.assertEqual(self.words("nothing"), [])

    def test_options_of_a_command(self):
        self.assertLessEqual({"--user", "--listener", "--tag", "--size", "--client"}, set(self.words("route")))
        self.assertIn("--output", self.words("explain", "ada@clinic.example"))
        self.assertEqual(set(self.words("user", "list")), set())

    def test_in_bash(self):
        programs = Programs(self.builddir)
        script = f"""
            posternctl() {{ {programs.posternctl} -m {programs.modules} "$@"; }}
            eval "$(posternctl completion bash)"
            COMP_WORDS=(posternctl queue li) COMP_CWORD=2
            _posternctl
            echo "${{COMPREPLY[*]}}"
            COMP_WORDS=(posternctl explain --out) COMP_CWORD=2
            _posternctl
            echo "${{COMPREPLY[*]}}"
            COMP_WORDS=(posternctl explain auto) COMP_CWORD=2
            _posternctl
            echo "${{COMPREPLY[*]}}"
        """
        open(os.path.join(self.directory, "automatic.eml"), "w").close()
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=self.directory)
        self.assertEqual((done.stdout, done.stderr), ("list\n--output\nautomatic.eml\n", ""))

    def test_usage(self):
        self.assertEqual(self.ctl("completion", "fish").returncode, USAGE)


class Modules(Ctl):
    def test_what_they_bring(self):
        rows = {row["module"]: row for row in json.loads(self.ctl("--json", "modules").stdout)}
        self.assertIn("auth", rows["auth"]["stages"])
        self.assertIn("user passwd", rows["auth"]["commands"])

    def test_help_for_pages(self):
        done = self.ctl("help", "--mdoc", "auth")
        self.assertIn(".It Cm mechanisms", done.stdout)
        self.assertEqual(self.ctl("help", "--mdoc", "nothing").returncode, REFUSED)
        self.assertEqual(self.ctl("help", "one", "two").returncode, USAGE)
