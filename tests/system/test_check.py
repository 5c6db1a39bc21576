# SPDX-License-Identifier: Apache-2.0
"""posternctl: what it says, where it says it, and with which exit status."""
import json
import os
import shutil
import smtplib
import ssl
import subprocess

from tests.lib.case import PASSWORD, TREE, USER, RelayCase
from tests.lib.certificates import certificate
from tests.lib.postern import Programs

BAD = TREE / "tests" / "config" / "bad"
OK, REFUSED, USAGE, ABSENT = 0, 1, 2, 3


class Ctl(RelayCase):
    def ctl(self, *arguments, cwd=None, **more):
        programs = Programs(self.builddir)
        env = {key: value for key, value in os.environ.items() if key != "POSTERN_NO_SUCH_NAME"}
        return subprocess.run([programs.posternctl, "-m", programs.modules, *arguments], cwd=cwd or self.directory,
                              env=dict(env, POSTERN_TEST_SECRET="secret"), capture_output=True, text=True,
                              timeout=60, **more)


class Check(Ctl):
    def test_broken_configurations(self):
        """Every mistake, to the column, in one run; warnings alone are no refusal."""
        cases = sorted(path.parent for path in BAD.glob("*/expected"))
        self.assertGreaterEqual(len(cases), 20)
        for case in cases:
            with self.subTest(case=case.name):
                expected = (case / "expected").read_text()
                errors = sum(": warning: " not in line for line in expected.splitlines())
                done = self.ctl("check", case.name, cwd=BAD)
                said = done.stderr
                if errors:
                    said, _, last = said.rstrip("\n").rpartition("\n")
                    said += "\n"
                    self.assertEqual(last, f"posternctl: {case.name}: {errors} error{'s' * (errors != 1)}")
                self.assertEqual(said, expected)
                self.assertEqual(done.returncode, REFUSED if errors else OK, done.stdout)
                self.assertEqual("good" in done.stdout, not errors)

    def test_protection_that_is_not_to_be_had(self):
        """Wanted where nobody selects, or chosen where nobody provides: a warning with the place, to the letter."""
        modules = f"{Programs(self.builddir).modules}:{self.builddir}/tests/modules/.libs"
        for case in ("nobody-selects", "nobody-provides"):
            done = self.ctl("-m", modules, "check", case, cwd=BAD.parent / "policy")
            self.assertEqual(done.stderr, (BAD.parent / "policy" / case / "expected").read_text())
            self.assertEqual(done.returncode, OK)

    def test_protection_that_works(self):
        """Wanted, chosen and provided: nothing to warn of; nor where the wanting entry is off."""
        for pipeline, sections in ((["wanter", "chooser", "provider"], {}), (["wanter"], {"wanter": {"enabled": False}})):
            relay = self.relay({"plain": {"tls": "none", "auth": "off"}}, pipeline=pipeline, sections=sections)
            relay.programs.modules += f":{self.builddir}/tests/modules/.libs"
            done = relay.ctl("check")
            self.assertEqual(done.stderr, "")

    def test_the_trees_own_configuration(self):
        conf = os.path.join(self.directory, "conf.d")
        shutil.copytree(TREE / "conf.d", conf)
        cert, key = certificate(self.directory, "localhost")
        for name in os.listdir(conf):
            with open(os.path.join(conf, name), "r+") as file:
                text = file.read().replace("/etc/postern/tls/relay.pem", cert)
                file.seek(0)
                file.write(text.replace("/etc/postern/tls/relay.key", key))
                file.truncate()
        done = self.ctl("check", conf)
        self.assertEqual((done.returncode, done.stderr), (OK, ""), done.stdout)
        self.assertIn("good", done.stdout)

    def test_the_sample_of_a_clinic(self):
        """What exists of it is good; what does not exist yet is refused as unknown, each with its place."""
        clinic = os.path.join(self.directory, "clinic")
        shutil.copytree(TREE / "tests" / "config" / "clinic", clinic)
        cert, key = certificate(self.directory, "localhost")
        secret, keys = os.path.join(self.directory, "google.pass"), os.path.join(self.directory, "spool.key")
        for path, text in (secret, "secret\n"), (keys, "2026-11 " + 32 * "5a" + "\n"):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(text)
        relay = os.path.join(clinic, "00-relay.yaml")
        with open(relay, "r+") as file:
            text = file.read()
            for path, ours in (("/etc/postern/tls/relay.pem", cert), ("/etc/postern/tls/relay.key", key),
                               ("/etc/postern/google.pass", secret), ("/etc/postern/spool.key", keys)):
                self.assertIn(path, text)
                text = text.replace(path, ours)
            file.seek(0)
            file.write(text)
        done = self.ctl("check", "clinic")
        said = done.stderr.replace(Programs(self.builddir).modules, "MODULES").splitlines()
        said = [line.partition("; known:")[0] for line in said[:-1]]
        self.assertEqual("\n".join(said) + "\n", (TREE / "tests" / "config" / "clinic" / "expected").read_text())
        self.assertEqual(done.returncode, REFUSED)

    def test_json(self):
        relay = self.relay_with_user()
        done = relay.ctl("--json", "check")
        self.assertEqual(json.loads(done.stdout), [{"configuration": relay.conf, "result": "good"}])

    def test_checking_writes_nothing(self):
        relay = self.relay({"plain": {"tls": "none", "auth": "off"}})
        relay.ctl("check")
        self.assertEqual(sorted(os.listdir(relay.directory)), ["conf.d"])


