# SPDX-License-Identifier: Apache-2.0
"""Conversion for next hops of seven bits (RFC 6152 section 3, RFC 3030 section 3), judged by Python's
parser: what every part decodes to is the same, and so is the structure."""
import collections
import email
import email.policy
import re
import smtplib
import unittest

from tests.lib import driver
from tests.lib.talk_tests import Peer
from tests.system.test_delivery import DeliveryCase

BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0|[\x80-\xff]")

# What a part declares, and what is in it.
FACES = [("text/plain; charset=utf-8", "Grüße, 世界\r\n zwei  \r\n\r\n.\r\nFrom here = ende \t\r\n".encode()),
         ("text/plain; charset=iso-8859-1; format=flowed; delsp=yes", "Fluß \r\nfließt \r\n-- \r\nDas Ende".encode("latin1")),
         ("text/plain", b"no charset: \xe4\xf6\xfc\r\n"),
         ("text/html; charset=\"koi8-r\"", "<p>Привет, мир: это письмо</p>\r\n".encode("koi8-r")),
         ("text/plain; charset=utf-16le", "weit\r\n".encode("utf-16le")),
         ("application/octet-stream", bytes(range(256)) * 3),
         ("image/png", b"\x89PNG\r\n\x1a\n" + b"\xff" * 200),
         ("text/plain; charset=utf-8", b""),
         ("text/plain; charset=utf-8", "ä".encode() * 400 + b"\r\n"),
         ("text/csv; charset=utf-8", b"a;b\nc;d\r" + "é".encode())]


def leaves(data):
    """(depth, type, charset, filename, content) of every part, in order."""
    def walk(part, depth):
        content = None if part.is_multipart() else part.get_payload(decode=True)
        yield depth, part.get_content_type(), part.get_param("charset"), part.get_filename(), content
        if part.is_multipart():
            for each in part.get_payload():
                yield from walk(each, depth + 1)
    return list(walk(email.message_from_bytes(data, policy=email.policy.compat32), 0))


def labels(data):
    return [part.get("Content-Transfer-Encoding", "7bit").strip().lower()
            for part in email.message_from_bytes(data).walk()]


def message(face, label, wrap=None):
    kind, content = face
    part = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {label}\r\n\r\n".encode() + content
    for layer in wrap or []:
        part = layer(part)
    return b"From: a@clinic.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n" + part


def mixed(part, boundary=b"b 1"):
    return (b"Content-Type: multipart/mixed; boundary=\"" + boundary + b"\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\nPr\xe4ambel\r\n"
            b"--" + boundary + b"\r\n" + part + b"\r\n--" + boundary + b"\r\nContent-Type: text/plain\r\n"
            b"\r\nzweit\xe4\r\n--" + boundary + b"--\r\nEpilog \xfc\r\n")


def inside(part):
    return mixed(part, b"another")


def forwarded(part):
    return (b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            b"From: b@clinic.example\r\nSubject: inner\r\nMIME-Version: 1.0\r\n" + part)


def signed(part):
    return (b"Content-Type: multipart/signed; boundary=s; protocol=\"application/pgp-signature\"\r\n\r\n"
            b"--s\r\n" + part + b"\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\nsignature\r\n--s--\r\n")


