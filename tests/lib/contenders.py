# SPDX-License-Identifier: Apache-2.0
"""contenders.py - the relays of the benchmark behind one face, each with a sink of its own."""
import os
import shutil

from .certificates import certificate
from .postern import Relay
from .postfix import Postfix
from .traffic import Sink

USER, PASSWORD = "load@example.com", "correct-horse-battery"


class _Contender:
    once = False         # measured once, for orientation
    secures = True       # has a listener for STARTTLS and AUTH
    only_secure = False  # and no other
    factor = 1           # messages per run, times the case's
    idle_sessions = (25, 75)  # opened before the first look, and between it and the second

    def __init__(self, name, directory, builddir):
        self.name, self.builddir = name, builddir
        self.directory = os.path.join(directory, name.lower().replace(" ", "-"))
        self.certificate = certificate(os.path.join(directory, "tls"))
        self.sink = None
        self.notes = []

    @staticmethod
    def login():
        return {"starttls": True, "auth": f"{USER}:{PASSWORD}"}


class PostfixContender(_Contender):
    """One Postfix with a plain listener and one that wants STARTTLS and AUTH."""

    def __init__(self, name, directory, builddir, main_cf, once=False):
        super().__init__(name, directory, builddir)
        self.main_cf, self.once = main_cf, once
        self.server = None

    def start(self):
        self.sink = Sink(self.builddir)
        self.server = Postfix(self.directory, self.builddir, "relay",
                              relayhost=f"127.0.0.1:{self.sink.port}", main_cf=self.main_cf,
                              tls=self.certificate, sasl=(USER, PASSWORD))
        self.server.remove()
        self.server.start()

    def stop(self):
        if self.server:
            self.server.stop()
            self.server.remove()
        if self.sink:
            self.sink.stop()

    def pid(self, secure):
        return self.server.pid

    def port(self, secure):
        return self.server.submission_port if secure else self.server.port

    def describe(self):
        return f"{self.name} {self.server.version()}"


class PosternContender(_Contender):
    """Two relays: an empty chain for plain mail, the module auth alone for the other."""
    # Runs as long as the others' would be over too soon to measure.
    factor = 4
    idle_sessions = (1000, 3000)
    limits = {"limits": {"connections": 5000, "connections_per_address": 5000}}

    def __init__(self, name, directory, builddir):
        super().__init__(name, directory, builddir)
        self.plain = self.secure = None

    def _relay(self, name, listener, **more):
        return Relay(os.path.join(self.directory, name), self.builddir,
                     listeners={"bench": dict(listener, fixups=False)},
                     routes=[{"to": "smarthost", "host": f"127.0.0.1:{self.sink.port}",
                              "tls": "none"}], relay=self.limits, **more)

    def start(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        self.sink = Sink(self.builddir)
        self.plain = self._relay("plain", {"tls": "none", "auth": "off",
                                           "networks": ["127.0.0.0/8"]})
        self.notes += [self.plain.note] if self.plain.note else []
        self.plain.start()
        self.secures = self.plain.programs.has_module("auth")
        if not self.secures:
            self.notes.append("SKIPPED: Postern with TLS+AUTH, the module auth is not built")
            return
        self.secure = self._relay("secure", {"tls": "starttls", "auth": "required"},
                                  pipeline=["auth"], tls=self.certificate)
        self.secure.add_user(USER, PASSWORD)
        self.secure.start()

    def stop(self):
        for relay in self._relays():
            if relay:
                relay.stop()
        if self.sink:
            self.sink.stop()

    def _relays(self):
        return self.plain, self.secure

    def pid(self, secure):
        return (self.secure if secure else self.plain).pid

    def port(self, secure):
        return (self.secure if secure else self.plain).port("bench")

    def describe(self):
        return self.name


class GateContender(PosternContender):
    """The same with who may send what to whom, and how much, in a directory of a thousand users."""
    only_secure = True
    gate = ("auth", "sender-restrictions", "recipient-restrictions", "limits")
    users = 1000

    def __init__(self, name, directory, builddir):
        super().__init__(name, directory, builddir)
        self.gated = None

    def start(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        self.sink = Sink(self.builddir)
        users = {f"user{i}@example.com": {"aliases": [f"alias{i}@example.com"]} for i in range(self.users - 1)}
        groups = {"all": list(users)[:100]}
        accounts = {"example": {"domains": ["example.com"], "networks": [{"range": "192.0.2.0/24"}],
                                "licences": 2 * self.users, "plan": "high"}}
        large = 10 ** 9
        self.gated = self._relay(
            "gate", {"tls": "starttls", "auth": "required"}, pipeline=list(self.gate), tls=self.certificate, sections={
                "directory": {"accounts": accounts, "users": users, "groups": groups},
                "recipient-restrictions": {"deny": [f"refused{i}.example" for i in range(100)],
                                           "groups": {"all": {"recipients": 50}}},
                "limits": {"user": {"messages": large, "unique_recipients": large},
                           "account": {"recipients_per_licence": 0, "most": large},
                           "peak": {"recipients_per_licence": 0, "most": large}}})
        self.gated.add_user(USER, PASSWORD)
        self.gated.start()

    def _relays(self):
        return (self.gated,)

    def pid(self, secure):
        return self.gated.pid

    def port(self, secure):
        return self.gated.port("bench")
