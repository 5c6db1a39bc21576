# SPDX-License-Identifier: Apache-2.0
"""Who gets in how: mechanisms by backends by states of TLS."""
import concurrent.futures
import os
import smtplib

from tests.lib.backends import DEE, LEA, SAM, BackendCase, UnixSMTP, log_in, unverified
from tests.lib.case import PASSWORD, USER
from tests.lib.certificates import certificate
from tests.lib.client_ca import ClientCA

USERS = {"database": (USER, PASSWORD), "ldap": (LEA, "lea's"), "saslauthd": (SAM, "sam's"), "dovecot": (DEE, "dee's")}
MECHANISMS = ("PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")
PROTECTED, UNIX, CLEAR = ("starttls", "implicit"), "unix", "none"
IN, WRONG, NOT_OFFERED = (235, "2.7.0"), (535, "5.7.8"), (504, "5.5.4")
STARTTLS_FIRST = (530, b"5.7.0 Must issue a STARTTLS command first")


def expected(state, mechanism, backend, right):
    """What the cell of the table says."""
    if state == CLEAR:
        return STARTTLS_FIRST[0], "5.7.0"
    if mechanism == "SCRAM-SHA-256-PLUS":
        return WRONG if state in PROTECTED else NOT_OFFERED  # the client binds to another connection
    if mechanism == "SCRAM-SHA-256" and backend != "database":
        return WRONG  # nobody else's keys are here
    return IN if right else WRONG


class Matrix(BackendCase):
    def serve(self):
        self.path = os.path.join(self.directory, "smtp")
        self.ca = ClientCA(self.directory)
        asking = {"client_certificate": "ask", "client_ca": self.ca.certificate}
        auth = self.backends(*USERS, mechanisms=[*(word.lower() for word in MECHANISMS), "external"],
                             external_by=["address"], failures={"per_client_and_user": 1000})
        self.server = self.relay({"submission": {"tls": "starttls", "auth": "required", **asking},
                                  "submissions": {"tls": "implicit", "auth": "required", **asking}}, pipeline=["auth"],
                                 tls=certificate(self.directory, "localhost"), sections={"auth": auth})
        self.server.relay["listeners"] = self.server.settings()["relay"]["listeners"] + [
            {"name": "path", "address": f"unix:{self.path}", "tls": "none", "auth": "required",
             "auth_without_tls": True}]
        self.server.write()
        self.server.ctl("user", "add", USER)
        self.server.ctl("user", "passwd", "--scram", USER, stdin=PASSWORD + "\n")
        self.server.start()

    def connect(self, state, shown=None):
        context = unverified()
        if shown:
            context.load_cert_chain(*shown)
        if state == "implicit":
            client = smtplib.SMTP_SSL("127.0.0.1", self.server.port("submissions"), timeout=60, context=context)
        elif state == UNIX:
            client = UnixSMTP(self.path, 25, timeout=60)
        else:
            client = smtplib.SMTP("127.0.0.1", self.server.port("submission"), timeout=60)
        if state == "starttls":
            client.starttls(context=context)
        client.ehlo("client.example")
        return client

    def try_cell(self, cell):
        state, mechanism, backend, right = cell
        user, password = USERS[backend]
        with self.connect(state) as client:
            return log_in(client, mechanism, user, password if right else "wrong")

    def test_every_cell(self):
        """S0-01, S2-34, A2: 64 cells, 16 of wrong passwords, and 16 of EXTERNAL."""
        self.serve()
        cells = [(state, mechanism, backend, right) for state in (*PROTECTED, UNIX, CLEAR)
                 for mechanism in MECHANISMS for backend in USERS for right in (True, False)
                 if right or state == "implicit"]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for cell, answer in zip(cells, pool.map(self.try_cell, cells)):
                with self.subTest(cell):
                    self.assertEqual(answer, expected(*cell))
        with self.connect(CLEAR) as client:
            self.assertNotIn("auth", client.esmtp_features)
            self.assertEqual(client.docmd(f"MAIL FROM:<{USER}>"), STARTTLS_FIRST)
        with self.connect("implicit") as client:
            self.assertEqual(client.esmtp_features["auth"].split(), list(MECHANISMS))

        shown = {"own": self.ca.issue("own", f"email:{USER}"), "strange": self.ca.issue("strange", "email:x@y.example"),
                 "expired": self.ca.issue("expired", f"email:{USER}", expired=True), "none": None}
        for state in (*PROTECTED, UNIX, CLEAR):
            for which, pair in shown.items():
                offered = state in PROTECTED and which in ("own", "strange")
                with self.subTest("EXTERNAL", state=state, shown=which), self.connect(state, pair) as client:
                    self.assertEqual("EXTERNAL" in client.esmtp_features.get("auth", "").split(), offered)
                    code, said = client.docmd("AUTH EXTERNAL =")
                    right = (STARTTLS_FIRST[0], "5.7.0") if state == CLEAR else NOT_OFFERED
                    if offered:
                        right = IN if which == "own" else WRONG
                    self.assertEqual((code, said.decode().split()[0]), right)

    def test_probe(self):
        """S0-02: connect, TLS, AUTH, QUIT succeeds as often as it comes and counts as no message."""
        server = self.server = self.relay_with_user(sections={"auth": {"failures": {"per_client_and_user": 3}}})
        server.start()
        before = server.status()
        for state in (*PROTECTED, *PROTECTED):
            with self.connect(state) as client:
                self.assertEqual(log_in(client, "PLAIN", USER, PASSWORD), IN)
                self.assertEqual(client.quit()[0], 221)
        for _ in range(3):  # a wrong password is refused at once, and no probe forgives it
            with self.connect("implicit") as client:
                self.assertEqual(log_in(client, "PLAIN", USER, "wrong"), WRONG)
        after = server.status()
        for key in ("transactions", "accepted", "waiting", "messages_refused", "recipients_refused"):
            self.assertEqual(after[key], before[key], key)
        self.assertNotIn("event=accepted", server.log())

    def test_required_means_tls(self):
        """S2-29, A4: AUTH without TLS is a mistake, but at a unix socket that says so."""
        listener = {"name": "a", "address": "192.0.2.1:587", "tls": "none", "auth": "required"}
        relay = self.relay({"plain": {"tls": "none", "auth": "off"}}, pipeline=["auth"])
        for own, good in (({}, False), ({"auth": "offered"}, False), ({"auth_without_tls": True}, False),
                          ({"address": "unix:/run/x"}, False),
                          ({"address": "unix:/run/x", "auth_without_tls": True}, True)):
            with self.subTest(own):
                relay.relay["listeners"] = [{**listener, **own}]
                relay.write()
                self.assertEqual(relay.ctl("check", check=False).returncode == 0, good)
