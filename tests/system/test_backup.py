# SPDX-License-Identifier: Apache-2.0
"""posternctl backup and restore: what a site needs to come back, and no backup that is not whole."""
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile

from tests.lib import proc
from tests.lib.case import PASSWORD, USER, RelayCase
from tests.lib.traffic import Load


class Backup(RelayCase):
    def setUp(self):
        super().setUp()
        self.file = os.path.join(self.directory, "backup.tar")
        self.server = self.relay_with_user()

    def backup(self, *words):
        return self.server.ctl("backup", *(words or (self.file,)))

    def restore(self, *words, check=True):
        return self.server.ctl("restore", *words, self.file, check=check)

    def users(self):
        return [row["user"] for row in json.loads(self.server.ctl("--json", "user", "list").stdout)]

    def members(self):
        with tarfile.open(self.file) as tar:
            return {member.name: (member, tar.extractfile(member).read()) for member in tar}

    def rewrite(self, change, manifest=None):
        """The backup again with members changed by `change(name, bytes)`, and with the manifest's facts."""
        members = self.members()
        with tarfile.open(self.file, "w") as tar:
            for name, (member, data) in members.items():
                if name == "MANIFEST.json":
                    data = json.dumps(dict(json.loads(data), **(manifest or {}))).encode()
                data = change(name, data)
                if data is not None:
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))

    def refused(self, *reasons):
        done = self.restore(check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        for reason in reasons:
            self.assertIn(reason, done.stderr)
        self.assertEqual(self.users(), [USER, "later@clinic.example"])

    def test_hot_then_all_gone(self):
        """Taken while mail and users come; then everything is lost, and comes back."""
        self.server.ctl("settings", "set", "auth", "enabled", "no", "--domain", "closed.example")
        self.server.start()
        load = Load(self.builddir, self.server.port("submission"), messages=100000000, sessions=4, starttls=True,
                    auth=f"{USER}:{PASSWORD}")
        self.addCleanup(proc.end, load.process)
        adding = subprocess.Popen(["sh", "-c", 'n=0; while [ ! -e "$0" ]; do n=$((n + 1)); "$@" "u$n@clinic.example" '
                                   '>/dev/null || exit 1; done', self.file, self.server.programs.posternctl, "-c",
                                   self.server.conf, "-m", self.server.programs.modules, "user", "add"])
        self.addCleanup(proc.end, adding)
        proc.wait_until(lambda: "u1@clinic.example" in self.users(), 30, "users come")
        told = self.backup()
        self.assertEqual(adding.wait(60), 0)
        load.stop()
        load.finish(60)
        self.assertIn(str(self.server.tls[1]), told.stderr)  # what is not in it
        self.assertEqual(os.stat(self.file).st_mode & 0o777, 0o600)
        manifest = json.loads(self.members()["MANIFEST.json"][1])
        self.assertEqual(sorted(manifest["files"]), ["config/test.yaml", "state/postern.db"])
        for name, facts in manifest["files"].items():
            data = self.members()[name][1]
            self.assertEqual((len(data), hashlib.sha256(data).hexdigest()), (facts["size"], facts["sha256"]))
        audit = json.loads(self.server.ctl("--json", "audit", "list").stdout)
        self.assertIn(("backup", self.file), [(row["action"], row["object"]) for row in audit])
        self.assertIn("a relay runs on this folder", self.restore(check=False).stderr)

        self.server.kill_master()
        shutil.rmtree(self.server.state)
        shutil.rmtree(self.server.conf)
        rows = json.loads(self.server.ctl("--json", "restore", "--config", self.file).stdout)
        self.assertEqual((rows[0]["configuration_files"], rows[0]["missing"]), (1, []))
        self.assertTrue({USER, "u1@clinic.example"} <= set(self.users()))
        got = self.server.ctl("settings", "get", "auth", "--domain", "closed.example").stdout
        self.assertRegex(got, r"enabled +no")
        self.assertEqual(json.loads(self.server.ctl("--json", "audit", "list").stdout)[-1]["action"], "restore")
        self.server.start()
        again = Load(self.builddir, self.server.port("submission"), messages=5, sessions=1, starttls=True,
                     auth=f"{USER}:{PASSWORD}").finish(60)
        self.assertEqual(again["accepted"], 5, again)

    def test_the_database_before_is_kept(self):
        self.backup()
        self.server.ctl("user", "add", "later@clinic.example")
        self.restore("--check")
        self.assertEqual(self.users(), [USER, "later@clinic.example"])
        self.restore()
        self.assertEqual(self.users(), [USER])
        kept, = pathlib.Path(self.server.state).glob("postern.db.before-restore-*")
        os.rename(kept, os.path.join(self.server.state, "postern.db"))
        self.assertEqual(self.users(), [USER, "later@clinic.example"])
        self.assertIn("there is a configuration already", self.restore("--config", check=False).stderr)
        self.assertIn("there is such a file already", self.server.ctl("backup", self.file, check=False).stderr)

    def test_what_is_not_whole_is_refused(self):
        self.backup()
        self.server.ctl("user", "add", "later@clinic.example")
        whole = pathlib.Path(self.file).read_bytes()
        database = whole.index(b"SQLite format 3")

        def put(data):
            pathlib.Path(self.file).write_bytes(data)

        put(whole[:database] + b"s" + whole[database + 1:])
        self.refused("state/postern.db: is not what was backed up: its SHA-256")
        for length in (database + 5000, whole.index(b"MANIFEST.json"), 700, 0):
            put(whole[:length])
            self.refused(self.file, "")
        put(whole)
        self.rewrite(lambda name, data: data, {"format": 2})
        self.refused("of format 2, from a newer version of Postern")
        put(whole)
        self.rewrite(lambda name, data: None if name.startswith("config/") else data)
        self.refused("config/test.yaml: is missing")
        put(whole)
        with tarfile.open(self.file, "a") as tar:
            tar.addfile(tarfile.TarInfo("../evil"), io.BytesIO(b""))
        self.refused("../evil: stands behind MANIFEST.json")
        put(b"no backup at all" * 1000)
        self.refused(self.file)
        put(whole)
        self.restore()
        self.assertEqual(self.users(), [USER])

    def test_compressed(self):
        for ending, tool in ((".gz", ["gzip", "-t"]), (".zst", None)):
            self.file = os.path.join(self.directory, "small.tar" + ending)
            self.backup()
            if tool:
                subprocess.run([*tool, self.file], check=True)
            self.restore("--check")

    def test_full_disk(self):
        """A folder without room: no file under that name, nothing else left either."""
        small = os.path.join(self.directory, "small")
        os.mkdir(small)
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small],
                                               capture_output=True, check=False).returncode != 0:
            self.skipTest("no file system of a few pages can be mounted here")
        self.addCleanup(subprocess.run, ["umount", small], check=True)
        done = self.server.ctl("backup", os.path.join(small, "backup.tar"), check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "No space left|full")
        self.assertEqual(os.listdir(small), [])
