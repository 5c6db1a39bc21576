# SPDX-License-Identifier: Apache-2.0
"""S0-26: every shipped module stalls, faults and is killed in turn, at every stage at which it has a
hook. Nothing leaves that its on_fault does not allow, and a crash never costs a message."""
import base64
import glob
import os
import pathlib
import re
import shutil
import smtplib
import subprocess

from tests.lib import proc
from tests.lib.case import PASSWORD, TREE, USER, RelayCase

# What a module's hooks are only asked with.
SECTIONS = {"protection": {"protection": {"wanted": "always", "failure": "send-insecurely"}},
            "tls-only": {"protection": {"wanted": "always"}}}
SLOW = True
BEHIND = {"committed", "aborted", "outcome", "tick", "flush"}     # the client's reply does not wait for them


def stages():
    """Names and numbers, from the header."""
    enum = re.search(r"enum pn_stage \{(.*?)\};", (TREE / "api/postern/module.h").read_text(), re.S).group(1)
    names = re.findall(r"^\s*PN_STAGE_(\w+)", enum, re.M)
    return {name.lower(): number for number, name in enumerate(names) if name not in ("END", "COUNT")}


class Unruly(RelayCase):
    def setUp(self):
        super().setUp()
        self.compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if not self.compiler:
            self.skipTest("there is no C compiler")
        self.folder = os.path.join(self.directory, "modules")
        self.orders = os.path.join(self.directory, "orders")
        for path in (self.folder, self.orders):
            os.makedirs(path)
        os.chmod(self.folder, 0o755)
        os.chmod(self.orders, 0o777)
        self.order = os.path.join(self.orders, "now")
        self.number, self.subjects = 0, {}

    def shipped(self):
        """Names and files of all modules of the tree."""
        found = glob.glob(os.path.join(self.builddir, "modules", ".libs", "*.so"))
        found += glob.glob(os.path.join(self.builddir, "modules", "*", ".libs", "*.so"))
        return {os.path.basename(path)[:-3]: path for path in found}

    def wrap(self, name, real):
        """A module of the same name that does what the order says. Its stages and what it needs."""
        about = os.path.join(self.orders, name)
        subprocess.run([self.compiler, "-shared", "-fPIC", "-D_GNU_SOURCE", f"-I{TREE}/api",
                        f"-DNAME={name.replace('-', '_')}", f'-DREAL="{real}"', f'-DORDERS="{self.order}"',
                        f'-DABOUT="{about}"', str(TREE / "tests/modules/unruly.c"), "-o",
                        os.path.join(self.folder, name + ".so")], check=True)
        return about

    # -- one conversation ---------------------------------------------------------------------
    def converse(self, server):
        self.number += 1
        me, to = f"n{self.number}.example", f"bo{self.number}@example.net"
        with smtplib.SMTP("127.0.0.1", server.port("plain"), me, timeout=60) as client:
            code, text = client.ehlo()
            if code != 250:
                raise smtplib.SMTPHeloError(code, text)
            plain = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
            code, text = client.docmd("AUTH", f"PLAIN {plain}")     # login() would try another mechanism
            if code != 235:
                raise smtplib.SMTPAuthenticationError(code, text)
            code, text = client.mail(USER)
            if code != 250:
                raise smtplib.SMTPSenderRefused(code, text, USER)
            client.docmd("RSET")
            client.sendmail(USER, [to], f"Subject: {self.number}\r\nMessage-ID: <{self.number}@x>\r\n\r\nText\r\n")

    def talk(self, server):
        """250, the code of the first refusal, or None where the connection broke."""
        try:
            self.converse(server)
        except smtplib.SMTPRecipientsRefused as refused:
            return next(iter(refused.recipients.values()))[0]
        except smtplib.SMTPResponseException as refused:
            return refused.smtp_code
        except (smtplib.SMTPServerDisconnected, OSError):
            return None
        return 250

    def arrived(self):
        """How many different messages: what is delivered when the relay is killed, and not yet noted, is
        rightly delivered again."""
        new = self.mail / "new"
        for path in new.iterdir() if new.is_dir() else ():
            if path.name not in self.subjects:
                self.subjects[path.name] = re.search(rb"^Subject: (\d+)", path.read_bytes(), re.M)[1]
        return len(set(self.subjects.values()))

    def copies(self):
        """How many came a second time."""
        return len(self.subjects) - self.arrived()

    def expect_arrived(self, count):
        proc.wait_until(lambda: self.arrived() >= count, 20, f"{count} messages arrive")
        self.assertEqual(self.arrived(), count)

    # -- one order ----------------------------------------------------------------------------
    def give_order(self, server, stage, what, on_fault):
        """What the client heard; how many messages have arrived is checked."""
        before, copies, pid = self.arrived(), self.copies(), server.child("relay")
        with open(self.order, "w") as file:
            file.write(f"{stages()[stage]} {what}\n")
        os.chmod(self.order, 0o666)
        heard = self.talk(server)
        taken = not os.path.exists(self.order)
        if not taken and stage in BEHIND:
            proc.wait_until(lambda: not os.path.exists(self.order) or stage == "tick", 20, "the hook runs")
            taken = not os.path.exists(self.order)
        if not taken:
            os.unlink(self.order)
            self.assertEqual(heard, 250, "nothing was wrong")
            print(f"    {stage}: the conversation does not come there", flush=True)
        if taken and what == "kill":
            proc.wait_until(lambda: server.child("relay") not in (None, pid), 20, "another relay")
            server.wait_ready()
            server.ctl("reload")         # or an entry that crashes at every stage is given up
        if stage in BEHIND:
            self.assertIn(heard, (250, None))
        elif taken:
            self.check_refused(heard, what, on_fault)
        if heard is None and stage in BEHIND:
            before = max(before, self.settled())
        else:
            before += heard == 250
        self.expect_arrived(before)
        self.assertEqual(self.talk(server), 250, "afterwards all is as before")
        self.expect_arrived(before + 1)
        if what == "kill":
            proc.wait_until(server.all_is_noted, 60, "nothing comes a second time any more")
        else:
            self.assertEqual(self.copies(), copies, "came twice without a kill")

    def settled(self):
        """The connection broke behind the acceptance: the message may have been taken or not."""
        proc.wait_until(self.server.queue_is_empty, 20, "the queue is empty")
        return self.arrived()

    def check_refused(self, heard, what, on_fault):
        if what == "kill":
            self.assertTrue(heard is None or 400 <= heard < 500, heard)
        elif on_fault == "reject":
            self.assertTrue(500 <= heard < 600, heard)
        else:
            self.assertTrue(heard is not None and 400 <= heard < 500, heard)

    def run_module(self, name, about):
        words = dict(line.split(" ", 1) for line in pathlib.Path(about).read_text().splitlines())
        mine = {int(number) for number in words["stages"].split()}
        for on_fault in ("defer", "reject"):
            entry = {name: {"on_fault": on_fault, "timeout": "2s", "concurrency": 50}}
            before = [other for other in dict.fromkeys(["auth", *words["needs"].split()]) if other != name]
            self.server.pipeline = [*before, entry]
            self.server.sections = SECTIONS.get(name, {})
            self.server.write()
            self.server.ctl("reload")
            for stage, number in stages().items():
                # A flush that stalls, the last, keeps the next ones away until it returns.
                for what in ("fault", "kill", "stall") if number in mine and on_fault == "defer" else \
                        ("fault", "stall") if number in mine and stage not in BEHIND else ():
                    with self.subTest(module=name, stage=stage, what=what, on_fault=on_fault):
                        print(f"  {name} {stage} {what} ({on_fault})", flush=True)
                        self.give_order(self.server, stage, what, on_fault)

    def test_each_module_in_turn(self):
        shipped = self.shipped()
        self.assertIn("auth", shipped)
        about = {name: self.wrap(name, real) for name, real in shipped.items()}
        self.server = self.relay({"plain": {"tls": "none", "auth": "required", "auth_without_tls": True}},
                                 pipeline=["auth"])
        self.server.programs.modules = f"{self.folder}:{self.server.programs.modules}"
        self.server.add_user(USER, PASSWORD)
        self.server.start()
        for name in shipped:
            self.server.pipeline = [*dict.fromkeys(["auth", name])]
            self.server.sections = SECTIONS.get(name, {})
            self.server.write()
            done = self.server.ctl("check", check=False)     # it tells of itself when it is loaded
            self.assertTrue(os.path.exists(about[name]), f"{name}: {done.stdout}{done.stderr}")
            self.run_module(name, about[name])
