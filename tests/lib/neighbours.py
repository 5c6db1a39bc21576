# SPDX-License-Identifier: Apache-2.0
"""neighbours.py - other people's mail servers, unpacked from Debian's packages and never installed,
and the recipes of docs/neighbours.md, so that what is tried is what the page says.

    with Exim(directory, builddir, recipe("exim-client", {"relay.clinic.example": "localhost"})) as exim: ...
    with Exim(directory, builddir) as exim:         without a recipe, all mail goes into a maildir
        exim.port, exim.messages(), exim.sessions(), exim.log()

Each runs in a room of its own (room.py). Ends only processes that it started.
"""
import os
import pathlib
import re
import shutil
import socket
import subprocess

from . import proc
from .proc import Failed
from .room import Room
from .unpack import libraries, mechanisms, unpack

PAGE = pathlib.Path(__file__).resolve().parent.parent.parent / "docs" / "neighbours.md"
OWNER = "postmen"  # of the maildirs


def recipe(name, changes):
    """The block of the page behind `<!-- tried: NAME -->`, with what its reader would put in."""
    found = re.search(rf"<!-- tried: {name} -->\n```\w*\n(.*?)```\n", PAGE.read_text(), re.DOTALL)
    if not found:
        raise Failed(f"{PAGE.name} has no recipe {name}")
    text = found[1]
    for old, new in changes.items():
        if old not in text:
            raise Failed(f"{PAGE.name}: {name} does not speak of {old}")
        text = text.replace(old, new)
    return text


class Neighbour:
    """What all have in common; a subclass says packages, users, places, how it is set and started."""

    PACKAGE = USERS = PLACES = SESSION = None

    def __init__(self, directory, builddir, client=None, trusted=None):
        self.here, self.builddir = pathlib.Path(directory), builddir
        self.root = unpack(builddir, self.PACKAGE)
        self.client = client
        self.port = proc.free_port()
        self.process = None
        for name in ("etc", "mail", "spool", "log", "run", "ssl/certs"):
            (self.here / name).mkdir(parents=True, exist_ok=True)
        if trusted:
            (self.here / "ssl/certs/ca-certificates.crt").write_bytes(pathlib.Path(trusted).read_bytes())
        self.room = Room(directory, type(self).__name__, [*self.USERS, OWNER], self.places())
        self.room.give(self.here / "mail", OWNER)
        self.environment = dict(os.environ, LD_LIBRARY_PATH=libraries(self.root))

    def places(self):
        return {}

    def start(self):
        for path in (self.root, self.here):
            closed = proc.reachable_by_others(path)
            if closed and os.geteuid() == 0:
                raise proc.CannotRun(f"the users of {self.PACKAGE} cannot reach {path}: {closed} is closed")
        self.write()
        with open(self.here / "stderr", "wb") as log:
            self.process = subprocess.Popen(
                self.room.command(*self.daemon()), env=self.environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True)
        try:
            proc.wait_listening(self.port, self.process)
        except Failed as problem:
            self.stop()
            raise Failed(f"{self.PACKAGE}: {problem}\n{self.log()[-3000:]}")
        return self

    def run(self, *command):
        """A program of the package, in the room."""
        done = subprocess.run(self.room.command(*command), env=self.environment, capture_output=True,
                              text=True, timeout=60)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}: {done.stderr}{done.stdout}")
        return done.stdout

    def stop(self):
        if self.process:
            family = set(proc.tree(self.process.pid)) - {self.process.pid}
            proc.end(self.process)
            subprocess.run([*self.room.owners, "kill", *map(str, family)], capture_output=True)
            proc.wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in family), 20,
                            f"the processes of {self.PACKAGE} leave")
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exception):
        self.stop()

    def _as_root(self, *command):
        """What the command says, of files of whatever owner."""
        return subprocess.run([*self.room.owners, *command], capture_output=True, check=True).stdout

    def log(self):
        return self._as_root("find", self.here / "stderr", self.here / "log", "-type", "f", "-exec", "cat", "{}",
                             "+").decode(errors="replace")

    def sessions(self):
        """How many connections its log knows."""
        return len(re.findall(self.SESSION, self.log()))

    def messages(self):
        """The maildir's files as bytes."""
        listing = self._as_root("find", self.here / "mail", "-path", "*/new/*", "-type", "f").decode().split()
        return [self._as_root("cat", path) for path in listing]