class Commands(Ctl):
    def test_no_relay_is_running(self):
        relay = self.relay_with_user()
        for words in (["status"], ["queue", "list"], ["trace", "6C3KN7EXW2G00"], ["reload"]):
            done = relay.ctl(*words, check=False)
            self.assertEqual(done.returncode, ABSENT, done.stderr)
            self.assertIn("no relay is running", done.stderr)
            self.assertEqual(done.stdout, "")

    def test_usage(self):
        relay = self.relay_with_user()
        for words, said in (([], "Usage: posternctl"), (["--nonsense"], "Usage: posternctl"),
                            (["frobnicate"], 'there is no command "frobnicate"'),
                            (["user"], "Usage: posternctl user add ADDRESS\n"),
                            (["user"], " posternctl user passwd [--scram|--hash] ADDRESS\n"),
                            (["user", "frobnicate", USER], 'there is no command "user frobnicate"'),
                            (["user", "ad", USER], 'did you mean "user add"?'),
                            (["chekc"], 'there is no command "chekc"; did you mean "check"?'),
                            (["audit", "list", "99999999999999999999"], "is not a number of rows"),
                            (["trace"], "Usage: posternctl trace ID"),
                            (["user", "add"], "Usage: posternctl user add ADDRESS"),
                            (["user", "passwd"], "Usage: posternctl user passwd [--scram|--hash] ADDRESS"),
                            (["check", "a", "b"], "Usage: posternctl check [FOLDER]")):
            with self.subTest(words=words):
                done = relay.ctl(*words, check=False)
                self.assertEqual((done.returncode, done.stdout), (USAGE, ""), done.stderr)
                self.assertIn(said, done.stderr)

    def test_options_behind_the_command(self):
        relay = self.relay_with_user()
        done = relay.ctl("user", "list", "--json")
        self.assertEqual(json.loads(done.stdout), json.loads(relay.ctl("--json", "user", "list").stdout))
        done = relay.ctl("user", "add", "--help")
        self.assertEqual(done.stdout.splitlines()[0], "posternctl user add ADDRESS")
        self.assertEqual(done.stdout.count("posternctl "), 1)
        self.assertIn("posternctl user passwd [--scram|--hash] ADDRESS\n", relay.ctl("user", "--help").stdout)
        done = relay.ctl("frobnicate", "--help", check=False)
        self.assertEqual((done.returncode, done.stdout), (USAGE, ""))
        self.assertIn('there is no command "frobnicate"', done.stderr)

    def test_a_mistyped_command_is_no_fault_of_the_configuration(self):
        """Without a good one, and with a module that cannot be loaded: then it might be that one's, so both are said."""
        done = self.ctl("-c", "/nonexistent", "chekc")
        self.assertEqual((done.returncode, done.stderr),
                         (USAGE, 'posternctl: there is no command "chekc"; did you mean "check"? see posternctl --help\n'))
        done = self.ctl("-c", "/nonexistent", "-m", f"{self.builddir}/tests/modules/.libs", "chekc")
        self.assertEqual(done.returncode, REFUSED)
        self.assertIn('there is no command "chekc"', done.stderr)
        self.assertIn("/nonexistent", done.stderr)
        done = self.ctl("-c", "/nonexistent", "user", "passwd", USER)  # a module's: its configuration is needed
        self.assertEqual(done.returncode, REFUSED)
        self.assertNotIn("there is no command", done.stderr)
        relay = self.relay({"plain": {"tls": "none", "auth": "off"}})
        done = relay.ctl("user", "passwd", USER, check=False)
        self.assertEqual(done.returncode, REFUSED)
        self.assertIn("a command of module auth, which the pipeline does not have", done.stderr)

    def test_help_alone_lists_the_commands(self):
        done = self.ctl("-c", "/nonexistent", "help")
        self.assertEqual((done.returncode, done.stderr), (OK, ""))
        self.assertIn("queue list", done.stdout)

    def test_help_without_a_configuration(self):
        done = self.ctl("-c", "/nonexistent", "--help")
        self.assertEqual((done.returncode, done.stderr), (OK, ""))
        for words in ("check", "queue list", "user add ADDRESS", "Exit status"):
            self.assertIn(words, done.stdout)
        for name, option in (("relay", "state_directory: path; default /var/lib/postern"),
                             ("routes", "ca_file: path"), ("pipeline", "on_fault: one of defer"),
                             ("auth", "mechanisms: list, any of plain | login")):
            done = self.ctl("-c", "/nonexistent", "help", name)
            self.assertEqual((done.returncode, done.stderr), (OK, ""))
            self.assertIn(option, done.stdout)
        done = self.ctl("help", "nonsense")
        self.assertEqual(done.returncode, REFUSED)
        self.assertIn('no module "nonsense"', done.stderr)

    def test_order(self):
        relay = self.relay_with_user()
        rows = json.loads(relay.ctl("--json", "order").stdout)
        self.assertIn(("auth", "auth", "auth"), [(row["stage"], row["entry"], row["module"]) for row in rows])
        self.assertIn("STAGE", relay.ctl("order").stdout.upper())

    def test_status_and_trace(self):
        relay = self.relay({"plain": {"tls": "none", "auth": "off"}}).start()
        status = json.loads(relay.ctl("--json", "status").stdout)[0]
        self.assertEqual((status["accepted"], status["waiting"], status["generation"]), (0, 0, 1))
        self.assertEqual(status["pid"], relay.child("relay"))
        done = relay.ctl("trace", "6C3KN7EXW2G00", check=False)
        self.assertIn("relay.trace_memory", done.stderr)
        self.assertEqual(done.returncode, REFUSED)
        with smtplib.SMTP("127.0.0.1", relay.port("plain")) as client:
            client.sendmail("a@clinic.example", ["b@partner.example"], "Subject: x\r\n\r\nx\r\n")
        self.delivered(1)
        message_id = relay.log().split("=accepted id=")[1].split()[0]
        self.assertIn("from=a@clinic.example", relay.ctl("trace", message_id).stdout)
        lines = json.loads(relay.ctl("--json", "trace", message_id).stdout)
        self.assertIn("accepted", lines[0]["line"])

    def test_queue_list(self):
        relay = self.relay({"plain": {"tls": "none", "auth": "off"}},
                           [{"to": "smarthost", "host": "127.0.0.1:1", "tls": "none"}]).start()
        with smtplib.SMTP("127.0.0.1", relay.port("plain")) as client:
            client.sendmail("a@clinic.example", ["b@partner.example", "c@partner.example"], "Subject: x\r\n\r\nx\r\n")
        rows = json.loads(relay.ctl("--json", "queue", "list").stdout)
        self.assertEqual([(row["from"], row["to"]) for row in rows],
                         [("a@clinic.example", "b@partner.example"), ("a@clinic.example", "c@partner.example")])
        self.assertIn("1 messages, 2 recipients", relay.ctl("queue", "list").stdout)