class Conversion(unittest.TestCase):
    def check(self, mails):
        """All that can be converted; the reasons of the others, counted."""
        self.maxDiff = 2000
        refused = collections.Counter()
        results = driver.convert(mails)
        for sent, (ruling, got) in zip(mails, results):
            if ruling != "pass":
                refused[ruling] += 1
                continue
            self.assertIsNone(BARE.search(got), sent)
            self.assertEqual(leaves(got), leaves(sent), sent)
            if not BARE.search(sent):
                continue
            if b"multipart/signed" not in got:
                self.assertFalse({"8bit", "binary"} & set(labels(got)), got)
            for line in got.split(b"\r\n"):
                self.assertTrue(len(line) <= 998 or line in sent, line)
        done = [got for ruling, got in results if ruling == "pass"]
        self.assertEqual([got for _, got in driver.convert(done)], done, "converted once, all is done")
        return refused

    def test_corpus(self):
        mails = list(driver.corpus().values())
        eightbit = [mail for mail in mails if BARE.search(mail)]
        refused = self.check(mails)
        print(f"        {len(eightbit)} of {len(mails)} were not ASCII, {sum(refused.values())} cannot be converted:")
        for why, count in refused.most_common():
            print(f"        {count:4} {why}")
        self.assertGreater(len(eightbit) - sum(refused.values()), 20)
        # Nothing but these is a reason.
        for why in refused:
            self.assertRegex(why, r"^(a header field is not ASCII|a signed part is not ASCII|cannot be inspected: .*|"
                                  r"message/[a-z-]+ is not ASCII|a part's header is not sound|a part in [a-z-]+ is not ASCII|"
                                  r"multipart/[a-z-]+ is not ASCII|what stands behind its parts is not ASCII)$")

    def test_every_kind_of_part(self):
        mails = [message(face, label, wrap)
                 for face in FACES for label in ("8bit", "binary")
                 for wrap in ([], [mixed], [mixed, forwarded], [forwarded, mixed], [inside, mixed])]
        self.assertEqual(self.check(mails), {})

    def test_headers_that_say_nothing(self):
        """No MIME-Version, no Content-Type: the bytes are the same, and now it is said how they travel."""
        mail = b"From: a@clinic.example\r\n\r\nGr\xfc\xdfe\r\n"
        ((_, got),) = driver.convert([mail])
        self.assertEqual(got, b"From: a@clinic.example\r\nMIME-Version: 1.0\r\n"
                              b"Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n")

    def test_signatures_stay(self):
        for layers in ([signed], [signed, mixed], [mixed, signed], [mixed, signed, forwarded]):
            ((ruling, _),) = driver.convert([message(FACES[0], "8bit", layers)])
            self.assertEqual(ruling, "a signed part is not ASCII")
        # Beside a signed part that is ASCII, others are converted; not a byte of it changes.
        ascii_part = (b"Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\nplain\r\n")
        mail = (b"MIME-Version: 1.0\r\n" + mixed(signed(ascii_part)))
        ((ruling, got),) = driver.convert([mail])
        self.assertEqual(ruling, "pass")
        self.assertIn(signed(ascii_part), got)
        self.assertIsNone(BARE.search(got))

    def test_what_cannot_be(self):
        for mail, why in ((b"Subject: Gr\xfc\xdfe\r\n\r\nx\r\n", "a header field is not ASCII"),
                          (message(("message/partial; id=x; number=1", b"\xe4\r\n"), "8bit"),
                           "message/partial is not ASCII"),
                          (message(("text/plain", b"\xe4\r\n"), "x-own"), "a part in x-own is not ASCII"),
                          (message(FACES[0], "8bit", [mixed, mixed]), "its parts cannot be told apart")):
            self.assertEqual(driver.convert([mail]), [(why, b"")])

    def test_encoded_parts_with_stray_bytes(self):
        for label, body in (("quoted-printable", b"=E4 \xe4\r\nsoft=\r\nend\r\n"), ("base64", b"QUJD\xe4\r\n")):
            self.assertEqual(self.check([message(("text/plain; charset=latin1", body), label)]), {})


