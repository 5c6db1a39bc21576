# SPDX-License-Identifier: Apache-2.0
"""postern.py - a private Postern for tests and the benchmark.

    relay = Relay(directory, builddir,
                  listeners={"plain": {"tls": "none", "auth": "off"}},
                  routes=[{"to": "smarthost", "host": "127.0.0.1:2525", "tls": "none"}],
                  pipeline=["auth"], sections={"auth": {...}})
    relay.add_user("alice@example.com", "secret")
    relay.start()
    relay.port("plain")

Writes the configuration, chooses free ports, keeps stderr in a file, ends only what it started.
File("path") stands for `!file path`.
"""
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import proc
from .proc import CannotRun, Failed

# A unix socket's address is short, a build tree's path may be long.
SOCKET_PATH_MOST = 90


class File(str):
    """A value read from a file: `!file path`."""


def yaml(value, indent=0):
    """Plain data as YAML: block style outside, JSON's quoting for strings."""
    pad = "  " * indent
    if isinstance(value, dict):
        if not value:
            return " {}\n"
        return "\n" + "".join(f"{pad}{key}:{yaml(item, indent + 1)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        if not value:
            return " []\n"
        return "\n" + "".join(f"{pad}-{yaml(item, indent + 1)}" for item in value)
    if isinstance(value, File):
        return f" !file {json.dumps(str(value))}\n"
    if isinstance(value, bool):
        return " yes\n" if value else " no\n"
    if isinstance(value, (int, float)):
        return f" {value}\n"
    return f" {json.dumps(value, ensure_ascii=False)}\n"


def _find(builddir, name, *folders):
    for folder in folders:
        path = os.path.join(builddir, folder, name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise CannotRun(f"{name} is not built in {builddir}")


class Programs:
    """Where the build tree keeps what a running Postern needs."""

    def __init__(self, builddir):
        builddir = os.path.abspath(builddir)
        self.posternd = _find(builddir, "posternd", "core/master", "", "core", "sbin")
        self.posternctl = _find(builddir, "posternctl", "core/ctl", "", "core", "bin")
        folders = glob.glob(os.path.join(builddir, "modules", "*", ".libs"))
        folders += glob.glob(os.path.join(builddir, "modules", ".libs"))
        folders = [folder for folder in folders if glob.glob(os.path.join(folder, "*.so"))]
        self.modules = ":".join(sorted(folders)) or os.path.join(builddir, "modules")

    def has_module(self, name):
        return any(os.path.exists(os.path.join(folder, name + ".so"))
                   for folder in self.modules.split(":"))


class Relay:
    """One instance in `directory`. `listeners` maps names to their settings without name and
    address; `relay` adds to or replaces settings of the section of that name."""

    def __init__(self, directory, builddir, listeners, routes, pipeline=(), sections=None,
                 relay=None, tls=None):
        self.directory = os.path.abspath(directory)
        self.programs = Programs(builddir)
        self.listeners, self.routes = listeners, routes
        self.pipeline, self.sections = list(pipeline), sections or {}
        self.relay, self.tls = relay or {}, tls
        self.ports = {name: proc.free_port() for name in listeners}
        self.conf = os.path.join(self.directory, "conf.d")
        self.log_path = os.path.join(self.directory, "log")
        self.state = os.path.join(self.directory, "state")
        self.run = os.path.join(self.directory, "run")
        self.short_run = None
        self.process = None
        self.environment = {}  # for posternd, beside the test's own
        self.note = None
        os.makedirs(self.conf, exist_ok=True)
        if len(self.run) > SOCKET_PATH_MOST:
            self.short_run = tempfile.mkdtemp(prefix="postern-")
            self.run = os.path.join(self.short_run, "run")
            os.chmod(self.short_run, 0o755)
        self.user = self._user(builddir)
        self.write()

    def _user(self, builddir):
        """Root's tree may be closed to the user that the relay becomes; said, not hidden."""
        if os.geteuid() != 0:
            return None
        for path in (self.directory, os.path.abspath(builddir)):
            closed = proc.reachable_by_others(path)
            if closed:
                self.note = f"{closed} is closed to others, so the relay stays root"
                return "root"
        return None

    # -- configuration ------------------------------------------------------------------------
    def port(self, name):
        return self.ports[name]

    def settings(self):
        """The whole configuration as plain data."""
        relay = {
            "hostname": "postern.test",
            "state_directory": self.state,
            "run_directory": self.run,
            "listeners": [dict({"name": name, "address": f"127.0.0.1:{self.ports[name]}"}, **own)
                          for name, own in self.listeners.items()],
        }
        if self.user:
            relay["user"] = self.user
        if self.tls:
            relay["tls"] = {"certificate": self.tls[0], "key": File(self.tls[1])}
        relay.update(self.relay)
        # All clients of a test have one address, and some connect again and again.
        relay["limits"] = {"connections_per_minute": 0, **relay.get("limits", {})}
        return dict({"relay": relay, "routes": self.routes, "pipeline": self.pipeline},
                    **self.sections)

    def write(self):
        """Writes the configuration anew, for example before reload()."""
        with open(os.path.join(self.conf, "test.yaml"), "w") as file:
            file.write(yaml(self.settings()).lstrip("\n"))

    # -- posternctl ---------------------------------------------------------------------------
    def ctl(self, *arguments, stdin="", check=True):
        """Runs posternctl; gives the finished process, with stdout and stderr as text."""
        done = subprocess.run(
            [self.programs.posternctl, "-c", self.conf, "-m", self.programs.modules, *arguments],
            input=stdin, capture_output=True, text=True, timeout=2 * proc.PATIENCE_SECONDS)
        if check and done.returncode != 0:
            raise Failed(f"posternctl {' '.join(arguments)}: status {done.returncode}\n"
                         f"{done.stdout}{done.stderr}")
        return done

    def status(self):
        """What `posternctl status` says; None while no relay answers."""
        said = self.ctl("--json", "status", check=False)
        return json.loads(said.stdout)[0] if said.returncode == 0 else None

    def unsent(self):
        """How many messages wait or are under way, at one moment; None where that cannot be told yet."""
        status = self.status()
        return None if status is None or status["spool_loading"] else status["waiting"] + status["sending"]

    def queue_is_empty(self):
        """All of the spool is read, and nothing of it waits or is under way."""
        return self.unsent() == 0

    def all_is_noted(self):
        """The queue is empty, and the spool knows of it as well: of what is killed now nothing comes
        again. The notes of deliveries are written behind the queue's back, which on a slow disk is late."""
        status = self.status()
        return status is not None and not (status["spool_loading"] or status["waiting"] or status["sending"]
                                           or status["spool_live_bytes"])

    def add_user(self, address, password):
        self.ctl("user", "add", address)
        self.ctl("user", "passwd", address, stdin=password + "\n")

    # -- life ---------------------------------------------------------------------------------
    def command(self):
        return [self.programs.posternd, "-c", self.conf, "-m", self.programs.modules]

    def start(self, seconds=20):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(os.environ, **self.environment))
        try:
            self.wait_ready(seconds)
        except Failed as problem:
            self.stop()
            raise Failed(f"posternd: {problem}\n{self.log()[-3000:]}")
        return self

    def wait_ready(self, seconds=20):
        """Every listener answers, those that greet in clear text have greeted, posternctl is heard."""
        end = time.monotonic() + max(seconds, proc.PATIENCE_SECONDS)
        for name, port in self.ports.items():
            proc.wait_listening(port, self.process)
            if self.listeners[name].get("tls") != "implicit":
                self._wait_greeting(port, end, "proxy" in self.listeners[name])
        proc.wait_until(self._control_answers, max(end - time.monotonic(), 0.1), "the control socket answers")

    def _control_answers(self):
        with socket.socket(socket.AF_UNIX) as peer:
            return peer.connect_ex(os.path.join(self.run, "control")) == 0

    def _wait_greeting(self, port, end, proxied):
        """The master's socket takes connections before there is a relay to serve them."""
        while time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", port), 1) as peer:
                    peer.settimeout(max(end - time.monotonic(), 0.1))
                    if proxied:
                        peer.sendall(b"PROXY UNKNOWN\r\n")
                    if peer.recv(4)[:3] == b"220":
                        return
            except OSError:
                pass
            if self.process.poll() is not None:
                raise Failed(f"ended with status {self.process.returncode}")
            time.sleep(0.01)
        raise Failed(f"no greeting on port {port}")

    def stop(self, seconds=40):
        """SIGTERM, and force if that does not do; the master's exit status."""
        status = None
        if self.process:
            family = set(proc.tree(self.process.pid)) - {self.process.pid}
            # A relay may take half a minute to leave, and a sanitizer looks for leaks at the end.
            status = proc.end(self.process, max(seconds, 2 * proc.PATIENCE_SECONDS))
            proc.wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in family),
                            20, "the master's children leave with it")
            self.process = None
        if self.short_run:
            shutil.rmtree(self.short_run, ignore_errors=True)
        return status

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def child(self, role):
        """The pid of the master's child with that role ("relay"), or None."""
        for pid in proc.tree(self.process.pid):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            if f"--child={role}".encode() in words:
                return pid
        return None

    def kill_relay(self):
        """kill -9 of the relay process; its pid. The master starts another."""
        pid = proc.wait_until(lambda: self.child("relay"), 10, "there is a relay process")
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill_master(self):
        """kill -9 of the master; returns when its children have left as well."""
        family = set(proc.tree(self.process.pid)) - {self.process.pid}
        self.process.kill()
        self.process.wait()
        proc.wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in family),
                        20, "the master's children leave with it")
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exception):
        self.stop()

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        try:
            with open(self.log_path, errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""