class Users(Ctl):
    def setUp(self):
        super().setUp()
        # What was verified is not believed without a look at the database.
        self.server = self.relay_with_user(sections={"auth": {"recheck": "0s"}}).start()

    def users(self):
        return {row["user"]: row["enabled"] for row in json.loads(self.server.ctl("--json", "user", "list").stdout)}

    def login(self, password):
        with smtplib.SMTP_SSL("127.0.0.1", self.server.port("submissions"),
                              context=ssl._create_unverified_context()) as client:
            try:
                return client.login(USER, password)[0]
            except smtplib.SMTPAuthenticationError as refused:
                return refused.smtp_code

    def refused(self, *words, said, **more):
        done = self.server.ctl(*words, check=False, **more)
        self.assertEqual(done.returncode, REFUSED, done.stdout + done.stderr)
        self.assertIn(said, done.stderr)
        self.assertTrue(done.stderr.startswith("posternctl: "), done.stderr)

    def test_the_life_of_a_user(self):
        self.assertEqual(self.users(), {USER: True})
        self.assertEqual(self.login(PASSWORD), 235)
        self.assertEqual(self.login("wrong"), 535)
        self.server.ctl("user", "disable", USER)
        self.assertEqual(self.users(), {USER: False})
        self.assertEqual(self.login(PASSWORD), 535)
        self.server.ctl("user", "enable", USER)
        self.assertEqual(self.login(PASSWORD), 235)
        self.server.ctl("user", "passwd", USER, stdin="another one\n")
        self.assertEqual(self.login("another one"), 235)
        self.assertEqual(self.login(PASSWORD), 535)
        self.server.ctl("user", "remove", USER)
        self.assertEqual(self.users(), {})
        self.assertEqual(self.login("another one"), 535)

    def test_refusals(self):
        self.refused("user", "add", USER, said="already")
        self.refused("user", "add", "not an address", said="not an address")
        for word in ("enable", "disable", "remove"):
            self.refused("user", word, "nobody@clinic.example", said="nobody@clinic.example")
        self.refused("user", "passwd", "nobody@clinic.example", stdin="secret words\n",
                     said="nobody@clinic.example")
        self.refused("user", "passwd", USER, stdin="", said="nothing was given")
        self.assertEqual(self.users(), {USER: True})
        self.assertEqual(self.login(PASSWORD), 235)
