# SPDX-License-Identifier: Apache-2.0
"""dovecot.py - a private Dovecot that takes mail by LMTP, unpacked from Debian's packages.

    with Dovecot(directory, builddir, users={"bo@store.example": "", "full@store.example": "1K"}) as store:
        ... store.port, store.socket
        store.messages("bo@store.example")

The value of a user is his quota, "" for none. With `passwords` its auth service, at store.auth, knows
these users, else it takes any password. Root runs it with mail of the user `news`, an ordinary
user with mail of his own. Ends only processes that it started.
"""
import grp
import os
import pathlib
import pwd
import subprocess

from . import proc
from .proc import CannotRun, Failed
from .unpack import libraries, unpack

CONFIGURATION = """\
protocols = lmtp
listen = 127.0.0.1
base_dir = {here}/run
state_dir = {here}/state
log_path = {here}/log
libexec_dir = {core}/usr/lib/dovecot
mail_plugin_dir = {core}/usr/lib/dovecot/modules
default_internal_user = {internal}
default_internal_group = {group}
default_login_user = {login}
first_valid_uid = 1
mail_location = maildir:{here}/mail/%u
mail_plugins = quota
postmaster_address = postmaster@store.example
plugin {{
  quota = maildir:quota
}}
passdb {{
  {passdb}
}}
userdb {{
  driver = passwd-file
  args = {here}/users
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service lmtp {{
  executable = {lmtp}/usr/lib/dovecot/lmtp
  inet_listener lmtp {{
    port = {port}
  }}
  unix_listener {socket} {{
    mode = 0666
  }}
}}
service auth {{
  chroot =
  unix_listener {auth} {{
    mode = 0666
  }}
}}
auth_failure_delay = 0
import_environment = LD_LIBRARY_PATH={libraries}
ssl = no
"""


class Dovecot:
    def __init__(self, directory, builddir, users, passwords=None):
        self.core, self.lmtp = unpack(builddir, "dovecot-core"), unpack(builddir, "dovecot-lmtpd")
        self.here, self.users = pathlib.Path(directory), users
        self.passwords = passwords
        self.socket, self.auth = str(self.here / "lmtp.sock"), str(self.here / "auth.sock")
        self.port = proc.free_port()
        self.process = None
        core = libraries(self.core, "usr/lib/dovecot", "usr/lib/dovecot/modules/old-stats")
        self.libraries = ":".join((str(self.here / "lib"), core, libraries(self.lmtp)))

    def _patch(self):
        """Its libraries look for modules where they were compiled to; a copy looks where we are."""
        (self.here / "lib").mkdir(exist_ok=True)
        for source in pathlib.Path(self.core, "usr/lib/dovecot").glob("libdovecot*.so.0"):
            compiled = b"/usr/lib/dovecot/modules\0"
            there = b"modules".ljust(len(compiled), b"\0")  # in the working folder of its services
            (self.here / "lib" / source.name).write_bytes(source.read_bytes().replace(compiled, there))
        (self.here / "run" / "modules").symlink_to(os.path.join(self.core, "usr/lib/dovecot/modules"))

    def _write(self):
        root = os.geteuid() == 0
        owner = pwd.getpwnam("news") if root else pwd.getpwuid(os.geteuid())
        group = grp.getgrgid(owner.pw_gid).gr_name
        for name in ("run", "state", "mail"):
            (self.here / name).mkdir(parents=True, exist_ok=True)
        self._patch()
        if root:
            os.chown(self.here / "mail", owner.pw_uid, owner.pw_gid)
        (self.here / "users").write_text("".join(
            f"{user}::{owner.pw_uid}:{owner.pw_gid}::{self.here}/mail/{user}::"
            f"{'userdb_quota_rule=*:storage=' + quota if quota else ''}\n"
            for user, quota in self.users.items()))
        (self.here / "passwords").write_text("".join(
            f"{user}:{{PLAIN}}{password}\n" for user, password in (self.passwords or {}).items()))
        passdb = ("driver = static\n  args = nopassword=y" if self.passwords is None else
                  f"driver = passwd-file\n  args = {self.here}/passwords")
        (self.here / "dovecot.conf").write_text(CONFIGURATION.format(
            here=self.here, core=self.core, lmtp=self.lmtp, port=self.port, socket=self.socket,
            internal=owner.pw_name, group=group, login="uucp" if root else owner.pw_name,
            libraries=self.libraries, passdb=passdb, auth=self.auth))

    def start(self):
        self.here.mkdir(parents=True, exist_ok=True)
        for path in (self.core, self.lmtp, self.here):
            closed = proc.reachable_by_others(path)
            if closed and os.geteuid() == 0:
                raise CannotRun(f"Dovecot's user cannot reach {path}: {closed} is closed")
        self._write()
        # What dovecot does at its start, which looks for doveconf in /usr/bin.
        self.process = subprocess.Popen(
            [os.path.join(self.core, "usr/bin/doveconf"), "-f", "service=master", "-c",
             self.here / "dovecot.conf", "-m", "master", "-e", os.path.join(self.core, "usr/sbin/dovecot"),
             "-F", "-c", self.here / "dovecot.conf"],
            env=dict(os.environ, LD_LIBRARY_PATH=self.libraries), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=open(self.here / "stderr", "wb"), start_new_session=True)
        try:
            proc.wait_listening(self.port, self.process)
        except Failed as problem:
            self.stop()
            raise Failed(f"Dovecot: {problem}\n{self.log()[-2000:]}")
        return self

    def stop(self):
        if self.process:
            proc.end(self.process)
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exception):
        self.stop()

    def log(self):
        return "".join(path.read_text(errors="replace")
                       for path in (self.here / "stderr", self.here / "log") if path.exists())

    def messages(self, user):
        """The user's mail as bytes."""
        new = self.here / "mail" / user / "new"
        return [path.read_bytes() for path in sorted(new.iterdir())] if new.is_dir() else []
