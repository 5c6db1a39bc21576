# SPDX-License-Identifier: Apache-2.0
"""Files of secrets that are replaced are noticed within a minute, whatever they are called; one that
may not be used changes nothing."""
import os
import smtplib

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.certificates import certificate
from tests.lib.nexthop import NextHop
from tests.lib.postern import File

OPEN = {"tls": "none", "auth": "off", "networks": ["127.0.0.0/8"]}
USER, RIGHT = "relay@clinic.example", "open sesame"
NOTICED_SECONDS = 60


class Secrets(RelayCase):
    def setUp(self):
        super().setUp()
        # The next hop's password, in a file that one might take for configuration.
        self.path = os.path.join(self.directory, "password.yaml")
        self.write("wrong")
        self.pair = pair = certificate(self.directory, "localhost")
        self.hop = NextHop(tls=pair, login=(USER, RIGHT)).__enter__()
        self.addCleanup(self.hop.__exit__)
        route = {"to": "smarthost", "host": f"localhost:{self.hop.port}", "tls": "verify",
                 "ca_file": pair[0], "auth": {"user": USER, "password": File(self.path)}}
        self.server = self.relay({"plain": OPEN}, [route], relay={
            "queue": {"retry_first": "200ms", "retry_most": "1s"}}).start()

    def write(self, password, mode=0o600):
        """Another file under the same name, as tools that change passwords do."""
        with open(self.path + ".new", "w") as file:
            os.fchmod(file.fileno(), mode)
            file.write(password + "\n")
        os.rename(self.path + ".new", self.path)

    def send(self):
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            client.sendmail("a@clinic.example", ["b@partner.example"], "Subject: x\r\n\r\nhello\r\n")

    def logged(self, text, count=1):
        proc.wait_until(lambda: self.server.log().count(text) >= count, NOTICED_SECONDS, f"the log says {text}")

    def test_authorities_noticed(self):
        """The file of `ca_file`, which OpenSSL reads: replaced, it counts; without a certificate it changes nothing."""
        self.write(RIGHT)
        self.logged("reloaded generation=2")
        other = os.path.join(self.directory, "other")
        os.mkdir(other)
        good = open(self.pair[0]).read()
        bad = open(certificate(other, "localhost")[0]).read()
        for text, said in ((bad, "reloaded generation=3"), ("nothing", "holds no certificate in PEM"),
                           (good, "reloaded generation=4")):
            with open(self.pair[0] + ".new", "w") as file:
                file.write(text)
            os.rename(self.pair[0] + ".new", self.pair[0])
            self.logged(said)
            if text == bad:
                self.send()
                self.logged("=deferred ")
        self.hop.wait(1, NOTICED_SECONDS)
        self.assertIn(f"file-changed path={self.pair[0]}", self.server.log())

    def test_secrets_noticed(self):
        self.send()
        self.logged("=deferred ")
        self.write(RIGHT)
        self.hop.wait(1, NOTICED_SECONDS)
        self.assertIn(f"file-changed path={self.path}", self.server.log())
        self.logged("reloaded generation=2")

        self.write("everyone may read this", 0o644)
        self.logged("reload-refused")
        self.assertRegex(self.server.log(), r"reload-refused reason=.*password\.yaml")
        self.send()
        self.hop.wait(2)

        self.write(RIGHT)
        self.logged("reloaded generation=3")
        self.assertNotIn(RIGHT, self.server.log())
        self.assertNotIn("everyone may read", self.server.log())
