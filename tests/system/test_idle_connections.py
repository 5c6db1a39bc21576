# SPDX-License-Identifier: Apache-2.0
"""Connections to the next hop that end while the next message comes."""
from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.traffic import Load, Sink


class IdleConnections(RelayCase):
    def test_a_letter_is_not_given_to_one_that_ends(self):
        """Its idle time is up again and again in the very turn of the loop in which mail comes."""
        sink = Sink(self.builddir)
        self.addCleanup(sink.stop)
        relay = self.relay({"plain": {"tls": "none", "auth": "off"}},
                           [{"to": "smarthost", "host": f"127.0.0.1:{sink.port}", "tls": "none"}],
                           relay={"queue": {"idle_connection": "1ms", "retry_first": "100ms"}}).start()
        accepted = Load(self.builddir, relay.port("plain"), sessions=4, messages=1600,
                        rate=400).finish(60)["accepted"]
        self.assertEqual(accepted, 1600)
        proc.wait_until(lambda: relay.status()["delivered"] == accepted, 60,
                        f"all is delivered: {relay.status()}")
