# SPDX-License-Identifier: Apache-2.0
"""REQUIRETLS where the DNS names the next hops, and over a restart; single next hops are in
tests/talk/hop/rfc8689.talk."""
import os
import smtplib
import ssl

from tests.lib import logs, proc
from tests.lib.case import RelayCase
from tests.lib.certificates import certificate
from tests.lib.hosts import Hosts
from tests.lib.nameserver import NameServer

SLOW = True

TEXT = "From: ada@clinic.example\r\nSubject: x\r\n\r\nbody\r\n"
LACKS = "250-hop\r\n250 PIPELINING"


class Required(RelayCase):
    """RFC 8689 sections 4.1 and 4.2.1"""

    def begin(self, signed, plain="plain MX 10 mx2.safe\n", answers=None):
        names = [f"mx{i}.safe.example" for i in range(2, 6)] + ["bare.example"]
        pem, key = certificate(os.path.join(self.directory, "tls"), "safe.example", names)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem, key)
        self.sink = self.enterContext(Hosts(answers=answers or {}, tls=context, secured="REQUIRETLS"))
        server = self.enterContext(NameServer(
            self.directory, self.builddir, {"net.example": plain, "bare.example": "@ A 127.0.0.5\n"},
            signed={"safe.example": signed + "".join(f"mx{i} A 127.0.0.{i}\n" for i in range(2, 6))}))
        routes = [{"when": {"recipient_domain": ["gone.example", "clinic.example"]}, "to": "discard"},
                  {"to": "mx", "port": self.sink.port, "tls": "verify", "ca_file": pem,
                   "refused_networks": ["127.9.0.0/16"]}]
        self.server = self.relay(
            {"plain": {"tls": "starttls", "auth": "off"}}, routes, tls=(pem, key),
            relay={"loops": 1, "queue": {"retry_first": "1h", "retry_most": "1h"},
                   "dns": {"servers": [server.address], "trust_anchor": server.anchor}})
        self.server.start()

    def send(self, *recipients, options=("REQUIRETLS",)):
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            client.starttls(context=ssl._create_unverified_context())
            client.ehlo()
            self.assertEqual(client.sendmail("ada@clinic.example", recipients, TEXT, options), {})

    def ends(self, *recipients):
        def found():
            lines = [logs.logfmt(line) for line in self.server.log().splitlines() if "event=" in line]
            last = {line["to"]: line for line in lines
                    if line["event"] in ("delivered", "deferred", "bounced") and line["to"] in recipients}
            return [last[to] for to in recipients] if len(last) == len(recipients) else None
        return proc.wait_until(found, 60, f"{recipients} have an end")

    def said(self, verb):
        return [(host, line) for host, line in self.sink.lines if line.startswith(verb)]

    def test_next_hosts_and_names(self):
        """The first host that offers it takes the mail, by names that nobody could have forged."""
        self.begin("@ MX 10 mx2\n@ MX 20 mx3\nnone MX 10 mx2\nnone MX 20 mx4\nnone A 127.0.0.9\n"
                   "down MX 10 mx2\ndown MX 20 h9\nh9 A 127.0.0.1\n",
                   plain="plain MX 10 mx3.safe.example.\n",
                   answers={("127.0.0.2", "TLS EHLO"): [LACKS] * 9, ("127.0.0.4", "TLS EHLO"): [LACKS] * 9,
                            ("127.0.0.1", "greeting"): ["421 4.3.2 too busy"] * 9})
        to = [f"b@{name}" for name in ("safe.example", "none.safe.example", "plain.net.example", "bare.example",
                                       "down.safe.example", "gone.example")]
        self.send(*to)
        safe, none, plain, bare, down, gone = self.ends(*to)
        self.assertEqual([safe["event"], bare["event"]], ["delivered"] * 2, (safe, bare))
        self.assertEqual(sorted(self.sink.messages), [("127.0.0.3", [to[0]]), ("127.0.0.5", [to[3]])])
        self.assertEqual({line.rpartition(" ")[2] for _, line in self.said("MAIL")}, {"REQUIRETLS"})
        for end, reply in ((none, "550 5.7.30"), (plain, "550 5.7.10"), (gone, "550 5.7.30")):
            self.assertEqual((end["event"], end["reply"][:len(reply)]), ("bounced", reply))
        self.assertIn("DNSSEC", plain["reply"])
        self.assertEqual((down["event"], down["reply"][:3]), ("deferred", "421"), "one of them may yet do")

    def test_over_a_restart(self):
        """What was asked for is in the spool."""
        self.begin("@ MX 10 mx3\n", answers={("127.0.0.3", "greeting"): ["421 4.3.2 too busy"]})
        self.send("b@safe.example")
        self.assertEqual(self.ends("b@safe.example")[0]["event"], "deferred")
        self.server.stop()
        self.server.start()

        def again():
            self.server.ctl("queue", "retry", "--all", check=False)
            return self.said("MAIL")
        self.assertEqual(proc.wait_until(again, 60, "MAIL"),
                         [("127.0.0.3", "MAIL FROM:<ada@clinic.example> REQUIRETLS")])
