# SPDX-License-Identifier: Apache-2.0
"""faults.py - faults that a running relay meets while a file stands in a folder (tests/shims/faults.c)."""
import os


class Faults:
    def __init__(self, directory, builddir):
        self.folder, self.builddir = os.path.join(directory, "faults"), builddir
        os.mkdir(self.folder)
        os.chmod(self.folder, 0o755)

    def preload(self, relay):
        """Into a relay that is not started yet."""
        relay.environment.update(
            LD_PRELOAD=os.path.join(self.builddir, "tests/shims/.libs/faults.so"), POSTERN_TEST_FAULTS=self.folder,
            ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")

    def put(self, name, text=""):
        path = os.path.join(self.folder, name)
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(text)
        os.rename(path + ".new", path)

    def end(self, name):
        os.unlink(os.path.join(self.folder, name))
