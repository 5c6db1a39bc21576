# SPDX-License-Identifier: Apache-2.0
"""MTA-STS (RFC 8461) and TLS counts (RFC 8460): a policy host, a name server and mail exchangers of the
test's own, on loopback addresses."""
import contextlib
import datetime
import json
import os
import smtplib
import sqlite3
import ssl

from tests.lib import logs, proc
from tests.lib.case import RelayCase
from tests.lib.client_ca import ClientCA
from tests.lib.hosts import Hosts
from tests.lib.nameserver import NameServer
from tests.lib.policyhost import PolicyHost, policy

SLOW = True

TEXT = "From: ada@clinic.example\r\nSubject: x\r\n\r\nbody\r\n"
GOOD, BARE, NAMELESS, UNLISTED = "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"
MX = {"good-mx": GOOD, "bare-mx": BARE, "nameless-mx": NAMELESS, "unlisted-mx": UNLISTED}
TXT = '_mta-sts.{0} TXT "v=STSv1; id={1}"\n'
PLAIN = "250-hop.test\r\n250 PIPELINING"

# domain -> (its mail exchangers, the policy, the host that gets the mail or words of why it waits)
DOMAINS = {
    "good": (["good-mx"], policy("enforce", "good-mx.net.example"), GOOD),
    "wild": (["good-mx"], policy("enforce", "*.net.example"), GOOD),
    "next": (["unlisted-mx", "good-mx"], policy("enforce", "good-mx.net.example"), GOOD),
    "fault": (["nameless-mx", "bare-mx", "good-mx"], policy("enforce", "*.net.example"), GOOD),
    "bare": (["bare-mx"], policy("enforce", "bare-mx.net.example"),
             "TLS is required and not offered; the recipient's domain demands it (MTA-STS)"),
    "nameless": (["nameless-mx"], policy("enforce", "nameless-mx.net.example"), "MTA-STS"),
    "unlisted": (["unlisted-mx"], policy("enforce", "good-mx.net.example"),
                 "unlisted-mx.net.example: the policy of the recipient's domain (MTA-STS) does not name this host"),
    "deep": (["good-mx"], policy("enforce", "*.example"), "does not name this host"),
    "testing": (["bare-mx"], policy("testing", "good-mx.net.example"), BARE),
    "off": (["bare-mx"], policy("none"), BARE),
    "moved": (["bare-mx"], (301, "", {"Location": "/elsewhere"}), BARE),
    "wrong": (["bare-mx"], "version: STSv1\nmode: enforce\nmax_age: 86400\n", BARE),
    "page": (["bare-mx"], (200, policy("enforce", "good-mx.net.example"), {"Content-Type": "text/html"}), BARE),
    "large": (["bare-mx"], policy("enforce", "good-mx.net.example") + "x: y\n" * 20000, BARE),
    "absent": (["bare-mx"], None, BARE),
    "untrusted": (["bare-mx"], policy("enforce", "good-mx.net.example"), BARE),
    "several": (["bare-mx"], policy("enforce", "good-mx.net.example"), BARE),
    "plain": (["bare-mx"], None, BARE),
}
# The same under a demand: level mta-sts for all of them, by tls-only; -> how the result begins, words of it
DEMANDED = {
    "demand": (["good-mx"], policy("enforce", "good-mx.net.example"), "250", ""),
    "demand-none": (["good-mx"], None, "503 5.7.0", "not authenticated by MTA-STS or DANE"),
    "demand-test": (["good-mx"], policy("testing", "good-mx.net.example"), "503 5.7.0", "not authenticated"),
    "demand-over": (["good-mx"], None, "503 5.7.0", "not authenticated by MTA-STS or DANE"),
    "demand-later": (["good-mx"], policy("enforce", "good-mx.net.example"), "403 4.7.0", "not authenticated"),
}
# REQUIRETLS, of domains that no DNSSEC vouches for
REQUIRED = {
    "need": (["good-mx"], policy("enforce", "good-mx.net.example"), "250", ""),
    "need-none": (["good-mx"], None, "550 5.7.10", "not signed by DNSSEC"),
    "need-over": (["good-mx"], None, "550 5.7.10", "not signed by DNSSEC"),
    "need-later": (["good-mx"], policy("enforce", "good-mx.net.example"), "451 4.7.5", "cannot be had now"),
}
ALL = {**DOMAINS, **DEMANDED, **REQUIRED, "unread": (["good-mx"], policy("enforce", "good-mx.net.example")),
       "clear": (["unlisted-mx"], policy("enforce", "good-mx.net.example"))}
