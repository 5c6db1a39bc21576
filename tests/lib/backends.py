# SPDX-License-Identifier: Apache-2.0
"""backends.py - a relay's `auth` section with the real programs that verify passwords behind it.

    class Mine(BackendCase):
        auth = self.backends("ldap", "dovecot", ldap={"filter": "(uid=?1)"})
        self.slapd.stop()

Each backend has a user of its own: LEA in the directory server, SAM where saslauthd looks, DEE in Dovecot.
"""
import base64
import os
import smtplib
import socket
import ssl

from . import proc, slapd
from .case import RelayCase
from .dovecot import Dovecot
from .saslauthd import Saslauthd
from .scram import Scram

LEA, SAM, DEE = (f"{name}@clinic.example" for name in ("lea", "sam", "dee"))


class UnixSMTP(smtplib.SMTP):
    """host is the path."""

    def _get_socket(self, host, port, timeout):
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(timeout)
        peer.connect(host)
        return peer


def unverified():
    """A client's context that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # a default context reads all authorities
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def coded(text):
    return base64.b64encode(text.encode()).decode()


def _answer(reply):
    code, said = reply
    return code, said.decode().split()[0] if code >= 400 or code == 235 else ""


def log_in(client, mechanism, user, password):
    """(code, enhanced code) of what AUTH ends with; `client` has said EHLO."""
    if mechanism == "PLAIN":
        return _answer(client.docmd("AUTH PLAIN " + coded(f"\0{user}\0{password}")))
    if mechanism == "LOGIN":
        for line in ("AUTH LOGIN", coded(user), coded(password)):
            reply = client.docmd(line)
            if reply[0] != 334:
                break
        return _answer(reply)
    bound = mechanism.endswith("-PLUS")  # to a connection that is not ours: Python cannot export keys
    scram = Scram(user, password, "p=tls-exporter,," if bound else "n,,", bytes(32) if bound else b"")
    reply = client.docmd(f"AUTH {mechanism} {coded(scram.first())}")
    if reply[0] == 334:
        reply = client.docmd(coded(scram.final(base64.b64decode(reply[1]).decode())))
    return _answer(client.docmd("") if reply[0] == 334 else reply)


class BackendCase(RelayCase):
    people = (slapd.person("Lea", mail=[LEA], userPassword=["lea's"]) +
              slapd.person("Sam", description=[SAM], userPassword=["sam's"]))

    def enter(self, service):
        service.__enter__()
        self.addCleanup(service.__exit__, None, None, None)
        return service

    def backends(self, *backends, **auth):
        """Starts what is behind them; the section `auth`."""
        try:
            if {"ldap", "saslauthd"} & set(backends):
                self.slapd = self.enter(slapd.Slapd(os.path.join(self.directory, "slapd"), self.builddir,
                                                    self.people))
                auth["ldap"] = {"uris": [self.slapd.uri], "starttls": False, "base": slapd.SUFFIX,
                                **auth.get("ldap", {})}
            if "saslauthd" in backends:
                self.saslauthd = self.enter(Saslauthd(self.directory, self.builddir, {
                    "ldap_servers": self.slapd.uri, "ldap_search_base": slapd.SUFFIX,
                    "ldap_filter": "(description=%u@%r)"}))
                auth["saslauthd"] = {"socket": self.saslauthd.socket, "domains": ["clinic.example"]}
            if "dovecot" in backends:
                self.dovecot = self.enter(Dovecot(os.path.join(self.directory, "dovecot"), self.builddir,
                                                  users={DEE: ""}, passwords={DEE: "dee's"}))
                auth["dovecot"] = {"socket": self.dovecot.auth}
        except proc.CannotRun as reason:
            self.skipTest(str(reason))
        return {"backends": list(backends), **auth}
