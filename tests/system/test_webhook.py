# SPDX-License-Identifier: Apache-2.0
"""A stranger's module that asks a web service (tests/modules/webhook.c), over TLS and a unix socket."""
import base64
import os
import re
import smtplib
import subprocess
import tempfile
import urllib.parse

from tests.lib.case import RelayCase
from tests.lib.certificates import certificate
from tests.lib.postern import File
from tests.lib.webservice import WebService

TOKEN = "Bearer 6f1c9a-this-is-a-secret-4410"


def pin_of(cert):
    """sha256// of the public key in DER, as its owner would make it with openssl."""
    key = subprocess.run(["openssl", "x509", "-in", cert, "-pubkey", "-noout"], check=True, capture_output=True)
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key.stdout, check=True,
                         capture_output=True)
    digest = subprocess.run(["openssl", "dgst", "-sha256", "-binary"], input=der.stdout, check=True,
                            capture_output=True)
    return "sha256//" + base64.b64encode(digest.stdout).decode()


class Webhook(RelayCase):
    def start(self, service, **more):
        secret = os.path.join(self.directory, "token")
        with open(secret, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(TOKEN + "\n")
        relay = self.relay({"plain": {"tls": "none", "auth": "off"}}, pipeline=["webhook"],
                           sections={"webhook": {"service": {"url": service.url, "authorization": File(secret),
                                                             **more}}})
        relay.programs.modules += f":{self.builddir}/tests/modules/.libs"
        return relay.start()

    def send(self, relay):
        """The code with which a message is answered."""
        with smtplib.SMTP("127.0.0.1", relay.port("plain"), timeout=60) as client:
            try:
                client.sendmail("a+b@clinic.example", ["b@partner.example"], "Subject: x\r\n\r\nx\r\n")
                return 250
            except smtplib.SMTPDataError as refused:
                return refused.smtp_code

    def faults(self, relay):
        return re.findall(r"=fault .*error=\"([^\"]*)\"", relay.log())

    def test_asks_over_tls(self):
        cert = certificate(self.directory, "localhost")
        with WebService(cert) as service:
            relay = self.start(service, ca_file=cert[0], pins=[pin_of(cert[0])])
            self.assertEqual(self.send(relay), 250)
            path, fields, body = service.requests[0]
            self.assertEqual((path, fields["Authorization"]), ("/ask", TOKEN))
            form = urllib.parse.parse_qs(body.decode(), strict_parsing=True)
            self.assertEqual(form["sender"], ["a+b@clinic.example"])
            service.status = 403
            self.assertEqual(self.send(relay), 550)
            service.status = 500
            self.assertEqual(self.send(relay), 451)
            self.assertIn('postern_webhook_answers_total{entry="webhook",status="403"} 1\n',
                          relay.ctl("metrics").stdout)
            self.assertNotIn("this-is-a-secret", relay.log())

    def test_not_the_server_that_it_should_be(self):
        cert, other = certificate(self.directory, "localhost"), certificate(self.directory, "other.test")
        wrong = {"unknown to the system": {},
                 "another authority": {"ca_file": other[0]},
                 "another key": {"ca_file": cert[0], "pins": [pin_of(other[0])]}}
        with WebService(cert) as service:
            for name, settings in wrong.items():
                with self.subTest(name):
                    relay = self.start(service, **settings)
                    self.assertEqual(self.send(relay), 451)
                    self.assertEqual(len(self.faults(relay)), 1)
                    relay.stop()
                    os.unlink(relay.log_path)
        with WebService(other) as service:
            with self.subTest("another name"):
                self.assertEqual(self.send(self.start(service, ca_file=other[0])), 451)
        self.assertEqual(service.requests, [])

    def test_unix_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            with WebService(unix_socket=os.path.join(folder, "s")) as service:
                relay = self.start(service, unix_socket=os.path.join(folder, "s"))
                self.assertEqual(self.send(relay), 250)
                self.assertEqual(service.requests[0][1]["Host"], "service.test")

    def test_secret_does_not_stay_in_memory(self):
        """The field as it went over the wire is in no page of the relay once it is sent."""
        cert = certificate(self.directory, "localhost")
        with WebService(cert) as service:
            relay = self.start(service, ca_file=cert[0])
            for _ in range(3):
                self.assertEqual(self.send(relay), 250)
            try:
                pages = self.memory(relay.child("relay"))
            except PermissionError as problem:
                self.skipTest(f"the relay's memory cannot be read: {problem}")
            self.assertIn(b"a+b@clinic.example", pages)
            self.assertNotIn(f"Authorization: {TOKEN}".encode(), pages)

    @staticmethod
    def memory(pid):
        """All that can be written and read, in one piece."""
        pages = bytearray()
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                area, rights = line.split()[:2]
                begin, end = (int(number, 16) for number in area.split("-"))
                if rights.startswith("rw") and end - begin < 1 << 28:
                    memory.seek(begin)
                    try:
                        pages += memory.read(end - begin)
                    except OSError:
                        pass  # a guard page
        return bytes(pages)