class Delivery(DeliveryCase):
    LESSER = ("PIPELINING", "ENHANCEDSTATUSCODES")

    def submit(self, data, *recipients, options=("BODY=8BITMIME",)):
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            client.sendmail("ada@clinic.example", recipients, data, options)

    def test_hop_without_8bitmime(self):
        """One hop gets seven bits, the other what was sent; both from one record."""
        lesser, better = self.hop(offers=self.LESSER), self.hop()
        mail = message(FACES[0], "8bit", [mixed])
        self.start(lesser.route)
        self.server.routes.insert(1, {"when": {"recipient_domain": ["better.example"]}, **better.route})
        self.server.write()
        self.server.ctl("reload")
        self.submit(mail, "b@lesser.example", "c@lesser.example", "d@better.example")
        ((_, recipients, got),), ((_, _, whole),) = lesser.wait(1), better.wait(1)
        self.assertEqual(recipients, ["<b@lesser.example>", "<c@lesser.example>"])
        self.assertIsNone(BARE.search(got))
        self.assertEqual(leaves(got), leaves(mail))
        self.assertTrue(whole.endswith(mail[mail.index(b"Content-Type"):]))
        self.assertNotIn(b"BODY=", b"".join(line for _, line in lesser.lines))
        self.logged("event=converted")
        self.wait_empty()

    def test_signed_comes_back(self):
        hop = self.hop(offers=self.LESSER)
        self.start(hop.route)
        self.submit(message(FACES[0], "8bit", [signed]), "b@partner.example")
        (report,) = self.delivered(1)
        self.assertIn(b"Status: 5.6.3", report)
        self.assertIn(b"a signed part is not ASCII", report)
        self.assertEqual(hop.messages, [])
        self.wait_empty()

    def submit_binary(self, data, recipient):
        peer = Peer(self.server.port("plain"))
        peer.reply()
        for line in (b"EHLO client.example", b"MAIL FROM:<ada@clinic.example> BODY=BINARYMIME",
                     b"RCPT TO:<%s>" % recipient.encode(), b"BDAT %d LAST" % len(data)):
            peer.send(line + b"\r\n" + (data if line.startswith(b"BDAT") else b""))
            code, text = peer.reply()
            self.assertEqual(code, "250", text)
        peer.socket.close()

    def test_binary(self):
        """To the byte where it may, as seven bits where it may not; a dot on its own line ends nothing."""
        binary = b"\x89PNG\r\n.\r\n\n.\n\r.\r\0" + bytes(range(256)) + b"\r"
        mail = message(("image/png", binary), "binary", [mixed])
        better = self.hop(offers=("8BITMIME", "BINARYMIME"), chunking=True)
        others = [self.hop(), self.hop(offers=("BINARYMIME",)), self.hop(chunking=True), self.hop(offers=())]
        self.start(better.route)
        self.server.routes[0:0] = [{"when": {"recipient_domain": [f"h{i}.example"]}, **hop.route}
                                   for i, hop in enumerate(others)]
        self.server.write()
        self.server.ctl("reload")
        for i in range(len(others)):
            self.submit_binary(mail, f"b@h{i}.example")
        self.submit_binary(mail, "b@better.example")
        self.submit_binary(mail, "b@clinic.example")
        ((_, _, whole),) = better.wait(1)
        self.assertTrue(whole.endswith(mail[mail.index(b"Content-Type"):]))
        self.assertIn(b"BODY=BINARYMIME", b"".join(line for _, line in better.lines))
        for got in [hop.wait(1)[0][2] for hop in others] + self.delivered(1):
            self.assertIsNone(BARE.search(got))
            self.assertEqual(leaves(got), leaves(mail))
        self.wait_empty()

    # -- sealed -------------------------------------------------------------------------------
    def seal(self, *routes):
        self.server = self.relay({"plain": {"tls": "none", "auth": "off"}}, list(routes), pipeline=["sealer"],
                                 sections={"sealer": {}})
        self.server.programs.modules += f":{self.builddir}/tests/modules/.libs"
        self.server.start()

    def assert_seal_fits(self, got):
        header, _, body = got.partition(b"\r\n\r\n")
        hash = 2166136261
        for byte in body:
            hash = (hash ^ byte) * 16777619 % 2**32
        self.assertIn(b"\r\nX-Seal-Body: %08x" % hash, header, got)

    def test_what_is_sealed_is_what_is_sent(self):
        """A rendering is one of seven bits before it is sealed; what must not be touched is sealed as it is."""
        lesser, better = self.hop(offers=self.LESSER), self.hop(offers=("8BITMIME", "SMTPUTF8", "BINARYMIME"), chunking=True)
        self.seal({"when": {"recipient_domain": ["lesser.example"]}, **lesser.route}, better.route)
        mail = message(FACES[0], "8bit", [mixed])
        self.submit(mail, "b@lesser.example", "c@better.example")
        large = message(("text/plain; charset=utf-8", "Grüße\r\n".encode() * 200000), "8bit")
        self.submit(large, "b@lesser.example")
        binary = message(("image/png", b"\x89PNG\r\n.\r\n\n.\n" + bytes(range(256))), "binary", [mixed])
        self.submit_binary(binary, "b@lesser.example")
        came = [got for _, _, got in lesser.wait(3)]
        for got in came:
            self.assertIsNone(BARE.search(got))
            self.assert_seal_fits(got)
        for sent in (mail, large, binary):
            self.assertIn(leaves(sent), [leaves(got) for got in came])
        ((_, _, whole),) = better.wait(1)
        self.assertEqual(leaves(whole), leaves(mail))
        self.assert_seal_fits(whole)
        self.assertNotIn("event=converted", self.server.log(), "nothing is changed behind the seal")
        self.submit(message(FACES[0], "8bit", [signed]), "b@better.example")
        self.submit("Subject: Grüße\r\n\r\nGrüße\r\n".encode(), "b@better.example",
                    options=("BODY=8BITMIME", "SMTPUTF8"))
        for _, _, got in better.wait(3)[1:]:
            self.assertIn("Grüße".encode(), got)
            self.assert_seal_fits(got)
        self.wait_empty()
