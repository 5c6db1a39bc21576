# SPDX-License-Identifier: Apache-2.0
"""unpack.py - daemons out of Debian's packages, unpacked and never installed.

Installed, they would start themselves or push another of their kind out.
"""
import fcntl
import glob
import os
import shutil
import subprocess

from .proc import CannotRun


def _missing_libraries(deb):
    fields = subprocess.run(["dpkg-deb", "-f", deb, "Depends", "Pre-Depends"],
                            capture_output=True, text=True, check=True).stdout
    names = set()
    for line in fields.splitlines():
        for choice in line.partition(":")[2].split(","):
            names.add(choice.split("|")[0].split("(")[0].strip())
    for name in sorted(n for n in names if n.startswith("lib")):
        state = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", name],
                               capture_output=True, text=True)
        if "install ok installed" not in state.stdout:
            yield name


def _download(package, directory):
    done = subprocess.run(["apt-get", "download", "-q", package], cwd=directory,
                          capture_output=True, text=True)
    found = sorted(glob.glob(os.path.join(directory, f"{package}_*.deb")))
    if done.returncode != 0 or not found:
        raise CannotRun(f"apt-get download {package}: {done.stderr.strip()[-300:]}")
    return found[-1]


def unpack(builddir, package):
    """BUILDDIR/unpacked/PACKAGE, with the libraries it lacks here, made at the first call and kept."""
    if not shutil.which("dpkg-deb") or not shutil.which("apt-get"):
        raise CannotRun(f"{package} is unpacked from a Debian package, and this is not Debian")
    top = os.path.join(os.path.abspath(builddir), "unpacked")
    root, packages = os.path.join(top, package), os.path.join(top, "packages", package)
    os.makedirs(packages, exist_ok=True)
    with open(os.path.join(top, f"{package}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(os.path.join(root, ".complete")):
            return root
        shutil.rmtree(root, ignore_errors=True)
        wanted = [package]
        while wanted:
            deb = _download(wanted.pop(), packages)
            subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
            have = {os.path.basename(p).split("_")[0] for p in glob.glob(packages + "/*.deb")}
            wanted += [name for name in _missing_libraries(deb) if name not in have]
        open(os.path.join(root, ".complete"), "w").close()
    return root


def libraries(root, *more):
    """What LD_LIBRARY_PATH must say for a program below `root`."""
    folders = [os.path.join(root, path) for path in
               (*more, "usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu",
                "lib/aarch64-linux-gnu")]
    return ":".join(filter(os.path.isdir, folders))


def mechanisms(builddir):
    """What SASL_PATH must say for a program that logs in by Cyrus SASL."""
    return next(iter(glob.glob(os.path.join(unpack(builddir, "libsasl2-modules"), "usr/lib/*/sasl2"))))
