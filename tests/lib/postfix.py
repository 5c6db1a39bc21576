# SPDX-License-Identifier: Apache-2.0
"""postfix.py - a private Postfix, unpacked from Debian's package and never installed.

Postfix(directory, builddir, mode=...) makes an instance with its own queue, log and ports:
  mode="relay"    everything goes to `relayhost` ("127.0.0.1:PORT")
  mode="mx"       everything goes to its domain's mail exchangers, by /etc/resolv.conf
  mode="sink"     everything is delivered into one maildir, read by messages()
  mode="discard"  everything is accepted and thrown away
Root runs it directly, an ordinary user in a user namespace with a mapped range of ids (uidmap);
where neither works, CannotRun says why. Ends only processes that it started.
"""
import os
import subprocess

from . import proc
from .dovecot_auth import DovecotAuth
from .proc import CannotRun, Failed
from .room import several_owners
from .unpack import libraries, mechanisms, unpack

# Postfix insists on an owner of its own and a group that nobody else has. Debian's base-passwd
# gives these two to every system, and no other daemon of a small machine uses them.
MAIL_OWNER, SETGID_GROUP = "news", "uucp"

MASTER_CF = """\
{listeners}
cleanup    unix  n - n - 0 cleanup
qmgr       unix  n - n 300 1 qmgr
tlsmgr     unix  - - n 1000? 1 tlsmgr
rewrite    unix  - - n - - trivial-rewrite
bounce     unix  - - n - 0 bounce
defer      unix  - - n - 0 bounce
trace      unix  - - n - 0 bounce
verify     unix  - - n - 1 verify
flush      unix  n - n 1000? 0 flush
proxymap   unix  - - n - - proxymap
proxywrite unix  - - n - 1 proxymap
smtp       unix  - - n - - smtp
relay      unix  - - n - - smtp
showq      unix  n - n - - showq
error      unix  - - n - - error
retry      unix  - - n - - error
discard    unix  - - n - - discard
virtual    unix  - n n - - virtual
anvil      unix  - - n - 1 anvil
scache     unix  - - n - 1 scache
tlsproxy   unix  - - n - 0 tlsproxy
postlog    unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """One instance. `port` is the plain listener; with `sasl` (user, password), `submission_port`
    is another that wants STARTTLS (certificate in `tls`) and AUTH."""

    def __init__(self, directory, builddir, mode="sink", relayhost=None, main_cf="",
                 tls=None, sasl=None, process_limit="-"):
        if mode not in ("sink", "relay", "mx", "discard") or (mode == "relay") != bool(relayhost):
            raise ValueError("mode is sink, discard, mx or relay; a relay needs a relayhost")
        self.prefix = several_owners("Postfix")
        self.root = unpack(builddir, "postfix")
        self.directory = os.path.abspath(directory)
        self.mode, self.relayhost, self.extra = mode, relayhost, main_cf
        self.tls, self.sasl, self.process_limit = tls, sasl, process_limit
        self.queue = os.path.join(self.directory, "queue")
        self.inbox = os.path.join(self.directory, "mail", "inbox")
        self.port = proc.free_port()
        self.submission_port = proc.free_port() if sasl else None
        self.process = None
        self.auth = None
        self.libraries = libraries(self.root, "usr/lib/postfix")
        # With which it logs in as a client, should main_cf tell it to.
        self.mechanisms = mechanisms(builddir) if "smtp_sasl_auth_enable" in main_cf else ""
        self.environment = dict(os.environ, LD_LIBRARY_PATH=self.libraries,
                                MAIL_CONFIG=os.path.join(self.directory, "etc"))

    # -- configuration ------------------------------------------------------------------------
    def _settings(self):
        usr, here = os.path.join(self.root, "usr"), self.directory
        yield from {
            "compatibility_level": "3.6",
            "queue_directory": self.queue,
            "data_directory": os.path.join(here, "data"),
            "config_directory": os.path.join(here, "etc"),
            "meta_directory": os.path.join(self.root, "etc/postfix"),
            "command_directory": os.path.join(usr, "sbin"),
            "daemon_directory": os.path.join(usr, "lib/postfix/sbin"),
            "shlib_directory": os.path.join(usr, "lib/postfix"),
            "sendmail_path": os.path.join(usr, "sbin/sendmail"),
            "mailq_path": os.path.join(usr, "bin/mailq"),
            "newaliases_path": os.path.join(usr, "bin/newaliases"),
            "manpage_directory": os.path.join(usr, "share/man"),
            "html_directory": "no",
            "readme_directory": "no",
            "mail_owner": MAIL_OWNER,
            "setgid_group": SETGID_GROUP,
            "import_environment": f"MAIL_CONFIG LD_LIBRARY_PATH={self.libraries} SASL_PATH={self.mechanisms}",
            "maillog_file": os.path.join(here, "log/maillog"),
            "maillog_file_prefixes": os.path.join(here, "log"),
            "alias_maps": "",
            "alias_database": "",
            "mydestination": "",
            "local_recipient_maps": "",
            "myhostname": "postfix.test",
            "mynetworks": "127.0.0.0/8",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "disable_dns_lookups": "no" if self.mode == "mx" else "yes",
            "smtp_host_lookup": "dns" if self.mode == "mx" else "native",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
        }.items()
        if self.mode == "relay":
            host, _, port = self.relayhost.rpartition(":")
            yield "relayhost", f"[{host}]:{port}"
        elif self.mode == "discard":
            yield "default_transport", "discard:"
        elif self.mode == "sink":
            yield "default_transport", "virtual:"
            yield "virtual_mailbox_base", os.path.join(here, "mail")
            yield "virtual_mailbox_maps", "static:inbox/"
            yield "virtual_minimum_uid", "1"
            yield "virtual_uid_maps", "static:9"
            yield "virtual_gid_maps", "static:9"
        if self.tls:
            yield "smtpd_tls_chain_files", os.path.join(here, "etc/tls.pem")
            yield "smtpd_tls_security_level", "may"

    def _listeners(self):
        lines = [f"127.0.0.1:{self.port} inet n - n - {self.process_limit} smtpd"]
        if self.sasl:
            lines += [f"127.0.0.1:{self.submission_port} inet n - n - {self.process_limit} smtpd",
                      "  -o smtpd_tls_security_level=encrypt",
                      "  -o smtpd_sasl_auth_enable=yes",
                      "  -o smtpd_sasl_type=dovecot",
                      "  -o smtpd_sasl_path=unix:../auth",
                      "  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject"]
        return "\n".join(lines)

    def _write(self):
        etc = os.path.join(self.directory, "etc")
        for name in ("etc", "log", "mail", "queue", "data"):
            os.makedirs(os.path.join(self.directory, name), exist_ok=True)
        with open(os.path.join(etc, "main.cf"), "w") as file:
            file.writelines(f"{key} = {value}\n" for key, value in self._settings())
            file.write(self.extra)
        with open(os.path.join(etc, "master.cf"), "w") as file:
            file.write(MASTER_CF.format(listeners=self._listeners()))
        if self.tls:
            pem = os.path.join(etc, "tls.pem")
            with open(pem, "w", opener=lambda p, f: os.open(p, f, 0o600)) as file:
                for part in (self.tls[1], self.tls[0]):
                    with open(part) as source:
                        file.write(source.read())

    def _run(self, *command):
        done = subprocess.run(self.prefix + list(command), env=self.environment,
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}: {(done.stderr + done.stdout).strip()}")
        return done.stdout

    # -- life ---------------------------------------------------------------------------------
    def start(self):
        os.makedirs(self.directory, exist_ok=True)
        for path in (self.root, self.directory):
            closed = proc.reachable_by_others(path)
            if closed and not self.prefix:
                raise CannotRun(f"Postfix's own user cannot reach {path}: {closed} is closed")
        self._write()
        owned = [os.path.join(self.directory, name) for name in ("data", "mail")]
        self._run("chown", f"{MAIL_OWNER}:{MAIL_OWNER}", *owned)
        try:
            self._run(os.path.join(self.root, "usr/sbin/postfix"), "check")
        except Failed as problem:
            raise Failed(f"{problem}\n{self.log()[-2000:]}")
        if self.sasl:
            self.auth = DovecotAuth(os.path.join(self.directory, "auth"), *self.sasl)
            self.auth.start()
        # -s: in the foreground. What `postfix start-fg` runs, without the shell around it.
        self.process = subprocess.Popen(
            self.prefix + [os.path.join(self.root, "usr/lib/postfix/sbin/master"), "-s"],
            env=self.environment, cwd=self.queue, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        for port in filter(None, (self.port, self.submission_port)):
            try:
                proc.wait_listening(port, self.process)
            except Failed as problem:
                self.stop()
                raise Failed(f"Postfix: {problem}\n{self.log()[-2000:]}")
        return self

    def stop(self):
        if self.process:
            family = set(proc.tree(self.process.pid)) - {self.process.pid}
            proc.end(self.process)
            self._wait_gone(family)
            self.process = None
        if self.auth:
            self.auth.stop()
            self.auth = None

    @staticmethod
    def _wait_gone(family):
        """Postfix's daemons leave when the master is gone; those that do not are ended."""
        def alive():
            return [pid for pid in family if os.path.exists(f"/proc/{pid}")]
        try:
            proc.wait_until(lambda: not alive(), 10, "Postfix's daemons leave")
        except Failed:
            for pid in alive():
                os.kill(pid, 9)

    def remove(self):
        """Deletes the instance; its files belong to several users."""
        subprocess.run(self.prefix + ["rm", "-rf", self.directory], check=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exception):
        self.stop()

    # -- what came of it ----------------------------------------------------------------------
    @property
    def pid(self):
        return self.process.pid

    def log(self):
        try:
            with open(os.path.join(self.directory, "log/maillog"), errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def version(self):
        return self._run(os.path.join(self.root, "usr/sbin/postconf"), "-h", "mail_version").strip()

    def messages(self):
        """The maildir's files as bytes, in order of arrival (mode sink)."""
        folder = os.path.join(self.inbox, "new")
        listing = self._run("sh", "-c", '[ ! -d "$0" ] || ls -tr "$0"', folder).split()
        return [subprocess.run(self.prefix + ["cat", os.path.join(folder, name)], check=True,
                               capture_output=True).stdout for name in listing]

    def count(self):
        """How many messages are in the maildir (mode sink)."""
        folder = os.path.join(self.inbox, "new")
        return len(self._run("sh", "-c", '[ ! -d "$0" ] || ls "$0"', folder).split())
