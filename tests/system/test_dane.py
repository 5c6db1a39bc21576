# SPDX-License-Identifier: Apache-2.0
"""DANE (RFC 7672): what signed TLSA records say of next hops, against sinks with every fault, and a
validating resolver that is put right while the relay runs."""
import hashlib
import os
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

    def begin(self, zone, tls, forge=None, validates=True, **sections):
        self.sink = self.enterContext(Hosts(tls=tls, secured="REQUIRETLS"))
        zone = zone.replace("_25._tcp", f"_{self.sink.port}._tcp")
        self.names = self.enterContext(NameServer(
            self.directory, self.builddir, {"plain.example": "@ MX 10 mx3.safe.example.\n"},
            signed={"safe.example": zone}, forge=forge))
        routes = [{"when": {"recipient_domain": "clinic.example"}, "to": "maildir", "path": str(self.mail)},
                  {"to": "mx", "port": self.sink.port, "refused_networks": ["127.9.0.0/16"]}]
        listeners = {"plain": {"tls": "none", "auth": "off"}}
        self.server = self.relay(
            listeners, routes,
            relay={"loops": 1, "queue": {"retry_first": "1h", "retry_most": "1h"},
                   "dns": {"servers": [self.names.address], "trust_anchor": self.names.anchor}},
            sections=sections, **({"pipeline": ["tls-only"]} if "tls-only" in sections else {}))
        self.server.start()

    def send(self, *recipients, text=TEXT):
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            self.assertEqual(client.sendmail("ada@clinic.example", recipients, text), {})

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
