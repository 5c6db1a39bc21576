# SPDX-License-Identifier: Apache-2.0
"""room.py - namespaces for daemons that want owners, or files at fixed places, which nobody installed.

    several_owners("Postfix")           what to put in front of a command so that it may change owners
    Room(directory, "Exim", users=["Debian-exim"], places={"/run": "run"}).command("exim4", "-bd")

In a room, and only there, the users exist and each place is a folder of the room's directory. A room
is a command's own: it ends with the command, and the machine never sees it.
"""
import os
import subprocess

from .proc import CannotRun

FIRST_ID = 901
ENTER = """\
while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit 71; shift 2; done
shift
exec "$@"
"""


def _try(who, command):
    try:
        # Asked first without a map: where namespaces are forbidden, --map-auto (util-linux 2.38)
        # leaves a helper behind that waits for ever and keeps our pipe open.
        for attempt in ([["unshare", "--user"]] if "--map-auto" in command else []) + [command]:
            tried = subprocess.run(attempt + ["true"], stdin=subprocess.DEVNULL, capture_output=True,
                                   text=True, timeout=60)
            if tried.returncode != 0:
                raise CannotRun(f"{who} needs several user ids or places of its own; run as root, or allow "
                                f"user namespaces and install uidmap: {tried.stderr.strip()}")
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise CannotRun(f"{who} needs several user ids, and unshare gives none: {problem}")
    return command


def several_owners(who):
    """What to put in front of a command so that it may change owners: nothing for root."""
    return [] if os.geteuid() == 0 else _try(who, ["unshare", "--map-auto", "--map-root-user"])


class Room:
    """`places` maps a folder of the machine to one of the room's, or to any absolute path."""

    def __init__(self, directory, who, users, places):
        self.directory = os.path.abspath(directory)
        unshare = [] if os.geteuid() == 0 else ["--map-auto", "--map-root-user"]
        self.unshare = ["unshare", *unshare, "--mount", "--propagation", "private"]
        self.owners = several_owners(who)
        self.binds = []
        os.makedirs(os.path.join(self.directory, "etc"), exist_ok=True)
        self._people("/etc/passwd", users, "{0}:x:{1}:{1}::/nonexistent:/bin/sh\n")
        self._people("/etc/group", users, "{0}:x:{1}:\n")
        for there, here in places.items():
            here = os.path.join(self.directory, here)
            os.makedirs(here, exist_ok=True)
            self.binds += [here, there]
        _try(who, self.command())

    def _people(self, path, users, form):
        with open(path) as file:
            lines = [line for line in file if line.split(":")[0] not in users]
        lines += [form.format(user, FIRST_ID + number) for number, user in enumerate(users)]
        here = os.path.join(self.directory, path[1:])
        with open(here, "w") as file:
            file.writelines(lines)
        self.binds += [here, path]

    def command(self, *command):
        """The command as it runs in the room; its process is the one that is started."""
        return [*self.unshare, "sh", "-c", ENTER, "room", *self.binds, "--", *command]

    def give(self, path, user):
        """The folder or file becomes the user's; the room knows who that is."""
        subprocess.run(self.command("chown", f"{user}:{user}", path), check=True, capture_output=True)

    def remove(self):
        """Deletes the room; its files belong to several users."""
        subprocess.run([*self.owners, "rm", "-rf", self.directory], check=True)