WITHOUT = ("plain", "demand-none", "demand-over", "need-none", "need-over")
UNTRUSTED = ("untrusted", "demand-later", "need-later")
RESULTS = {  # of RFC 8460 section 4.3
    "starttls-not-supported", "certificate-host-mismatch", "certificate-expired", "certificate-not-trusted",
    "validation-failure", "tlsa-invalid", "dnssec-invalid", "dane-required", "sts-policy-fetch-error",
    "sts-policy-invalid", "sts-webpki-invalid"}


def zone(without=(), ids={}):
    text = "".join(f"{name} A {address}\n" for name, address in MX.items())
    for name, (hosts, *_) in ALL.items():
        text += "".join(f"{name} MX {10 * (i + 1)} {host}\n" for i, host in enumerate(hosts))
        if name not in (*WITHOUT, *without):
            text += TXT.format(name, ids.get(name, 1))
        if name == "several":
            text += TXT.format(name, 2)
    return text


def tomorrow():
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)).strftime("%Y-%m-%d")


class MtaSts(RelayCase):
    def setUp(self):
        super().setUp()
        self.ca = ClientCA(self.directory)
        names = [f"DNS:mta-sts.{name}.net.example" for name in ALL if name not in UNTRUSTED]
        self.policies = self.enterContext(PolicyHost(*self.ca.issue("policies", ",".join(names), usage="serverAuth")))
        self.policies.policies = {f"{name}.net.example": said for name, (_, said, *_) in ALL.items() if said}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.ca.issue("good", "DNS:good-mx.net.example,DNS:unlisted-mx.net.example",
                                               usage="serverAuth"))
        self.sink = self.enterContext(Hosts(answers={(BARE, "EHLO"): [PLAIN] * 999}, tls=context, secured="REQUIRETLS"))
        self.names = self.enterContext(NameServer(self.directory, self.builddir, {"net.example": zone()},
                                                 signed={"safe.example": "@ A 127.0.0.9\n"}))
        self.server = self.relay(
            {"plain": {"tls": "none", "auth": "off"}, "secure": {"tls": "starttls", "auth": "off"}},
            [{"when": {"recipient_domain": ["clinic.example"]}, "to": "discard"},
             {"when": {"recipient_domain": ["smart.net.example"]}, "to": "smarthost",
              "host": f"{BARE}:{self.sink.port}", "tls": "may"},
             {"when": {"recipient_domain": ["clear.net.example"]}, "to": "mx", "port": self.sink.port, "tls": "none",
              "refused_networks": []},
             {"to": "mx", "port": self.sink.port, "ca_file": self.ca.certificate, "refused_networks": []}],
            relay={"loops": 2, "queue": {"retry_first": "1h", "retry_most": "1h"}, "hostname": "relay.clinic.example",
                   "dns": {"servers": [self.names.address], "trust_anchor": self.names.anchor},
                   "mta_sts": {"ca_file": self.ca.certificate, "connect_to": self.policies.address,
                               "wait": "60s"}},
            tls=self.ca.issue("relay", "DNS:relay.clinic.example", usage="serverAuth"), pipeline=["tls-only"],
            sections={"tls-only": {"mode": "opportunistic", "partner_terms": [
                {"partners": [f"{name}.net.example" for name in DEMANDED], "level": "mta-sts"}]}})
        self.server.start()

    def send(self, *names):
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            for name in names:
                client.sendmail("ada@clinic.example", [f"b@{name}.net.example"], TEXT)

    def ends(self, name, count=1):
        """The last of `count` results of that domain's mail."""
        def found():
            lines = [logs.logfmt(line) for line in self.server.log().splitlines() if f"@{name}.net.example" in line]
            lines = [line for line in lines if line.get("event") in ("delivered", "deferred", "bounced")]
            return lines[count - 1] if len(lines) >= count else None
        try:
            return proc.wait_until(found, 60, f"mail for {name} has {count} results")
        except proc.Failed as problem:
            self.fail(f"{problem}\n{self.server.log()[-4000:]}")

    def probe(self, address):
        """What becomes of one mail to an address that had none before."""
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            client.sendmail("ada@clinic.example", [address], TEXT)

        def found():
            lines = [logs.logfmt(line) for line in self.server.log().splitlines() if f"to={address} " in line]
            lines = [line for line in lines if line.get("event") in ("delivered", "deferred", "bounced")]
            return lines[0] if lines else None
        return proc.wait_until(found, 60, f"the mail to {address} has a result")

    def went_to(self, name):
        return [host for host, to in self.sink.messages if f"{name}.net.example" in str(to)]

    def report(self, name=None):
        said = self.server.ctl("--json", "tls-report", *(["--domain", f"{name}.net.example"] if name else []))
        return json.loads(said.stdout)

    def results(self, name):
        """Of the policy type that failed: {result: sessions}."""
        return {(each["policy"]["policy-type"], detail["result-type"]): detail["failed-session-count"]
                for each in self.report(name)["policies"] for detail in each.get("failure-details", [])}

    def check_counts(self):
        """RFC 8460 section 4"""
        proc.wait_until(lambda: len(self.report()) >= len(DOMAINS), 60, "all counts are written")
        for report in self.report():
            self.assertEqual({"organization-name", "date-range", "contact-info", "report-id", "policies"}, set(report))
            for at in report["date-range"].values():
                datetime.datetime.strptime(at, "%Y-%m-%dT%H:%M:%SZ")
            for each in report["policies"]:
                self.assertIn(each["policy"]["policy-type"], ("sts", "tlsa", "no-policy-found"))
                details, summary = each.get("failure-details", []), each["summary"]
                self.assertEqual(sum(detail["failed-session-count"] for detail in details),
                                 summary["total-failure-session-count"])
                self.assertLessEqual({detail["result-type"] for detail in details}, RESULTS)
        good = self.report("good")["policies"][0]
        self.assertEqual(good["policy"]["policy-type"], "sts")
        self.assertEqual(good["policy"]["policy-domain"], "good.net.example")
        self.assertEqual(good["policy"]["policy-string"],
                         ["version: STSv1", "mode: enforce", "max_age: 86400", "mx: good-mx.net.example"])
        self.assertEqual(good["policy"]["mx-host"], ["good-mx.net.example"])
        self.assertEqual(good["summary"],
                         {"total-successful-session-count": 1, "total-failure-session-count": 0})
        bare = [each for each in self.report("bare")["policies"] if "failure-details" in each][0]["failure-details"][0]
        self.assertEqual(bare["receiving-ip"], BARE)
        self.assertEqual(bare["receiving-mx-hostname"], "bare-mx.net.example")
        self.assertEqual(bare["sending-mta-ip"].split(".")[0], "127")
        for name, result in {"bare": ("sts", "starttls-not-supported"),
                             "nameless": ("sts", "certificate-host-mismatch"),
                             "unlisted": ("sts", "validation-failure"),
                             "testing": ("sts", "starttls-not-supported"),
                             "plain": ("no-policy-found", "starttls-not-supported"),
                             "moved": ("sts", "sts-policy-fetch-error"),
                             "wrong": ("sts", "sts-policy-invalid"),
                             "page": ("sts", "sts-policy-invalid"),
                             "large": ("sts", "sts-policy-invalid"),
                             "untrusted": ("sts", "sts-webpki-invalid")}.items():
            self.assertIn(result, self.results(name), name)
        self.assertEqual(self.server.ctl("tls-report", "--domain", "nobody.example", check=False).returncode, 1)

    def check_override(self):
        """C06: for one domain, until a day, audited; it reaches mail that waits and comes to an end"""
        override = ("sts", "override", "BARE.net.example", "--until")
        self.assertEqual(self.server.ctl(*override, "2020-01-01", "--mode", "none", check=False).returncode, 2)
        self.assertEqual(self.server.ctl(*override, tomorrow(), "--mode", "off", check=False).returncode, 2)
        self.server.ctl(*override, tomorrow(), "--mode", "none")
        self.assertEqual(json.loads(self.server.ctl("--json", "sts", "list").stdout)[0]["mode"], "none")

        def goes():
            self.server.ctl("queue", "retry", "--recipient", "b@bare.net.example", check=False)
            return self.went_to("bare") == [BARE]
        proc.wait_until(goes, 60, "the override lets it go")
        self.server.ctl("sts", "remove", "bare.net.example")
        self.assertIn("sts override", self.server.ctl("audit", "list").stdout)

        probes = iter(range(1000))

        def waits():
            return self.probe(f"p{next(probes)}@bare.net.example")["event"] == "deferred"
        proc.wait_until(waits, 60, "the policy holds again, also for connections that were kept")

    def check_demands(self):
        """RFC 8689 section 4.2.1, level mta-sts: what is not to be had now is not "none\"; an override where there is no
        policy is none; a route without TLS heeds none"""
        for name in ("demand-over", "need-over"):
            self.server.ctl("sts", "override", f"{name}.net.example", "--until", tomorrow(), "--mode", "enforce")
        self.send(*DEMANDED, "clear")
        self.ends("clear")
        self.assertEqual(self.went_to("clear"), [UNLISTED])
        with smtplib.SMTP("127.0.0.1", self.server.port("secure"), timeout=60) as client:
            client.starttls(context=ssl._create_unverified_context())
            client.ehlo()
            for name in REQUIRED:
                client.sendmail("ada@clinic.example", [f"b@{name}.net.example"], TEXT, ["REQUIRETLS"])
        for name, (_, _, code, words) in {**DEMANDED, **REQUIRED}.items():
            end = self.ends(name)
            self.assertTrue(end["reply"].startswith(code), (name, end["reply"]))
            self.assertIn(words, end["reply"], name)
            self.assertEqual(self.went_to(name), [GOOD] if code == "250" else [], name)

    def check_database(self):
        """A database that cannot be read is not taken for "no policy\""""
        with contextlib.closing(sqlite3.connect(os.path.join(self.directory, "relay", "state", "postern.db"))) as db:
            db.execute("ALTER TABLE sts_policies RENAME TO elsewhere")
            self.names.set_zone("net.example", zone(without=("unread",)))
            end = self.probe("b@unread.net.example")
            self.assertEqual((end["event"], end["reply"][:9]), ("deferred", "451 4.7.5"), end)
            self.assertIn("cannot be looked up now", end["reply"])
            db.execute("ALTER TABLE elsewhere RENAME TO sts_policies")

        def goes():
            self.server.ctl("queue", "retry", "--recipient", "b@unread.net.example", check=False)
            return self.went_to("unread") == [GOOD]
        proc.wait_until(goes, 60, "it goes when the database is there again")

    def check_change(self):
        """RFC 8461 section 3.1: another id, and the policy is fetched anew"""
        self.server.stop()
        self.names.set_zone("net.example", zone(ids={"wild": 2}))
        self.policies.policies["wild.net.example"] = policy("testing", "*.net.example")
        self.server.start()
        before = len(self.policies.asked)
        self.probe("again@wild.net.example")
        self.probe("again@good.net.example")

        def kept():
            return json.loads(self.server.ctl("--json", "sts", "show", "wild.net.example").stdout)[0]
        proc.wait_until(lambda: "mode: testing" in kept()["policy"] and kept()["id"] == "2", 60, "the new one is kept")
        self.assertEqual(self.policies.asked[before:], ["wild.net.example"])

    def check_cache(self):
        """RFC 8461 section 5.1: it outlives the DNS, the policy host and a restart of ours"""
        self.server.stop()
        self.policies.stop()
        self.names.stop()
        self.names.set_zone("net.example", zone(without=("bare", "good")))
        self.server.start()
        before = len(self.went_to("good"))
        self.send("good")
        proc.wait_until(lambda: len(self.went_to("good")) > before, 60, "the good one has its mail")
        for name in ("bare", "nameless", "unlisted"):
            last = self.probe(f"late@{name}.net.example")
            self.assertEqual(last["event"], "deferred", name)
            self.assertIn("MTA-STS", last["reply"])
        self.assertEqual(self.went_to("nameless") + self.went_to("unlisted"), [])
        kept = json.loads(self.server.ctl("--json", "sts", "show", "good.net.example").stdout)[0]
        self.assertIn("mode: enforce", kept["policy"])

    def test_policies(self):
        """RFC 8461 sections 3 to 5, RFC 8460 section 4, C04, C06, C07; S4"""
        self.send(*DOMAINS, "smart")
        for name, (_, _, wanted) in DOMAINS.items():
            end = self.ends(name)
            if wanted.startswith("127."):
                self.assertEqual((self.went_to(name), end["event"]), ([wanted], "delivered"), name)
            else:
                self.assertEqual((self.went_to(name), end["event"]), ([], "deferred"), name)
                self.assertIn(wanted, end["reply"], name)
                self.assertTrue(end["reply"].startswith("451 4.7.5"), end["reply"])
        self.ends("smart")
        self.assertEqual(self.went_to("smart"), [BARE])
        asked = self.policies.asked
        self.assertEqual(len(asked), len(set(asked)), "one fetch each, also of those that fail")
        self.assertFalse({"plain.net.example", "several.net.example", "smart.net.example"} & set(asked))
        self.check_counts()
        self.check_override()
        self.check_demands()
        self.check_database()
        self.check_change()
        self.check_cache()
