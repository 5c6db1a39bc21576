# SPDX-License-Identifier: Apache-2.0
"""OpenPGP: PGP/MIME that gpg, sq and rnp open, keys in the store, helpers that die (SPEC T6, C13, C14)."""
import base64
import email
import email.policy
import hashlib
import json
import os
import pathlib
import signal
import smtplib
import subprocess
import threading

from tests.lib import openpgp
from tests.lib.case import RelayCase
from tests.lib.certificates import certificate
from tests.lib.nexthop import NextHop
from tests.lib.proc import wait_until
from tests.lib.webservice import WebService

ALICE, BOB, CAROL = "alice@openpgp.example", "bob@openpgp.example", "carol@example.com"
SECRET = "the secret is out"
MESSAGE = (f"From: ada@clinic.example\r\nTo: {ALICE}, {BOB}\r\nSubject: a quiet word\r\nThread-Topic: a quiet word\r\n"
           "Keywords: quiet\r\nMessage-ID: <1@clinic.example>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n"
           "X-Ticket: 7\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
           f"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{SECRET} \u00e4\r\n"
           "--b\r\nContent-Type: text/html\r\n\r\n<p>hello</p>\r\n--b--\r\n").encode()


def helpers(relay):
    """Processes of crypt that work for this relay, by their homes."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            environment = (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        home = f"GNUPGHOME={relay.run}/crypt-".encode()
        if any(variable.startswith(home) for variable in environment):
            found.append(int(path.name))
    return found


class Pgp(RelayCase):
    def pgp(self, hop, rules, **settings):
        keys = pathlib.Path(self.directory, "keys")
        keys.mkdir()
        os.chmod(keys, 0o755)
        for address, name in ((ALICE, "alice"), (BOB, "bob"), (CAROL, "carol")):
            (keys / address).write_bytes(openpgp.dearmoured((openpgp.KEYS / f"{name}-public.asc").read_bytes()))
        (keys / "old@openpgp.example").write_bytes(
            openpgp.dearmoured((openpgp.KEYS / "subkey-expired.asc").read_bytes()))
        sections = {"selector": {"want": "sender", "rules": rules, "keys": str(keys)}, "pki": settings}
        relay = self.relay({"plain": {"tls": "none", "auth": "off"}}, routes=[hop.route],
                           pipeline=["selector", "pki"], sections=sections)
        relay.programs.modules += f":{self.builddir}/tests/modules/.libs"
        return relay.start()

    def send(self, relay, *recipients, message=MESSAGE):
        with smtplib.SMTP("127.0.0.1", relay.port("plain"), timeout=60) as client:
            client.ehlo("client.example")
            client.mail("ada@clinic.example", ["BODY=8BITMIME"])
            for recipient in recipients:
                self.assertEqual(client.rcpt(recipient)[0], 250)
            return client.data(message)

    def armour(self, data):
        """What is encrypted of a PGP/MIME message, after a look at what stands around it (RFC 3156 section 4)."""
        message = email.message_from_bytes(data, policy=email.policy.SMTP)
        self.assertEqual(message.get_content_type(), "multipart/encrypted")
        self.assertEqual(message.get_param("protocol"), "application/pgp-encrypted")
        first, second = message.get_payload()
        self.assertEqual(first.get_content_type(), "application/pgp-encrypted")
        self.assertEqual(first.get_payload().strip(), "Version: 1")
        self.assertEqual(second.get_content_type(), "application/octet-stream")
        self.assertEqual(second.get_filename(), "encrypted.asc")
        armour = second.get_payload().encode()
        self.assertNotIn(b"Version", armour)
        self.assertNotIn(b"Comment", armour)
        return armour

    def check_outside(self, data):
        head = data.split(b"\r\n\r\n", 1)[0]
        self.assertIn(b"Subject: [...]", head)
        self.assertIn(b"X-Ticket: 7", head)
        for text in (SECRET.encode(), b"quiet", b"Keywords", b"Thread-Topic"):
            self.assertNotIn(text, data)

    def check_inside(self, clear):
        """RFC 9788: the header is inside, with what is said outside."""
        message = email.message_from_bytes(clear, policy=email.policy.default)
        self.assertEqual(message["Subject"], "a quiet word")
        self.assertEqual(message["Keywords"], "quiet")
        self.assertEqual(message["Message-ID"], "<1@clinic.example>")
        self.assertEqual(message.get_content_type(), "multipart/mixed")
        self.assertEqual(message.get_param("hp"), "cipher")
        self.assertIn("Subject: [...]", message.get_all("HP-Outer"))
        self.assertIn("From: ada@clinic.example", message.get_all("HP-Outer"))
        self.assertIn(f"{SECRET} \u00e4", message.get_payload()[0].get_content())
        self.assertTrue(clear.endswith(MESSAGE.split(b"\r\n\r\n", 1)[1]))

    def test_opened_by_others(self):
        """One rendering for two, Bcc alone; gpg, sq and rnp open them; a key that is of no use costs its owner alone."""
        with NextHop() as hop:
            relay = self.pgp(hop, ["=pgp"])
            code, text = self.send(relay, ALICE, CAROL, "old@openpgp.example", BOB)
            self.assertEqual(code, 250, text)
            came = {recipient.strip("<>"): data for _, recipients, data in hop.wait(3) for recipient in recipients}
            self.assertEqual(set(came), {ALICE, BOB, CAROL, "ada@clinic.example"})
            self.assertEqual(came[ALICE], came[BOB])
            self.assertNotEqual(came[ALICE], came[CAROL])
            self.assertIn(b"old@openpgp.example", came["ada@clinic.example"])    # the report
            for address in (ALICE, CAROL):
                self.check_outside(came[address])
            armour = self.armour(came[ALICE])
            with openpgp.Gpg() as gpg:
                gpg.load("alice-secret.asc")
                self.check_inside(gpg.open(armour))
            self.check_inside(openpgp.sq_open("bob-secret.asc", armour, self.directory))
            self.check_inside(openpgp.rnp_open("alice-secret.asc", armour))
            self.check_inside(openpgp.rnp_open("bob-secret.asc", armour))
            words = openpgp.packets(armour)
            self.assertEqual(words.count(":pubkey enc packet:"), 2)
            self.assertIn("mdc_method: 2", words)
            self.assertEqual(openpgp.packets(self.armour(came[CAROL])).count(":pubkey enc packet:"), 1)
            self.check_helpers(relay)

    def test_no_old_cipher(self):
        """A key without preferences gets AES all the same, not 3DES (RFC 9580 section 9.3)."""
        with NextHop() as hop, openpgp.Gpg() as gpg:
            relay = self.pgp(hop, ["=pgp"])
            fingerprint, _ = gpg.make("old@clinic.example")
            gpg.edit(fingerprint, "setpref none", "y", "save")
            pathlib.Path(self.directory, "keys", "old@clinic.example").write_bytes(gpg.run("--export", fingerprint))
            self.assertEqual(self.send(relay, "old@clinic.example")[0], 250)
            words = gpg.explain(self.armour(hop.wait(1)[0][2]))
            self.assertIn("AES256 encrypted data", words)

    def check_helpers(self, relay):
        """They have an environment of three names, end with the relay and leave nothing; no daemon of gpg runs."""
        pids = helpers(relay)
        self.assertTrue(pids)
        for pid in pids:
            names = {line.split(b"=")[0] for line in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if line}
            self.assertEqual(names, {b"PATH", b"LC_ALL", b"GNUPGHOME"})
        relay.stop()
        wait_until(lambda: not helpers(relay), 60, "the helpers' end")
        wait_until(lambda: not list(pathlib.Path(relay.run).glob("crypt-*")), 60, "the homes' end")

    def test_killed_helpers(self):
        """Helpers are killed under load: each message is delivered or its client hears 451; nothing is lost."""
        with NextHop() as hop:
            relay = self.pgp(hop, ["=pgp"])
            taken, refused, over = [], [], threading.Event()

            def kill():
                while not over.wait(0.03):
                    for pid in helpers(relay):
                        try:
                            os.kill(pid, signal.SIGKILL)
                        except ProcessLookupError:
                            pass

            def send(first):
                for i in range(first, 40, 4):
                    code, text = self.send(relay, ALICE, message=MESSAGE.replace(b"<1@", b"<%d@" % i))
                    (taken if code == 250 else refused).append((i, code))

            killer = threading.Thread(target=kill)
            senders = [threading.Thread(target=send, args=(i,)) for i in range(4)]
            for thread in [killer, *senders]:
                thread.start()
            for thread in senders:
                thread.join()
            over.set()
            killer.join()
            self.assertEqual(len(taken) + len(refused), 40)
            self.assertTrue(all(code == 451 for _, code in refused), refused)
            came = hop.wait(len(taken))
            with openpgp.Gpg() as gpg:
                gpg.load("alice-secret.asc")
                seen = {int(gpg.open(self.armour(data)).split(b"Message-ID: <")[1].split(b"@")[0]) for _, _, data in came}
            self.assertEqual(seen, {i for i, _ in taken})
            self.assertIn("crypt process", relay.log())
            self.assertEqual(self.send(relay, BOB)[0], 250)     # and it goes on


class Choosing(RelayCase):
    """Which key it is, and whose: the recipient's own word, then the directory of somebody else's domain."""

    def begin(self, hop, **settings):
        self.server = self.relay({"plain": {"tls": "none", "auth": "off"}}, routes=[hop.route],
                                 pipeline=["selector", "auth", "pki"],
                                 sections={"selector": {"want": "sender"}, "pki": settings,
                                           "directory": {"users": {ALICE: {}}}})
        self.server.programs.modules += f":{self.builddir}/tests/modules/.libs"
        return self.server.start()

    def send(self, recipient):
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            client.ehlo("client.example")
            client.mail("ada@clinic.example", ["BODY=8BITMIME"])
            code, text = client.rcpt(recipient)
            return client.data(MESSAGE) if code == 250 else (code, text)

    def kind(self, hop, count):
        return email.message_from_bytes(hop.wait(count)[-1][2]).get_content_type()

    def test_preference(self):
        """S1-07: with both keys there, what the recipient prefers; a key that is taken away is not used any more."""
        paths = [os.path.join(self.directory, name) for name in ("alice.pem", "alice.key")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", "/CN=alice", "-addext", f"subjectAltName=email:{ALICE}", "-out", paths[0], "-keyout",
                        paths[1]], check=True, stderr=subprocess.DEVNULL)
        with NextHop() as hop:
            relay = self.begin(hop)
            relay.ctl("pki", "import", paths[0])
            relay.ctl("pki", "import", str(openpgp.KEYS / "alice-public.asc"))
            wanted = []
            for kind, expected in (("pgp", "multipart/encrypted"), ("smime", "application/pkcs7-mime"),
                                   ("pgp", "multipart/encrypted")):
                relay.ctl("pki", "prefer", ALICE, kind)
                self.assertEqual(self.send(ALICE)[0], 250)
                wanted.append(expected)
                self.assertEqual(self.kind(hop, len(wanted)), expected)
            keys = json.loads(relay.ctl("--json", "pki", "list", ALICE).stdout)
            relay.ctl("pki", "remove", ALICE, next(key["fingerprint"] for key in keys if key["kind"] == "pgp"))
            self.assertEqual(self.send(ALICE)[0], 250)
            self.assertEqual(self.kind(hop, 4), "application/pkcs7-mime")

    def place(self, address):
        local, _, domain = address.partition("@")
        digest = base64.b32encode(hashlib.sha1(local.encode()).digest()).decode()
        hashed = digest.translate(str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "ybndrfg8ejkmcpqxot1uwisza345h769"))
        return f"/.well-known/openpgpkey/{domain}/hu/{hashed}"

    def test_web_key_directory(self):
        """Found and not found are remembered; what cannot be asked now is neither; somebody else's key is none."""
        cert, key = certificate(self.directory, "localhost")
        with NextHop() as hop, WebService(certificate=(cert, key)) as service:
            service.pages = {self.place(BOB): openpgp.dearmoured((openpgp.KEYS / "bob-public.asc").read_bytes()),
                             self.place("dan@example.com"): (openpgp.KEYS / "carol-public.asc").read_bytes()}
            self.begin(hop, wkd=True, wkd_server=service.url.removesuffix("/ask"), wkd_ca_file=cert)
            for count in (1, 2):
                self.assertEqual(self.send(BOB)[0], 250)
                self.assertEqual(self.kind(hop, count), "multipart/encrypted")
            for _ in range(2):
                self.assertEqual(self.send("eve@example.com")[0], 550)
                self.assertEqual(self.send("dan@example.com")[0], 550)  # there is a key, but it is carol's
            self.assertEqual([path.partition("?")[0] for path, _, _ in service.requests],
                             [self.place(BOB), self.place("eve@example.com"), self.place("dan@example.com")])
            service.status = 503
            self.assertEqual(self.send(CAROL)[0], 451)


