# SPDX-License-Identifier: Apache-2.0
"""Mail encrypted by S/MIME on its way (T5; S4-02): nothing of it is on the disk, and other programs open it."""
import json
import os
import pathlib
import smtplib

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.nexthop import NextHop
from tests.lib.smime import Authority, open_gpgsm, open_nss, open_openssl

CANARY = "canary-in-a-coal-mine"
SUBJECT = "subject-in-a-coal-mine"
MIB = 1 << 20


def letter(size=0):
    lines = f"{CANARY} in a line of its own, as long as others\r\n" * max(1, size // 60)
    return (f"From: ada@clinic.example\r\nTo: rsa@partner.example, ec@partner.example\r\nSubject: {SUBJECT}\r\n"
            f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{lines}")


class Smime(RelayCase):
    def begin(self, **pki):
        self.authority = Authority(os.path.join(self.directory, "ca"))
        self.people = {f"{kind}@partner.example": self.authority.certify(kind, f"{kind}@partner.example", kind)
                       for kind in ("rsa", "ec")}
        self.hop = self.enterContext(NextHop())
        self.server = self.relay({"plain": {"tls": "none", "auth": "off"}}, [self.hop.route],
                                 pipeline=["auth", "pki", "protection"],
                                 relay={"queue": {"retry_first": "200ms", "retry_most": "200ms"}},
                                 sections={"protection": {"wanted": "always"}, "pki": pki})
        self.server.ctl("pki", "import", self.authority.pem, check=False)
        for paths in self.people.values():
            self.server.ctl("pki", "import", paths[0])
        self.server.start()

    def client(self):
        client = smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60)
        self.addCleanup(client.close)
        client.ehlo()
        return client

    def everything(self):
        """All files of the state folder, and what the relay has open that has no name."""
        state = pathlib.Path(self.server.state)
        yield from (path for path in state.rglob("*") if path.is_file())
        for fd in pathlib.Path(f"/proc/{self.server.child('relay')}/fd").iterdir():
            try:
                target = os.readlink(fd)
            except OSError:
                continue
            if target.startswith("/") and target.endswith("(deleted)") and not target.startswith("/memfd"):
                yield fd

    def assert_no_canary(self):
        seen = 0
        for path in self.everything():
            try:
                bytes_ = path.read_bytes()
            except OSError:
                continue
            seen += 1
            for word in (CANARY, SUBJECT):
                self.assertNotIn(word.encode(), bytes_, path)
        self.assertGreater(seen, 1)

    def test_opens_elsewhere(self):
        """S4-02: OpenSSL, NSS (Thunderbird's library) and gpgsm read what a recipient gets."""
        self.begin()
        self.client().sendmail("ada@clinic.example", list(self.people), letter())
        mails = {recipients[0].strip("<>"): mail for _, recipients, mail in self.hop.wait(2, 60)}
        self.assertEqual(sorted(mails), sorted(self.people))
        for recipient, others in (("rsa@partner.example", (open_nss, open_gpgsm)), ("ec@partner.example", ())):
            # NSS 3.87 reads no key agreement, gpgsm 2.2.40 falls over an EC key in PKCS #12
            mail = mails[recipient]
            self.assertNotIn(CANARY.encode(), mail)
            self.assertIn(b"\r\nSubject: [...]\r\n", mail)
            for opened in (open_openssl, *others):
                clear = opened(mail, self.people[recipient])
                for word in (CANARY, f"Subject: {SUBJECT}", 'hp="cipher"'):
                    self.assertIn(word.encode(), clear, (opened, recipient))

    def test_nothing_on_the_disk(self):
        """No byte in clear in the state folder or in files without a name: while it comes, while it waits, behind."""
        self.begin()
        for number, size in enumerate((0, 3 * MIB)):
            text = letter(size)
            self.hop.answers["RCPT TO:<rsa@partner.example>"] = ["450 4.2.0 later"] * 3
            client = self.client()
            client.mail("ada@clinic.example")
            for recipient in self.people:
                self.assertEqual(client.rcpt(recipient)[0], 250)
            client.putcmd("data")
            self.assertEqual(client.getreply()[0], 354)
            client.sock.sendall(text[:-100].encode())
            self.assert_no_canary()
            client.sock.sendall(text[-100:].encode() + b".\r\n")
            self.assertEqual(client.getreply()[0], 250)
            self.assert_no_canary()
            proc.wait_until(self.server.queue_is_empty, 60, "it was delivered")
            self.assert_no_canary()
            for _, recipients, mail in self.hop.wait(2 * (number + 1), 60)[2 * number:]:
                self.assertIn(text.partition("\r\n\r\n")[2].encode(),
                              open_openssl(mail, self.people[recipients[0].strip("<>")]))

    def test_reasons(self):
        """T8, C53: explain says which key, and why there is none."""
        self.begin()
        path = os.path.join(self.directory, "mail.eml")
        pathlib.Path(path).write_text(letter())
        said = self.server.ctl("explain", "--from", "ada@clinic.example", "--to", "ec@partner.example",
                               "--to", "nobody@partner.example", path, check=False).stdout
        self.assertIn("of ec@partner.example", said)
        self.assertIn("there is no key of nobody@partner.example", said)
