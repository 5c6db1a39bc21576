# SPDX-License-Identifier: Apache-2.0
"""Permissions (SPEC R13): docs/permissions.md is true, and what is open is refused, by name and with what mends it."""
import glob
import os
import pathlib
import re
import shlex
import smtplib
import stat
import subprocess

from tests.lib.case import TREE, RelayCase


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def table():
    """Rows of the table as lists of cells."""
    text = (TREE / "docs" / "permissions.md").read_text()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()
            if line.startswith("| ")][1:]


class Permissions(RelayCase):
    def make(self, **more):
        return self.relay({"plain": {"tls": "none", "auth": "off"}}, **more)

    def send(self, relay):
        with smtplib.SMTP("127.0.0.1", relay.port("plain"), timeout=60) as client:
            client.sendmail("a@clinic.example", ["b@partner.example"], "Subject: x\r\n\r\nx\r\n")
        self.delivered(1)

    def refused(self, relay, text):
        """Neither starts nor checks, and both say so; gives the command that is to mend it."""
        done = relay.ctl("check", check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("in permissions", done.stderr)
        started = subprocess.run([relay.programs.posternd, "-c", relay.conf, "-m", relay.programs.modules],
                                 capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(started.returncode, 1)
        for said in (done.stderr, started.stderr):
            self.assertIn(text, said)
        return re.search(r'"(ch\w+ [^"]+)" mends that', done.stderr)[1]

    def test_what_a_relay_makes_is_what_the_table_says(self):
        metrics = os.path.join(self.directory, "metrics")
        relay = self.relay({"plain": {"tls": "none", "auth": "off"}},
                           relay={"metrics": {"listen": f"unix:{metrics}"}})
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        relay.start()
        self.send(relay)
        own = os.stat(os.path.join(relay.state, "postern.db")).st_uid     # the relay has made it
        found = {"socket of a `unix:` address": metrics, "folders of a maildir": str(self.mail),
                 "messages in it": str(next((self.mail / "new").iterdir()))}
        rows = [row for row in table() if row[3] == "posternd"]
        self.assertGreater(len(rows), 8)
        for what, told, owner, _, _ in rows:
            path = found.get(what) or what.strip("`").replace("STATE", relay.state).replace("RUN", relay.run)
            paths = glob.glob(path)
            self.assertTrue(paths, what)
            for one in paths:
                self.assertEqual(f"{mode(one):04o}", told, one)
                self.assertEqual(os.stat(one).st_uid, own if owner == "relay's user" else os.geteuid(), one)
        self.assertEqual(relay.ctl("check").returncode, 0)

    def test_what_is_open_is_refused_and_mended(self):
        relay = self.make()
        relay.start()
        self.send(relay)
        relay.stop()
        spool = os.path.join(relay.state, "spool")
        segment = glob.glob(os.path.join(spool, "*.seg"))[0]
        database = os.path.join(relay.state, "postern.db")
        conf = os.path.join(relay.conf, "test.yaml")
        cases = [(relay.state, 0o720, 0), (relay.state, 0o702, 0), (relay.run, 0o777, 0), (spool, 0o750, 0o711),
                 (segment, 0o644, 0o711), (database, 0o604, 0o711), (relay.conf, 0o757, 0), (conf, 0o666, 0)]
        for path, wrong, state in cases:
            with self.subTest(path=path, wrong=oct(wrong)):
                right = mode(path)
                if state:
                    os.chmod(relay.state, state)
                os.chmod(path, wrong)
                command = self.refused(relay, f"{path}: mode {wrong:04o}: ")
                subprocess.run(shlex.split(command), check=True)
                self.assertEqual(relay.ctl("check").returncode, 0)
                os.chmod(path, right)
                os.chmod(relay.state, 0o700)
        os.chmod(segment, 0o644)                        # nobody gets that far
        self.assertEqual(relay.ctl("check").returncode, 0)
        relay.start()

    def test_modules_that_everybody_may_change(self):
        modules = pathlib.Path(self.directory, "modules")
        modules.mkdir()
        os.chmod(modules, 0o755)
        (modules / "own.so").write_bytes(b"")
        relay = self.make()
        relay.programs.modules += f":{modules}"
        for path, right in ((modules, 0o755), (modules / "own.so", 0o644)):
            os.chmod(path, 0o777)
            command = self.refused(relay, f"{path}: mode 0777: everybody may change it; ")
            self.assertEqual(command, f"chmod o-w {path}")
            os.chmod(path, right)
        self.assertEqual(relay.ctl("check").returncode, 0)

    def test_somebody_elses_folder(self):
        if os.geteuid() != 0:
            self.skipTest("only root can give a folder away")
        relay = self.make(relay={"user": "root"})
        os.makedirs(relay.state, 0o700)
        os.chown(relay.state, 4242, 4242)
        command = self.refused(relay, f"{relay.state}: belongs to user 4242, and neither to root")
        subprocess.run(shlex.split(command), check=True)
        relay.start()

    def test_somebody_elses_folder_where_no_user_is_named(self):
        """Who will start posternd is not known to posternctl; it may be the owner."""
        if os.geteuid() != 0:
            self.skipTest("only root can give a folder away")
        relay = self.make()
        os.makedirs(relay.state, 0o700)
        os.chown(relay.state, 4242, 4242)
        self.assertEqual(relay.ctl("check").returncode, 0)
        started = subprocess.run([relay.programs.posternd, "-c", relay.conf, "-m", relay.programs.modules],
                                 capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(started.returncode, 1)
        self.assertIn("belongs to user 4242", started.stderr)

    def test_as_an_ordinary_user(self):
        """Who asks may not look into the state folder: that is no fault; what can be seen is."""
        if os.geteuid() != 0:
            self.skipTest("only root can become somebody else; the other tests have run as one")
        relay = self.make()
        relay.start()
        relay.stop()
        os.chmod(relay.run, 0o757)
        words = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", relay.programs.posternctl,
                 "-c", relay.conf, "-m", relay.programs.modules, "check"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        if "ermission denied" in done.stderr and relay.user:
            self.skipTest(relay.note)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{relay.run}: mode 0757: ", done.stderr)
        os.chmod(relay.run, 0o755)
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