class Store(RelayCase):
    def pki(self, *arguments, check=True):
        done = self.server.ctl("--json", "pki", *arguments, check=check)
        return json.loads(done.stdout or "[]"), done

    def begin(self):
        self.server = self.relay({"plain": {"tls": "none", "auth": "off"}}, pipeline=["auth", "pki"],
                                 sections={"directory": {"users": {"ada@clinic.example": {}}}})

    def test_keys_come_in_files(self):
        """Armoured and binary, several in a file, a key under each of its addresses; what is not taken says why."""
        self.begin()
        with openpgp.Gpg() as gpg:
            both, armoured = gpg.make("ada@clinic.example", "lovelace@clinic.example")
            files = [(openpgp.KEYS / name).read_bytes() for name in
                     ("alice-public.asc", "expired.asc", "weak.asc", "bob-secret.asc")]
            path = pathlib.Path(self.directory, "keys.asc")
            path.write_bytes(b"\n".join([armoured, *files]))
        rows, _ = self.pki("import", str(path))
        said = [(row["address"], row["result"].split(":")[0]) for row in rows]
        self.assertEqual(sorted(said[:2]), [("ada@clinic.example", "stored"), ("lovelace@clinic.example", "stored")])
        self.assertEqual(said[2:5], [(ALICE, "stored"), ("alice@rnp", "expired on 2020-07-02"),
                                     ("nickolay@localhost", "is too weak")])
        self.assertIn("is a secret key", said[5][1])
        self.assertEqual({row["fingerprint"] for row in rows[:2]}, {both})
        rows, _ = self.pki("list")
        self.assertEqual([(row["address"], row["kind"]) for row in rows],
                         [("ada@clinic.example", "pgp"), (ALICE, "pgp"), ("lovelace@clinic.example", "pgp")])
        path.write_bytes(openpgp.dearmoured((openpgp.KEYS / "carol-public.asc").read_bytes()))
        self.assertEqual(self.pki("import", str(path))[0][0]["address"], CAROL)
        path.write_bytes((openpgp.KEYS / "revoked.asc").read_bytes())
        done = self.pki("import", str(path), check=False)[1]
        self.assertEqual(done.returncode, 1)
        self.assertIn("the key was revoked", done.stderr)
        self.assertEqual(list(pathlib.Path(self.server.run).glob("crypt-*")), [])