class Exim(Neighbour):
    PACKAGE, USERS = "exim4-daemon-light", ["Debian-exim"]
    SESSION = r"SMTP connection from \[127.0.0.1\].*TCP/IP connection count"
    HEAD = """\
exim_path = {program}
primary_hostname = exim.test
spool_directory = {here}/spool
log_file_path = {here}/log/%slog
pid_file_path = {here}/run/pid
log_selector = +smtp_connection +outgoing_port
keep_environment =
deliver_drop_privilege
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
disable_ipv6
host_lookup =
acl_smtp_rcpt = accept
tls_advertise_hosts =
domainlist local_domains =
"""
    SINK = """\
begin routers
all:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  directory = {here}/mail
  maildir_format
"""
    # It waits for flush(): one run of the queue is what reuses a connection.
    QUEUE = "queue_only\n"

    def places(self):
        return {"/var/lib": "lib"}

    def write(self):
        self.program = os.path.join(self.root, "usr/sbin/exim4")
        # Where Debian's Exim looks by itself; with -C it would deliver without being root.
        (self.here / "lib/exim4").mkdir(exist_ok=True)
        words = {"program": self.program, "here": self.here, "port": self.port}
        (self.here / "lib/exim4/config.autogenerated").write_text(
            self.HEAD.format(**words) + (self.QUEUE + self.client if self.client else self.SINK.format(**words)))
        # All as one user, who needs no program with a set-user-ID bit.
        for name in ("spool", "log", "mail"):
            self.room.give(self.here / name, "Debian-exim")

    def daemon(self):
        return [self.program, "-bdf"]

    def hold(self):
        """Mail waits from here on (it always does)."""

    def flush(self):
        """What waits is sent."""
        self.run(self.program, "-qqf")


class OpenSMTPD(Neighbour):
    PACKAGE, USERS = "opensmtpd", ["opensmtpd", "opensmtpq"]
    SESSION = "smtp connected"
    SINK = """\
table users {{ "@" = "{owner}" }}
action "box" maildir "{here}/mail" virtual <users>
match from any for any action "box"
"""

    def places(self):
        (self.here / "lib/opensmtpd/empty").mkdir(parents=True, exist_ok=True)  # its chroot
        return {"/var/spool": "spool", "/run": "run", "/etc/ssl": "ssl", "/var/lib": "lib",
                "/usr/libexec": os.path.join(self.root, "usr/libexec")}

    def write(self):
        (self.here / "smtpd.conf").write_text(
            f"listen on 127.0.0.1 port {self.port} hostname smtpd.test\n" +
            (self.client or self.SINK.format(here=self.here, owner=OWNER)))

    def daemon(self):
        return [os.path.join(self.root, "usr/sbin/smtpd"), "-d", "-v", "-f", str(self.here / "smtpd.conf")]

    def _control(self, *words):
        """Installed, it would be of this group by its mode."""
        self.run("setpriv", "--regid", "opensmtpq", "--clear-groups",
                 os.path.join(self.root, "usr/sbin/smtpctl"), *words)

    def hold(self):
        self._control("pause", "mta")

    def flush(self):
        self._control("resume", "mta")


