# SPDX-License-Identifier: Apache-2.0
"""What `make install` puts where, that it runs from there, and that strangers can build a module."""
import functools
import os
import pathlib
import re
import shutil
import smtplib
import subprocess
import tempfile
import unittest

from tests.lib.case import TREE, RelayCase
from tests.lib.certificates import certificate
from tests.lib.postern import Relay


def make(builddir, *words):
    done = subprocess.run(["make", "-s", "-C", builddir, *words], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False)
    if done.returncode != 0:
        raise AssertionError(f"make {' '.join(words)}: {done.stdout}")
    return done.stdout


@functools.cache
def installed(builddir):
    """A folder into which all is installed, once; each test has a copy."""
    folder = tempfile.mkdtemp(prefix="postern-test-", dir="/var/tmp")
    unittest.addModuleCleanup(shutil.rmtree, folder, ignore_errors=True)
    os.chmod(folder, 0o755)
    make(builddir, "install", f"DESTDIR={folder}")
    return folder


class Installed(RelayCase):
    def setUp(self):
        super().setUp()
        self.dest = pathlib.Path(self.directory, "dest")
        shutil.copytree(installed(self.builddir), self.dest, symlinks=True)
        self.prefix = next(self.dest.rglob("sbin/posternd")).parent.parent
        self.modules = next(self.dest.rglob("postern/modules"))
        self.installed_conf = next(self.dest.rglob("postern/conf.d"))

    def install(self):
        return make(self.builddir, "install", f"DESTDIR={self.dest}")

    def files(self):
        return {str(path.relative_to(self.prefix)) for path in self.prefix.rglob("*") if path.is_file()}

    def relay(self, listeners, routes=None, **more):
        routes = routes or [{"to": "maildir", "path": str(self.mail)}]
        relay = Relay(os.path.join(self.directory, "relay"), self.prefix, listeners, routes, **more)
        relay.programs.modules = str(self.modules)
        self.addCleanup(relay.stop)
        return relay


class Install(Installed):
    def test_files(self):
        modules = {f"lib/postern/modules/{path.stem}.so"
                   for path in (pathlib.Path(self.builddir) / "modules").glob("*.la")}
        headers = {f"include/postern/{path.name}" for path in (TREE / "api" / "postern").glob("*.h")}
        conf = {f"etc/postern/conf.d/{path.name}" for path in (TREE / "conf.d").glob("*.yaml")}
        wanted = modules | headers | conf | {"sbin/posternd", "bin/posternctl", "lib/pkgconfig/postern.pc",
                                            "lib/systemd/system/postern.service", "lib/systemd/system/postern.socket"}
        self.assertIn("lib/postern/modules/auth.so", modules)
        self.assertEqual(wanted - self.files(), set())
        self.assertEqual({name for name in self.files() - wanted if not name.startswith("share/")}, set())

    def test_configuration_is_never_overwritten(self):
        mine = self.installed_conf / "10-pipeline.yaml"
        mine.write_text("pipeline: []\n")
        (self.installed_conf / "20-routes.yaml").unlink()
        (self.installed_conf / "20-routes.yaml").symlink_to("nowhere")
        self.assertIn("10-pipeline.yaml is there and stays", self.install())
        make(self.builddir, "uninstall", f"DESTDIR={self.dest}")
        self.assertEqual(mine.read_text(), "pipeline: []\n")
        self.assertEqual(os.readlink(self.installed_conf / "20-routes.yaml"), "nowhere")
        self.assertEqual({name for name in self.files() if not name.startswith("etc/")}, set())

    def test_runs_with_the_edited_default_configuration(self):
        listeners = {"submission": {"tls": "starttls"}, "submissions": {"tls": "implicit"}}
        relay = self.relay(listeners)
        cert, key = certificate(self.directory, "localhost")
        edits = {"*:587": f"127.0.0.1:{relay.port('submission')}",
                 "*:465": f"127.0.0.1:{relay.port('submissions')}",
                 "/etc/postern/tls/relay.pem": cert, "/etc/postern/tls/relay.key": key,
                 "/var/lib/postern": relay.state, "/run/postern": relay.run,
                 "# hostname: relay.example.com": "hostname: relay.example.com"}
        if relay.user:
            edits["# user: postern"] = f"user: {relay.user}"
        for path in self.installed_conf.glob("*.yaml"):
            text = path.read_text()
            for before, after in edits.items():
                text = text.replace(before, after)
            path.write_text(text)
        relay.conf = str(self.installed_conf)
        with relay, smtplib.SMTP("127.0.0.1", relay.port("submission"), timeout=60) as client:
            self.assertIn(b"relay.example.com", client.ehlo()[1])
            self.assertEqual(relay.ctl("check").returncode, 0)


