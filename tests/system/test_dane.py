# SPDX-License-Identifier: Apache-2.0
"""DANE (RFC 7672): what signed TLSA records say of next hops, against sinks with every fault, and a
validating resolver that is put right while the relay runs."""
import base64
import hashlib
import json
import os
import re
import smtplib
import ssl
import subprocess

from tests.lib import logs, proc
from tests.lib.case import RelayCase
from tests.lib.hosts import Hosts
from tests.lib.nameserver import NameServer

SLOW = True

TEXT = "From: ada@clinic.example\r\nSubject: x\r\n\r\nthe body\r\n"


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True).stdout


class Dane(RelayCase):
    def make(self, name, *more, issuer=None, expired=False):
        """A certificate with its key: path, what ssl makes of it."""
        folder = os.path.join(self.directory, "tls")
        os.makedirs(folder, exist_ok=True)
        key, pem = (os.path.join(folder, f"{name}.{kind}") for kind in ("key", "pem"))
        signed = ["-CA", issuer, "-CAkey", issuer.replace(".pem", ".key")] if issuer else []
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                f"/CN={name}", "-keyout", key, "-out", pem, *signed, *(more or ("-days", "2")))
        if expired:
            openssl("x509", "-in", pem, "-signkey", key, "-days", "-1", "-out", pem + ".old")
            os.replace(pem + ".old", pem)
        if issuer:
            with open(pem, "a") as file, open(issuer) as chain:
                file.write(chain.read())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem, key)
        return pem, context

    @staticmethod
    def digest(pem, selector):
        data = openssl("x509", "-in", pem, "-outform", "DER")
        if selector:
            data = openssl("pkey", "-pubin", "-outform", "DER", data=openssl("x509", "-in", pem, "-noout", "-pubkey"))
        return hashlib.sha256(data).hexdigest()

    def begin(self, zone, tls, forge=None, dns=None, **sections):
        self.sink = self.enterContext(Hosts(tls=tls, secured="REQUIRETLS"))
        zone = zone.replace("_25._tcp", f"_{self.sink.port}._tcp")
        self.names = self.enterContext(NameServer(
            self.directory, self.builddir, {"plain.example": "@ MX 10 mx3.safe.example.\n"},
            signed={"safe.example": zone}, forge=forge))
        routes = [{"when": {"recipient_domain": "clinic.example"}, "to": "maildir", "path": str(self.mail)},
                  {"to": "mx", "port": self.sink.port, "refused_networks": ["127.9.0.0/16"]}]
        own, _ = self.make("relay.test")
        listeners = {"plain": {"tls": "starttls", "auth": "off"}}
        self.server = self.relay(
            listeners, routes, tls=(own, own.replace(".pem", ".key")),
            relay={"loops": 1, "queue": {"retry_first": "1h", "retry_most": "1h"},
                   "dns": {"servers": [self.names.address], "trust_anchor": self.names.anchor, **(dns or {})}},
            sections=sections, **({"pipeline": ["tls-only"]} if "tls-only" in sections else {}))
        self.server.start()

    def send(self, *recipients, text=TEXT, options=()):
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            if options:
                client.starttls(context=ssl._create_unverified_context())
                client.ehlo()
            self.assertEqual(client.sendmail("ada@clinic.example", recipients, text, options), {})

    def ends(self, *recipients):
        def found():
            lines = [logs.logfmt(line) for line in self.server.log().splitlines() if "event=" in line]
            last = {line["to"]: line for line in lines
                    if line["event"] in ("delivered", "deferred", "bounced") and line["to"] in recipients}
            return [last[to] for to in recipients] if len(last) == len(recipients) else None
        return proc.wait_until(found, 60, f"{recipients} have an end")

    def test_opportunistic(self):
        """STANDARDS 7672.1 to 7672.8 (B-30): what each domain's records make of its mail."""
        ee, ee_tls = self.make("other.example", expired=True)  # and somebody else's
        ca, _ = self.make("authority.example")
        _, by_ca = self.make("mx6.safe.example", "-days", "2", "-addext", "subjectAltName=DNS:mx6.safe.example",
                             "-addext", "basicConstraints=critical,CA:false", issuer=ca)
        key, authority, zeros = self.digest(ee, 1), self.digest(ca, 0), "00" * 32
        zone = "".join(f"mx{i} A 127.0.0.{i}\n" for i in range(2, 9)) + f"""
_25._tcp.mx2 TLSA 3 1 1 {zeros}
_25._tcp.mx2 TLSA 3 1 1 {key}
_25._tcp.mx3 TLSA 3 1 1 {zeros}
_25._tcp.mx4 TLSA 3 1 1 {key}
_25._tcp.mx5 TLSA 1 1 1 {zeros}
_25._tcp.mx6 TLSA 2 0 1 {authority}
_25._tcp.mx7 TLSA 2 0 1 {authority}
_25._tcp.mx8 TLSA 1 0 1 {zeros}
_25._tcp.bad A 127.0.0.2
alias CNAME mx2
ee MX 10 mx2
wrong MX 10 mx3
second MX 10 mx3
second MX 20 mx2
stripped MX 10 mx4
unusable MX 10 mx5
clear MX 10 mx8
ta MX 10 mx6
tawrong MX 10 mx7
aliased MX 10 alias
"""
        tls = dict.fromkeys((f"127.0.0.{i}" for i in (2, 3, 5)), ee_tls)
        tls.update(dict.fromkeys(("127.0.0.6", "127.0.0.7"), by_ca))
        self.begin(zone, tls, **{"tls-only": {"partner_terms": [
            {"partners": ["safe.example"], "level": "encrypted"},
            {"partners": ["strong@plain.example"], "minimum_bits": 256},
            {"partners": ["partner@ee.safe.example", "partner@plain.example"], "level": "dane"}]}})
        good = ["ee", "second", "unusable", "ta", "aliased"]
        bad = ["wrong", "stripped", "clear", "tawrong"]
        to = {name: f"x@{name}.safe.example" for name in good + bad}
        to.update(plain="x@plain.example", asked="partner@ee.safe.example", demanded="partner@plain.example")
        self.send(*to.values())
        end = dict(zip(to, self.ends(*to.values())))
        for name in good + ["plain", "asked"]:
            self.assertEqual(end[name]["event"], "delivered", end[name])
        self.assertEqual({name: end[name].get("by") for name in good + ["plain", "asked"]}, {
            "ee": "dane", "second": "dane", "ta": "dane", "aliased": "dane", "asked": "dane",
            "unusable": None, "plain": None})
        self.assertEqual((end["unusable"]["verified"], end["second"]["remote"][:16]), ("no", "mx2.safe.example"))
        for name in bad:
            self.assertEqual((end[name]["event"], end[name]["reply"][:9]), ("deferred", "451 4.7.5"), end[name])
        self.assertIn("TLSA", end["wrong"]["reply"])
        self.assertEqual((end["demanded"]["event"], end["demanded"]["reply"]),
                         ("bounced", "503 5.7.0 mx3.safe.example is not authenticated by DANE"))
        self.assertNotIn("127.0.0.4", [host for host, line in self.sink.lines if line.startswith("MAIL")])
        self.assertEqual(len(self.sink.messages), 7)
        self.probe(key)
        self.counted(key)

    def counted(self, key):
        """RFC 8460 section 4: policy type tlsa, what holds and what does not"""
        def by_type(name):
            done = self.server.ctl("--json", "tls-report", "--domain", f"{name}.safe.example", check=False)
            policies = json.loads(done.stdout)["policies"] if done.returncode == 0 else []
            return {each["policy"]["policy-type"]: each for each in policies}
        good = proc.wait_until(lambda: by_type("ee").get("tlsa"), 60, "its sessions are counted")
        self.assertEqual(good["summary"]["total-failure-session-count"], 0)
        self.assertIn(f"3 1 1 {key}", good["policy"]["policy-string"])
        self.assertEqual(good["policy"]["mx-host"], ["mx2.safe.example"])
        wrong = proc.wait_until(lambda: by_type("wrong").get("tlsa"), 60, "failures are counted")
        self.assertEqual(wrong["summary"]["total-successful-session-count"], 0)
        self.assertEqual(wrong["failure-details"][0]["receiving-mx-hostname"], "mx3.safe.example")
        stripped = proc.wait_until(lambda: by_type("stripped").get("tlsa"), 60, "what was stripped is counted")
        self.assertEqual(stripped["failure-details"][0]["result-type"], "starttls-not-supported")

    def probe(self, key):
        """S4-12, C09: posternctl tls-probe shows what the same hosts are, and what catches a fault; no mail."""
        before = len(self.sink.lines)

        def ask(*words, code=0):
            done = self.server.ctl("--json", "tls-probe", "--from", "ada@clinic.example", *words, check=False)
            self.assertEqual(done.returncode, code, done)
            return (json.loads(done.stdout) if done.stdout.strip() else []), done.stderr
        (row,), _ = ask("ee.safe.example")
        self.assertEqual((row["levels"], row["mail"], row["bits"]),
                         ("encrypted trusted name mta-sts dane", "would be sent", "256"))
        self.assertEqual(row["key"], "sha256/" + base64.b64encode(bytes.fromhex(key)).decode())
        self.assertRegex(row["certificate"], "^cert-sha256/")
        self.assertRegex(row["chain"], "^CN=other.example; until ")
        first, second = ask("second.safe.example")[0]
        self.assertRegex(first["mail"], r"^not sent: 451 4\.7\.5 .*TLSA records say")
        self.assertEqual(second["mail"], "would be sent")
        (row,), _ = ask("plain.example")
        self.assertEqual((row["levels"], row["mail"]), ("encrypted", "would be sent"))
        (row,), _ = ask("partner@plain.example")
        self.assertEqual(row["mail"], "not sent: 503 5.7.0 mx3.safe.example is not authenticated by DANE")
        for fault in ("no-starttls", "bad-certificate"):
            self.assertRegex(ask("--simulate", fault, "ee.safe.example")[0][0]["mail"], "^not sent: 451 4.7.5 ")
            self.assertIn("nothing that is configured", ask("--simulate", fault, "plain.example", code=1)[1])
        (row,), _ = ask("--simulate", "weak-bits", "strong@plain.example")
        self.assertEqual((row["bits"], row["mail"]),
                         ("128", "not sent: 503 5.7.0 encryption too weak 128 less than 256"))
        ask("--simulate", "bits", "plain.example", code=2)
        said = [line.split()[0] for _, line in self.sink.lines[before:]]
        self.assertEqual(set(said), {"EHLO", "STARTTLS", "QUIT"})

    def test_what_is_bogus_and_who_does_not_mind(self):
        """A signature that does not fit leaves the host out (STANDARDS 7672.4, ASKS C08); `TLS-Required: No` lets the
        mail go (8689.6), but not past the administrator's partners, nor past REQUIRETLS; reports have it, too."""
        pem, tls = self.make("other.example")
        key, zeros = self.digest(pem, 1), "00" * 32
        self.begin("mx2 A 127.0.0.2\nmx3 A 127.0.0.3\nmx4 A 127.0.0.4\nbogus MX 10 mx2\nwrong MX 10 mx3\n"
                   f"bare MX 10 mx4\n_25._tcp.mx2 TLSA 3 1 1 {key}\n_25._tcp.mx3 TLSA 3 1 1 {zeros}\n"
                   f"_25._tcp.mx4 TLSA 3 1 1 {key}\nmx5 A 127.0.0.5\n_25._tcp.mx5 TLSA 3 1 1 {key}\n"
                   "good MX 10 mx5\n", dict.fromkeys(("127.0.0.2", "127.0.0.3", "127.0.0.5"), tls),
                   forge=lambda text: re.sub(r"(\sTLSA\s+3 1 1[\s(]+)" + key[:8], r"\g<1>12345678", text, count=1,
                                             flags=re.I),
                   **{"tls-only": {"partners": ["partner@bare.safe.example"], "partner_terms": [
                       {"partners": ["partner@good.safe.example"], "level": "dane"}]}})
        self.send("x@bogus.safe.example")
        end, = self.ends("x@bogus.safe.example")
        self.assertEqual(end["event"], "deferred")
        self.assertRegex(end["reply"], r"^451 4\.7\.5 mx2\.safe\.example: its TLSA records cannot be found: DNSSEC")
        self.assertEqual(self.sink.lines, [])
        to = ["y@bogus.safe.example", "y@wrong.safe.example", "y@bare.safe.example", "partner@bare.safe.example", "partner@good.safe.example"]
        self.send(*to, text="TLS-Required:  No \r\n" + TEXT)
        ends = self.ends(*to)
        self.assertEqual([end["event"] for end in ends], ["delivered"] * 3 + ["bounced", "delivered"], ends)
        self.assertEqual([end.get("tls", "")[:3] for end in ends], ["TLS", "TLS", "", "", "TLS"])
        self.assertEqual(ends[4].get("by"), "dane")
        self.assertIn("encryption too weak 0 less than 112", ends[3]["reply"])
        # 8689.2, 8689.6: the same field beside REQUIRETLS is nothing, and DANE is as good as an authority.
        to = ["z@wrong.safe.example", "z@good.safe.example"]
        self.send(*to, text="TLS-Required: No\r\n" + TEXT, options=("REQUIRETLS",))
        wrong, good = self.ends(*to)
        self.assertEqual((good["event"], good.get("by")), ("delivered", "dane"))
        self.assertIn("MAIL FROM:<ada@clinic.example> REQUIRETLS", [line for _, line in self.sink.lines])
        self.assertEqual((wrong["event"], wrong["reply"][:10]), ("bounced", "550 5.7.10"))
        report = [one for one in self.delivered(2, 60) if b"partner@bare" in one][0]
        self.assertEqual(report.split(b"\r\n\r\n")[0].count(b"\r\nTLS-Required: No\r\n"), 1)

    def test_validation_that_comes_back(self):
        """ASKS C08: behind servers without signatures DANE is off, loudly, and who demands it waits; it is tried
        again, and comes back by itself."""
        pem, tls = self.make("other.example")
        zone = f"@ MX 10 mx2\nmx2 A 127.0.0.2\n_25._tcp.mx2 TLSA 3 1 1 {self.digest(pem, 1)}\n"
        self.begin(zone, {"127.0.0.2": tls}, dns={"validate_again": "1s"},
                   **{"tls-only": {"partner_terms": [{"partners": ["p@safe.example", "q@safe.example"],
                                                      "level": "dane"},
                                                     {"partners": ["s@safe.example"], "level": "mta-sts"}]}})

        def status(text):
            return text in self.server.ctl("status", check=False).stdout
        proc.wait_until(lambda: status("works"), 60, "signatures are checked")
        path = self.names._path("safe.example")
        with open(path) as file:
            signed = file.read()
        self.names.set_zone("safe.example", zone.replace("_25._tcp", f"_{self.sink.port}._tcp"))
        self.server.ctl("reload")
        proc.wait_until(lambda: status("does not work"), 60, "signatures are missed")
        self.assertIn("level=error process=relay event=dns-not-validating", self.server.log())
        self.send("x@safe.example", "p@safe.example")
        free, demanded = self.ends("x@safe.example", "p@safe.example")
        self.assertEqual((free["event"], free["verified"]), ("delivered", "no"))
        self.send("r@safe.example", options=("REQUIRETLS",))
        end, = self.ends("r@safe.example")
        self.assertEqual((end["event"], end["reply"][:9]), ("deferred", "451 4.7.5"), end)
        self.assertEqual((demanded["event"], demanded["reply"]),
                         ("deferred", "403 4.7.0 mx2.safe.example is not authenticated by DANE"))
        self.names.stop()
        with open(path, "w") as file:
            file.write(signed)
        self.names.start()
        proc.wait_until(lambda: status("works"), 60, "signatures are checked again")
        self.assertIn("event=dns-validating", self.server.log())
        self.server.ctl("reload")
        self.send("q@safe.example")
        end, = self.ends("q@safe.example")
        self.assertEqual(end.get("by"), "dane", end)
        # Where nobody wants signatures to be checked there is nothing to wait for.
        self.server.relay["dns"]["validate"] = False
        self.server.write()
        self.server.ctl("reload")
        self.send("s@safe.example")
        end, = self.ends("s@safe.example")
        self.assertEqual((end["event"], end["reply"][:9]), ("bounced", "503 5.7.0"), end)