class Sendmail(Neighbour):
    """`client` is {"sendmail.mc": ..., name: text of a map ...}; the maps stand in /var/lib/mail.
    Without it, what it takes stays in its queue."""

    PACKAGE, USERS = "sendmail-bin", ["smmta", "smmsp"]
    SESSION = r"<<< EHLO "
    HEAD = """\
divert(-1)
define(`_CF_DIR_', `{templates}/')
include(`{templates}/m4/cf.m4')
divert(0)dnl
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `sendmail.test')dnl
define(`QUEUE_DIR', `/var/spool/mqueue')dnl
define(`confPID_FILE', `/var/lib/mail/pid')dnl
define(`STATUS_FILE', `')dnl
define(`HELP_FILE', `')dnl
undefine(`ALIAS_FILE')dnl
define(`confTRUSTED_USER', `smmta')dnl
define(`confLOG_LEVEL', `14')dnl
define(`confDONT_PROBE_INTERFACES', `true')dnl
define(`confSERVICE_SWITCH_FILE', `/var/lib/mail/switch')dnl
define(`confTO_IDENT', `0')dnl
define(`confREFUSE_LA', `10000')dnl
define(`confQUEUE_LA', `10000')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`nouucp', `reject')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`promiscuous_relay')dnl
FEATURE(`nocanonify')dnl
DAEMON_OPTIONS(`Name=MTA, Addr=127.0.0.1, Port={port}')dnl
LOCAL_CONFIG
ESASL_PATH=/var/lib/sasl2
"""
    def places(self):
        return {"/var/lib": "lib", "/var/spool": "spool", "/etc/ssl": "ssl"}

    def start(self):
        # It waits for a minute where the machine's name has no domain.
        hosts = self.here / "etc/hosts"
        hosts.write_text(f"127.0.0.1 relay.clinic.example localhost\n127.0.0.2 sendmail.test {socket.gethostname()}\n")
        self.room.binds += [str(hosts), "/etc/hosts"]
        return super().start()

    def write(self):
        # For its group it would give up LD_LIBRARY_PATH; here it needs nobody's rights but root's.
        os.chmod(self._command()[0], 0o755)
        templates = os.path.join(unpack(self.builddir, "sendmail-cf"), "usr/share/sendmail/cf")
        maps = dict(self.client or {})
        mc = maps.pop("sendmail.mc", "")
        # It believes no file below a folder that others may write to.
        shutil.copytree(mechanisms(self.builddir), self.here / "lib/sasl2")
        for name in ("lib/mail", "spool/mqueue"):
            (self.here / name).mkdir(exist_ok=True)
            (self.here / name).chmod(0o700)
        (self.here / "lib/mail/switch").write_text("hosts files\naliases files\npasswd files\n")
        head = self.HEAD.format(templates=templates, port=self.port)
        (self.here / "sendmail.mc").write_text(
            head + mc + "MAILER(`smtp')dnl\n")
        (self.here / "lib/mail/sendmail.cf").write_text(self.run("m4", str(self.here / "sendmail.mc")))
        for name, text in maps.items():
            (self.here / "lib/mail" / name).write_text(text)
            self.run("sh", "-c", f"{self.root}/usr/libexec/sendmail/makemap -C /var/lib/mail/sendmail.cf "
                                 f"hash /var/lib/mail/{name} < /var/lib/mail/{name}")

    def _command(self, *words):
        return [os.path.join(self.root, "usr/libexec/sendmail/sendmail"), "-C/var/lib/mail/sendmail.cf",
                f"-X{self.here}/log/talk", *words]

    def daemon(self):
        return self._command("-bD", "-odq")

    def hold(self):
        """Mail waits from here on (it always does)."""

    def flush(self):
        self.run(*self._command("-q"))

    def messages(self):
        """What it has taken waits in its queue, header and body apart."""
        found = []
        for path in self._as_root("find", self.here / "spool/mqueue", "-name", "qf*").decode().split():
            body = path.replace("/qf", "/df")
            found.append(re.sub(rb"(?m)^H\?\w*\?", b"", self._as_root("cat", path, body)))
        return found