class Strangers(Installed):
    def pkg_config(self):
        """Flags as an author on that machine gets them; the sysroot stands for the DESTDIR."""
        found = next(self.dest.rglob("postern.pc")).parent
        env = dict(os.environ, PKG_CONFIG_PATH=str(found), PKG_CONFIG_SYSROOT_DIR=str(self.dest))
        done = subprocess.run(["pkg-config", "--cflags", "postern"], env=env, check=True, text=True,
                              stdout=subprocess.PIPE)
        return done.stdout.split()

    def build_module(self, folder, name):
        """With nothing but what is installed, and every warning an error."""
        subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-shared", "-fPIC",
                        *self.pkg_config(), "-o", self.modules / f"{name}.so", f"{name}.c"], cwd=folder, check=True)

    def test_modules_of_the_guide(self):
        """Every whole file in docs/modules.md builds against the installed headers, and loads."""
        text = (TREE / "docs" / "modules.md").read_text()
        files = re.findall(r"```c\n(/\* ([a-z-]+)\.c .*?)```", text, re.S)
        self.assertTrue(files)
        for code, name in files:
            pathlib.Path(self.directory, f"{name}.c").write_text(code)
            self.build_module(self.directory, name)
            relay = self.relay({"plain": {"tls": "none", "auth": "off"}}, pipeline=[name],
                               sections={name: {"text": "Hello"}})
            with relay, smtplib.SMTP("127.0.0.1", relay.port("plain"), timeout=60) as client:
                client.sendmail("a@clinic.example", ["b@partner.example"], "Subject: x\r\n\r\nx\r\n")
                self.assertIn(b"X-Greeting: Hello", self.delivered(1)[0].splitlines())

    def test_module_from_outside_the_tree(self):
        outside = pathlib.Path(self.directory, "outside")
        outside.mkdir()
        shutil.copy(TREE / "tests" / "modules" / "stamper.c", outside)
        self.build_module(outside, "stamper")
        relay = self.relay({"plain": {"tls": "none", "auth": "off"}}, pipeline=["stamper"],
                           sections={"stamper": {"value": "from a stranger"}})
        with relay, smtplib.SMTP("127.0.0.1", relay.port("plain"), timeout=60) as client:
            client.sendmail("a@clinic.example", ["b@partner.example"], "Subject: x\r\n\r\nx\r\n")
            self.assertIn(b"X-Stamp: from a stranger", self.delivered(1)[0].splitlines())


class Closed(Installed):
    """Root's own folders are closed to others, such as nobody, as whom configurations are checked."""

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("only root's relay becomes another user")
        closed = pathlib.Path(self.directory, "closed")
        closed.mkdir(mode=0o700)
        self.modules = shutil.copytree(self.modules, closed / "modules")

    def relay_of(self, user):
        return self.relay({"plain": {"tls": "none", "auth": "off"}}, pipeline=["auth"], relay={"user": user})

    def test_closed_to_nobody(self):
        relay = self.relay_of("nobody")
        done = subprocess.run([relay.programs.posternd, "-c", relay.conf, "-m", self.modules], check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("auth.so: a folder on the way there is closed to user nobody; see relay.user",
                      done.stderr)

    def test_open_to_the_relays_user(self):
        with self.relay_of("root") as relay:
            self.assertEqual(relay.ctl("check").returncode, 0)
