# SPDX-License-Identifier: Apache-2.0
"""openpgp.py - other people's OpenPGP programs in a home of their own: gpg, sq, rnp."""
import os
import pathlib
import shutil
import subprocess
import tempfile

KEYS = pathlib.Path(__file__).resolve().parent.parent / "data" / "openpgp"


class Gpg:
    """gpg with a short-lived home; its agent ends with it."""

    def __init__(self):
        self.home = tempfile.mkdtemp(prefix="pgp-", dir="/tmp")     # the agent's socket wants a short path
        self.environment = {"PATH": os.environ["PATH"], "GNUPGHOME": self.home, "LC_ALL": "C"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["gpgconf", "--kill", "all"], env=self.environment, capture_output=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def run(self, *arguments, give=b""):
        return subprocess.run(["gpg", "--batch", "--quiet", "--no-tty", "--trust-model", "always", *arguments],
                              input=give, capture_output=True, env=self.environment, check=True).stdout

    def load(self, name):
        self.run("--import", str(KEYS / name))

    def open(self, armoured):
        return self.run("--decrypt", give=armoured)

    def explain(self, armoured):
        """What gpg says while it decrypts."""
        return subprocess.run(["gpg", "--batch", "--no-tty", "-vv", "--decrypt"], input=armoured, capture_output=True,
                              env=self.environment, check=True).stderr.decode()

    def edit(self, fingerprint, *commands):
        subprocess.run(["gpg", "--no-tty", "--quiet", "--command-fd", "0", "--edit-key", fingerprint],
                       input="\n".join(commands).encode() + b"\n", env=self.environment, check=True,
                       capture_output=True)

    def make(self, *addresses, kind="ed25519/cv25519"):
        """A key pair with these addresses; the armoured public key."""
        primary, _, sub = kind.partition("/")
        self.run("--passphrase", "", "--quick-gen-key", f"<{addresses[0]}>", primary, "sign", "never")
        listed = self.run("--with-colons", "--list-keys", addresses[0]).decode()
        fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
        for address in addresses[1:]:
            self.run("--passphrase", "", "--quick-add-uid", fingerprint, f"<{address}>")
        self.run("--passphrase", "", "--quick-add-key", fingerprint, sub, "encr", "never")
        return fingerprint, self.run("--armor", "--export", fingerprint)


def dearmoured(armoured):
    return subprocess.run(["gpg", "--batch", "--dearmor"], input=armoured, capture_output=True, check=True).stdout


def packets(armoured):
    """gpg's words for the packets of a message."""
    with Gpg() as gpg:
        return subprocess.run(["gpg", "--batch", "--no-tty", "--list-packets"], input=armoured, capture_output=True,
                              env=gpg.environment).stdout.decode()


def sq_open(name, armoured, directory):
    path = pathlib.Path(directory, "sq.asc")
    path.write_bytes(armoured)
    return subprocess.run(["sq", "decrypt", "--recipient-key", str(KEYS / name), str(path)], capture_output=True,
                          check=True).stdout


def rnp_open(name, armoured):
    """Thunderbird's engine."""
    with tempfile.TemporaryDirectory(prefix="rnp-") as home:
        subprocess.run(["rnpkeys", "--homedir", home, "--import", str(KEYS / name)], capture_output=True, check=True)
        path = pathlib.Path(home, "message.asc")
        path.write_bytes(armoured)
        subprocess.run(["rnp", "--homedir", home, "--password", "", "--decrypt", str(path), "--output",
                        str(path) + ".out"], capture_output=True, check=True)
        return pathlib.Path(str(path) + ".out").read_bytes()
