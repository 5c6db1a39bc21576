# SPDX-License-Identifier: Apache-2.0
"""Real clients submit with STARTTLS on 587's habits and with TLS on 465's (SPEC R1, A5; S0-01)."""
import email.message
import os
import shutil
import smtplib
import ssl
import subprocess

from tests.lib.case import PASSWORD, USER, RelayCase

RECIPIENT = "bo@partner.example"
TEXT = "From: ada@clinic.example\nTo: bo@partner.example\nSubject: {}\n\nGr=C3=BC\xc3\x9fe\n"

NODE = """
const nodemailer = require("nodemailer");
const [port, secure, user, pass] = process.argv.slice(1);
nodemailer.createTransport({host: "127.0.0.1", port: Number(port), secure: secure === "yes",
    requireTLS: true, auth: {user, pass}, tls: {rejectUnauthorized: false}})
    .sendMail({from: user, to: "bo@partner.example", subject: "by nodemailer", text: "Grüße",
        html: "<p>Grüße</p>", attachments: [{filename: "a.bin", content: Buffer.alloc(3000, 7)}]})
    .then(() => process.exit(0), (e) => { console.error(e); process.exit(1); });
"""


class Clients(RelayCase):
    def setUp(self):
        super().setUp()
        self.server = self.relay_with_user().start()

    def program(self, *command, **more):
        if not shutil.which(command[0]):
            self.skipTest(f"{command[0]} is not installed")
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, **more)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def arrived(self, subject):
        """One more message, with a trace header that says how it came."""
        message = self.delivered(1)[-1]
        self.assertIn(f"Subject: {subject}".encode(), message)
        self.assertIn(b"with ESMTPSA", message)
        self.assertIn(b"TLSv1.3", message)

    def swaks(self, port, *how):
        self.program("swaks", "--server", f"127.0.0.1:{self.server.port(port)}", *how, "--auth", "PLAIN",
                     "--auth-user", USER, "--auth-password", PASSWORD, "--from", USER, "--to", RECIPIENT,
                     "--header", "Subject: by swaks")
        self.arrived("by swaks")

    def test_swaks_starttls(self):
        self.swaks("submission", "--tls")

    def test_swaks_tls(self):
        self.swaks("submissions", "--tls-on-connect")

    def msmtp(self, port, starttls):
        self.program("msmtp", "--host=127.0.0.1", f"--port={self.server.port(port)}", "--tls=on",
                     f"--tls-starttls={starttls}", "--tls-certcheck=off", "--auth=login",
                     f"--user={USER}", f"--passwordeval=echo {PASSWORD}", f"--from={USER}", RECIPIENT,
                     input=TEXT.format("by msmtp"))
        self.arrived("by msmtp")

    def test_msmtp_starttls(self):
        self.msmtp("submission", "on")

    def test_msmtp_tls(self):
        self.msmtp("submissions", "off")

    def curl(self, scheme, port):
        path = os.path.join(self.directory, "mail.txt")
        with open(path, "w") as file:
            file.write(TEXT.format("by curl"))
        self.program("curl", "--silent", "--show-error", "--insecure", "--ssl-reqd",
                     "--url", f"{scheme}://127.0.0.1:{self.server.port(port)}/client.example",
                     "--user", f"{USER}:{PASSWORD}", "--mail-from", USER, "--mail-rcpt", RECIPIENT,
                     "--upload-file", path, "--crlf")
        self.arrived("by curl")

    def test_curl_starttls(self):
        self.curl("smtp", "submission")

    def test_curl_tls(self):
        self.curl("smtps", "submissions")

    def nodemailer(self, port, secure):
        self.program("node", "-e", NODE, str(self.server.port(port)), secure, USER, PASSWORD,
                     env=dict(os.environ, NODE_PATH="/usr/share/nodejs:/usr/lib/nodejs"))
        self.arrived("by nodemailer")

    def test_nodemailer_starttls(self):
        self.nodemailer("submission", "no")

    def test_nodemailer_tls(self):
        self.nodemailer("submissions", "yes")

    def smtplib(self, client):
        message = email.message.EmailMessage()
        message["From"], message["To"], message["Subject"] = USER, RECIPIENT, "by smtplib"
        message.set_content("Grüße\n")
        client.login(USER, PASSWORD)
        self.assertEqual(client.send_message(message), {})
        client.quit()
        self.arrived("by smtplib")

    def test_smtplib_starttls(self):
        client = smtplib.SMTP("127.0.0.1", self.server.port("submission"))
        client.starttls(context=ssl._create_unverified_context())
        self.smtplib(client)

    def test_smtplib_tls(self):
        self.smtplib(smtplib.SMTP_SSL("127.0.0.1", self.server.port("submissions"),
                                      context=ssl._create_unverified_context()))

    def test_smtplib_wrong_password(self):
        client = smtplib.SMTP_SSL("127.0.0.1", self.server.port("submissions"),
                                  context=ssl._create_unverified_context())
        with self.assertRaises(smtplib.SMTPAuthenticationError) as refused:
            client.login(USER, "wrong")
        self.assertEqual(refused.exception.smtp_code, 535)
