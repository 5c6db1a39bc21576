# SPDX-License-Identifier: Apache-2.0
"""`posternctl metrics`: judged by the parser of Prometheus' own Python client."""
import json
import smtplib

from tests.lib import proc, prometheus
from tests.lib.case import RelayCase
from tests.lib.proc import CannotRun


class Metrics(RelayCase):
    def setUp(self):
        super().setUp()
        relay = self.relay({"plain": {"tls": "none", "auth": "off"}}, pipeline=["counter", "faulty"],
                           sections={"faulty": {"how": "pass"}})
        relay.programs.modules += f":{self.builddir}/tests/modules/.libs"
        self.running = relay.start()

    def send(self, sender):
        with smtplib.SMTP("127.0.0.1", self.running.port("plain"), timeout=60) as client:
            client.sendmail(sender, ["b@partner.example"], "Subject: x\r\n\r\nx\r\n")

    def noted(self, count):
        """A message is in the maildir before the relay knows of it."""
        proc.wait_until(lambda: self.running.status()["delivered"] == count and self.running.all_is_noted(), 60,
                        f"{count} are delivered")

    def parsed(self):
        try:
            return prometheus.parse(self.running.ctl("metrics").stdout)
        except CannotRun as reason:
            self.skipTest(str(reason))

    def samples(self):
        """Every sample of the text by name and labels; a name, TYPE or HELP given twice is an error."""
        found, names = {}, set()
        for metric in self.parsed():
            self.assertNotIn(metric["name"], names)
            names.add(metric["name"])
            self.assertIn(metric["type"], ("counter", "gauge", "histogram"))
            self.assertTrue(metric["help"])
            for name, labels, value in metric["samples"]:
                key = (name, *sorted(labels.items()))
                self.assertNotIn(key, found)
                found[key] = value
        return found

    def test_what_happened_is_counted(self):
        before = self.samples()
        self.assertEqual(before["postern_messages_total", ("result", "accepted")], 0)
        self.assertEqual(before["postern_counter_level_ratio", ("entry", "counter")], 0.5)
        self.assertEqual(before["postern_build_info", ("version", "0.1.0")], 1)
        self.send("a@clinic.example")
        self.send("a@clinic.example")
        self.noted(2)
        after = self.samples()
        self.assertEqual(after["postern_messages_total", ("result", "accepted")], 2)
        self.assertEqual(after["postern_deliveries_total", ("result", "delivered")], 2)
        self.assertEqual(after["postern_queue_messages", ("state", "waiting")], 0)
        stage = (("entry", "counter"), ("module", "counter"), ("stage", "message"))
        self.assertEqual(after[("postern_hook_seconds_count", *stage)], 2)
        self.assertLess(after[("postern_hook_seconds_sum", *stage)], 60)    # not milliseconds
        self.assertEqual(after[("postern_hook_faults_total", *stage)], 0)
        mine = (("entry", "counter"), ("said", "\"quoted\\\" \N{REPLACEMENT CHARACTER}"),
                ("sender", "a@clinic.example"))
        self.assertEqual(after[("postern_counter_messages_total", *mine)], 2)
        self.assertEqual(after["postern_counter_message_bytes_bucket", ("entry", "counter"), ("le", "+Inf")], 2)

    def test_json_says_the_same(self):
        self.send("a@clinic.example")
        self.noted(1)
        text = self.samples()
        rows = json.loads(self.running.ctl("--json", "metrics").stdout)
        told = {(row["metric"], *sorted(row["labels"].items())): row["value"] for row in rows}
        self.assertEqual(set(told), set(text))
        moving = {"postern_uptime_seconds", "postern_spool_commits_total"}
        for key, value in text.items():
            if key[0] not in moving:
                self.assertAlmostEqual(told[key], value, msg=key)

    def test_faults_are_counted(self):
        self.running.sections["faulty"] = {"how": "fault"}
        self.running.write()
        self.running.ctl("reload")
        with self.assertRaises(smtplib.SMTPDataError):
            self.send("a@clinic.example")
        stage = (("entry", "faulty"), ("module", "faulty"), ("stage", "message"))
        self.assertEqual(self.samples()[("postern_hook_faults_total", *stage)], 1)

    def test_no_relay(self):
        self.running.stop()
        self.assertEqual(self.running.ctl("metrics", check=False).returncode, 3)
