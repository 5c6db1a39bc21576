# SPDX-License-Identifier: Apache-2.0
"""Hooks that crash, hang and never return, in a relay: who did it is known, and others go on."""
import os
import re
import signal
import smtplib

from tests.lib import proc
from tests.lib.case import RelayCase

SLOW = True

OPEN = {"tls": "none", "auth": "off"}


class Attribution(RelayCase):
    def start(self, **more):
        relay = self.relay({"plain": OPEN}, **more)
        relay.programs.modules += ":" + os.path.join(self.builddir, "tests", "modules", ".libs")
        return relay.start()

    def send(self, relay, subject, sender="ada@clinic.example", number=0, to="bo@example.net"):
        """The code of the first reply that is no success, 250, or None where the connection broke."""
        try:
            with smtplib.SMTP("127.0.0.1", relay.port("plain"), "client.example", timeout=60) as client:
                client.sendmail(sender, [to], f"Subject: {subject}\r\nMessage-ID: <{number}@x>\r\n\r\nText\r\n")
        except smtplib.SMTPResponseException as refused:
            return refused.smtp_code
        except smtplib.SMTPRecipientsRefused as refused:
            return refused.recipients[to][0]
        except (smtplib.SMTPServerDisconnected, OSError):
            return None
        return 250

    def crash(self, relay, **message):
        """Sends what crashes the relay; waits for the next one."""
        pid = relay.child("relay")
        self.assertIsNone(self.send(relay, "crash", **message))
        proc.wait_until(lambda: relay.child("relay") not in (None, pid), 20, "another relay")
        relay.wait_ready()

    def wait_log(self, relay, pattern, seconds=20):
        proc.wait_until(lambda: re.search(pattern, relay.log()), seconds, f"a line like {pattern}")

    def test_a_message_that_crashes_twice_is_refused(self):
        relay = self.start(pipeline=["crashing"])
        self.crash(relay)
        self.wait_log(relay, r"=crash entry=crashing module=crashing stage=message id=\w+ "
                             r"fingerprint=[0-9a-f]{16} signal=Aborted times=1\n")
        self.crash(relay)
        self.wait_log(relay, r"signal=Aborted times=2 then=\"refused for now\"")
        pid = relay.child("relay")
        self.assertEqual(self.send(relay, "crash"), 451)
        self.wait_log(relay, r"fault entry=crashing .*on_fault=defer error=\"not run: it has crashed on this before\"")
        self.assertEqual(self.send(relay, "hello"), 250)
        self.assertEqual(relay.child("relay"), pid)
        self.assertEqual(len(self.delivered(1)), 1)

    def test_an_entry_that_keeps_crashing_is_not_run(self):
        relay = self.start(pipeline=[{"crashing": {"on_fault": "skip"}}])
        for number in range(3):
            self.crash(relay, number=number)
        self.wait_log(relay, "entry-disabled entry=crashing")
        self.assertEqual(self.send(relay, "crash", number=9), 250)     # on_fault speaks
        self.assertIn("crashing", relay.ctl("--json", "status").stdout)
        relay.ctl("reload")
        self.assertNotIn("crashing", relay.ctl("--json", "status").stdout)
        self.crash(relay, number=10)

    def test_a_crash_behind_the_reply_loses_nothing(self):
        relay = self.start(pipeline=["crashing"])
        self.assertIn(self.send(relay, "hello", sender="crash-behind@clinic.example"), (250, None))
        self.wait_log(relay, "crash entry=crashing module=crashing stage=committed .*times=2")
        self.assertEqual(len(self.arrived(1)), 1)
        self.assertEqual(self.send(relay, "hello"), 250)
        self.assertEqual(len(self.arrived(2)), 2)

    def kill_inside(self, relay, text):
        """kill -9 while a hook is inside with a message of that text; waits for the next relay."""
        self.assertEqual(self.send(relay, f"hello\r\nX-Hang: {text}"), 451)
        self.assertIn('"stuck_hooks": 1', relay.ctl("--json", "status").stdout)
        pid = relay.child("relay")
        os.kill(pid, signal.SIGKILL)
        proc.wait_until(lambda: relay.child("relay") not in (None, pid), 20, "another relay")
        relay.wait_ready()

    def test_a_message_that_is_inside_at_two_kills(self):
        """As the OOM killer does it: no signal that could be caught."""
        relay = self.start(pipeline=[{"hanging": {"timeout": "500ms"}}])
        self.kill_inside(relay, "same")
        self.wait_log(relay, r"=killed-inside entry=hanging module=hanging stage=message id=\w+ fingerprint=\w{16}\n")
        self.assertNotIn("=crash entry=", relay.log())
        self.kill_inside(relay, "same")
        self.wait_log(relay, r"=killed-inside entry=hanging .*then=\"counted as a crash")
        self.assertEqual(self.send(relay, "hello\r\nX-Hang: same"), 451)
        self.wait_log(relay, r"fault entry=hanging .*error=\"not run: it has crashed on this before\"")
        self.assertIn('"stuck_hooks": 0', relay.ctl("--json", "status").stdout)
        self.assertEqual(self.send(relay, "hello"), 250)

    def test_kills_with_other_messages_inside(self):
        """An administrator's, under load."""
        relay = self.start(pipeline=[{"hanging": {"timeout": "500ms"}}])
        for number in range(5):
            self.kill_inside(relay, number)
        self.assertEqual(relay.log().count("killed-inside entry=hanging"), 5)
        self.assertEqual(self.send(relay, "hello\r\nX-Hang: 0"), 451)
        self.assertEqual(self.send(relay, "hello"), 250)
        self.assertNotIn("not run", relay.log())
        self.assertNotIn("counted as a crash", relay.log())

    def start_tuner(self, value, **entry):
        """The settings of one user do `value` when they are prepared, which is when he sends."""
        return self.start(pipeline=[{"tuner": entry}] if entry else ["tuner"], sections={
            "tuner": {"value": "fine", "users": {"eve@clinic.example": {"value": value}}}})

    def test_settings_that_crash_when_they_are_prepared(self):
        relay = self.start_tuner("crash")
        for times in (1, 2):
            pid = relay.child("relay")
            self.assertIsNone(self.send(relay, "hello", sender="eve@clinic.example"))
            self.wait_log(relay, rf"=crash entry=tuner module=tuner stage=sender .*signal=Aborted times={times}")
            proc.wait_until(lambda: relay.child("relay") not in (None, pid), 20, "another relay")
            relay.wait_ready()
        pid = relay.child("relay")
        self.assertEqual(self.send(relay, "hello", sender="eve@clinic.example"), 451)
        self.assertEqual(self.send(relay, "hello"), 250)
        self.assertEqual(relay.child("relay"), pid)

    def test_settings_that_hang_when_they_are_prepared(self):
        """One thread is lost to them, however often they are asked for, and nobody else waits."""
        relay = self.start_tuner("hang", timeout="500ms")
        for _ in range(3):
            self.assertEqual(self.send(relay, "hello", sender="eve@clinic.example"), 451)
        self.wait_log(relay, "fault entry=tuner .*stage=sender .*on_fault=defer error=\"did not answer in time\"")
        self.wait_log(relay, "error=\"its settings for user eve@clinic.example have not been prepared in time\"")
        self.assertIn('"stuck_hooks": 1', relay.ctl("--json", "status").stdout)
        self.assertEqual(self.send(relay, "hello"), 250)
        relay.stop()
        self.assertNotIn("killing it", relay.log())

    def test_on_fault_speaks_for_settings_that_hang(self):
        relay = self.start_tuner("hang", timeout="500ms", on_fault="skip")
        for _ in range(2):
            self.assertEqual(self.send(relay, "hello", sender="eve@clinic.example"), 250)
        self.assertEqual(len(self.delivered(2)), 2)
        relay.stop()
        relay = self.start_tuner("hang", timeout="500ms", on_fault="reject")
        self.assertEqual(self.send(relay, "hello", sender="eve@clinic.example"), 550)

    def test_a_hook_that_ends_the_process(self):
        relay = self.start(pipeline=["crashing"])
        for times in (1, 2):
            pid = relay.child("relay")
            self.assertIsNone(self.send(relay, "exit"))
            self.wait_log(relay, rf"=crash entry=crashing .*signal=\"none, it calls exit\(\)\" times={times}")
            proc.wait_until(lambda: relay.child("relay") not in (None, pid), 20, "another relay")
            relay.wait_ready()
        self.assertEqual(self.send(relay, "exit"), 451)
        self.assertEqual(self.send(relay, "hello"), 250)

    def test_a_loop_that_hangs(self):
        relay = self.start(pipeline=["crashing"], relay={"loops": 2})
        pid = relay.child("relay")
        self.assertIsNone(self.send(relay, "hang"))
        proc.wait_until(lambda: relay.child("relay") not in (None, pid), 60, "another relay")
        relay.wait_ready()
        self.wait_log(relay, "loop-hangs entry=crashing module=crashing stage=message")
        self.wait_log(relay, "=crash entry=crashing .*signal=\"none, it hangs\"")
        self.assertEqual(self.send(relay, "hello"), 250)

    def test_stop_with_a_stuck_hook(self):
        relay = self.start(pipeline=[{"hanging": {"timeout": "500ms"}}])
        self.assertEqual(self.send(relay, "hello", to="hang@example.net"), 451)
        self.assertIn('"stuck_hooks": 1', relay.ctl("--json", "status").stdout)
        self.assertEqual(self.send(relay, "hello"), 250)
        self.assertEqual(relay.stop(60), 0)
        self.assertIn("hooks have not returned; leaving without them", relay.log())
        self.assertNotIn("killing it", relay.log())

    def test_stop_while_hooks_hang(self):
        """One that a client waits for, and one behind an acceptance. The entry's time is longer than
        the shutdown may take."""
        relay = self.start(pipeline=[{"hanging": {"timeout": "60s"}}])
        client = smtplib.SMTP("127.0.0.1", relay.port("plain"), "client.example", timeout=60)
        self.addCleanup(client.close)
        client.ehlo()
        client.mail("ada@clinic.example")
        client.putcmd("rcpt", "to:<hang@example.net>")
        self.assertEqual(self.send(relay, "hello", sender="hang-behind@clinic.example"), 250)
        self.assertEqual(len(self.delivered(1)), 1)     # which does not wait for it
        self.assertEqual(relay.stop(120), 0)
        self.assertNotIn("killing it", relay.log())

    def test_an_entry_of_which_nothing_returns(self):
        """Its few calls are lost, far from all threads: the relay is replaced all the same."""
        relay = self.start(pipeline=[{"hanging": {"timeout": "500ms", "concurrency": 2}}])
        for _ in range(3):
            self.assertEqual(self.send(relay, "hello", to="hang@example.net"), 451)
        self.assertIn('"stuck_hooks": 2', relay.ctl("--json", "status").stdout)
        self.assertEqual(self.send(relay, "hello"), 451)
        self.wait_log(relay, "relay-replaced")
        self.assertIn('all that \\"hanging\\" may run', relay.log())
        proc.wait_until(lambda: self.send(relay, "hello") == 250, 60, "the next one takes mail")

    def test_a_relay_that_has_lost_many_threads_is_replaced(self):
        relay = self.start(pipeline=[{"hanging": {"timeout": "100ms", "concurrency": 80}}])
        pid = relay.child("relay")
        for _ in range(60):
            self.assertEqual(self.send(relay, "hello", to="hang@example.net"), 451)

        def lose_another():     # a call that finds no thread in time has lost none
            self.send(relay, "hello", to="hang@example.net")
            return "relay-replaced" in relay.log()
        proc.wait_until(lose_another, 60, "it is replaced")
        proc.wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 40, "the worn relay leaves")
        self.assertRegex(relay.ctl("--json", "status").stdout, r'"stuck_hooks": [01]\b')
        proc.wait_until(lambda: self.send(relay, "hello") == 250, 60, "the next one takes mail")
