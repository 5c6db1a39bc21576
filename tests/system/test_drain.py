# SPDX-License-Identifier: Apache-2.0
"""posternctl drain and resume: new mail is told to come later, what is there goes out, nothing is lost."""
import json
import os
import smtplib
import socket
import ssl
import subprocess

from tests.lib import proc, reliability
from tests.lib.case import RelayCase
from tests.lib.certificates import certificate
from tests.lib.nexthop import NextHop
from tests.lib.traffic import Load, Sink

TEXT = "From: ada@clinic.example\r\nSubject: x\r\n\r\nhello\r\n"
ADA = "ada@clinic.example"
CLOSED = b"421 4.3.2"


def lines(path):
    with open(path, encoding="ascii") as file:
        return file.read().split()


class Drain(RelayCase):
    def serve(self, routes=None):
        self.server = self.relay({"plain": {"tls": "none", "auth": "off"}, "secure": {"tls": "implicit", "auth": "off"}},
                                 routes, tls=certificate(self.directory, "localhost"),
                                 relay={"queue": {"retry_first": "1h", "retry_most": "1h"}}).start()

    def status(self):
        return json.loads(self.server.ctl("--json", "status").stdout)[0]

    def begin(self, *words):
        """drain in the background; it is in force when this returns."""
        done = subprocess.Popen([self.server.programs.posternctl, "-c", self.server.conf, "-m",
                                 self.server.programs.modules, "drain", *words],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(proc.end, done)
        proc.wait_until(lambda: self.status()["draining"], 20, "the relay drains")
        return done

    def send(self, *recipients):
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            client.sendmail(ADA, recipients, TEXT)

    def first_line(self, name):
        with socket.create_connection(("127.0.0.1", self.server.port(name)), 60) as peer:
            if name == "secure":
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                peer = context.wrap_socket(peer)
            return peer.makefile("rb").readline()

    def test_sessions_finish_what_they_have(self):
        self.serve()
        busy, idle = (smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) for _ in range(2))
        self.addCleanup(busy.close)
        self.addCleanup(idle.close)
        busy.ehlo()
        idle.ehlo()
        self.assertEqual([busy.mail(ADA)[0], busy.rcpt("b@partner.example")[0]], [250, 250])
        drain = self.begin("--json")
        self.assertTrue(idle.file.readline().startswith(CLOSED))
        for name in ("plain", "secure"):
            self.assertTrue(self.first_line(name).startswith(CLOSED), name)
        self.assertEqual(self.status()["transactions"], 1)
        self.assertEqual(busy.data(TEXT)[0], 250)
        self.assertTrue(busy.file.readline().startswith(CLOSED))
        busy.close()
        idle.close()
        out, _ = drain.communicate(timeout=60)
        events = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(drain.returncode, 0, out)
        self.assertEqual(events[-1]["event"], "drained")
        self.assertEqual([events[-1][name] for name in ("transactions", "sending", "waiting", "delivered")], [0, 0, 0, 1])
        self.assertEqual({event["event"] for event in events[:-1]}, {"progress"})
        self.delivered(1)

    def test_stays_so_over_reload_upgrade_and_crash(self):
        self.serve()
        self.assertEqual(self.begin().wait(60), 0)
        self.server.ctl("reload")
        self.assertTrue(self.first_line("plain").startswith(CLOSED))
        self.server.ctl("upgrade")
        proc.wait_until(lambda: self.status()["draining"], 20, "the new relay drains")
        self.assertTrue(self.first_line("plain").startswith(CLOSED))
        before = self.server.kill_relay()
        proc.wait_until(lambda: self.server.child("relay") not in (None, before), 20, "another relay")
        self.assertTrue(self.first_line("plain").startswith(CLOSED))
        proc.wait_until(lambda: self.server.ctl("status", check=False).returncode == 0, 20, "posternctl is heard")
        self.assertIn("postern_draining 1", self.server.ctl("metrics").stdout)
        self.server.ctl("resume")
        self.assertIn("postern_draining 0", self.server.ctl("metrics").stdout)
        self.send("b@partner.example")
        self.delivered(1)
        actions = [row["action"] for row in json.loads(self.server.ctl("--json", "audit", "list").stdout)]
        self.assertEqual(actions, ["drain", "resume"])
        for event in ("event=drain by=", "event=resume by="):
            self.assertEqual(self.server.log().count(event), 1)
        self.assertEqual(self.begin().wait(60), 0)
        self.server.stop()
        self.server.start()
        self.send("b@partner.example")

    def test_what_waits(self):
        """Deferred mail is waited for, tried with --now; held mail is not."""
        port = proc.free_port()
        self.serve([{"to": "smarthost", "host": f"127.0.0.1:{port}", "tls": "none"}])
        self.send("b@partner.example")
        self.send("c@partner.example")
        proc.wait_until(lambda: self.status()["deferred"] >= 2 and self.status()["sending"] == 0, 20, "both were tried")
        self.server.ctl("queue", "hold", "--recipient", "c@*")
        late = self.server.ctl("drain", "--timeout", "0s", check=False)
        self.assertEqual(late.returncode, 4, late.stderr)
        self.assertIn("sending 0, waiting 2 (held recipients 1)", late.stderr)
        self.assertIn("not empty yet: 2 messages", late.stderr)
        with NextHop(port=port) as hop:
            done = self.server.ctl("drain", "--now", "--timeout", "60s")
            self.assertIn("drained: nothing is left to send; held recipients 1", done.stdout)
            self.assertEqual([to for _, (to,), _ in hop.messages], ["<b@partner.example>"])
        self.server.ctl("resume")
        self.assertEqual(self.server.ctl("drain", "--when", check=False).returncode, 2)
        self.server.stop()
        self.assertEqual(self.server.ctl("drain", check=False).returncode, 3)

    def test_under_load(self):
        """What had its 250 arrives, once; clients that go on are told 421 4.3.2."""
        ids, acked = (os.path.join(self.directory, name) for name in ("ids", "acked"))
        sink = Sink(self.builddir, "--ids", ids)
        self.addCleanup(sink.process.stdout.close)
        self.addCleanup(proc.end, sink.process)
        self.addCleanup(sink.process.stdin.close)
        self.serve([{"to": "smarthost", "host": f"127.0.0.1:{sink.port}", "tls": "none"}])
        load = Load(self.builddir, self.server.port("plain"), messages=100000000, tag="drain", acked=acked,
                    reconnect=30, sessions=10, size=4096, per_connection=20)
        self.addCleanup(proc.end, load.process)
        self.assertGreaterEqual(sink.wait(200, 60)["messages"], 200)
        drain = self.begin()
        self.assertEqual(drain.wait(60), 0)
        load.stop()
        got = load.finish(60)
        self.assertEqual((self.status()["waiting"], self.status()["sending"]), (0, 0))
        sink.report()
        figures = reliability.tally(lines(acked), lines(ids))
        self.assertEqual((figures["lost"], figures["duplicated"]), (0, 0), figures)
        self.assertTrue(any("421 4.3.2" in reason for reason in got["reasons"]), got)
