# SPDX-License-Identifier: Apache-2.0
"""Module taglines on real mail: what it adds is there once, all else is what it was. Python's `email` judges."""
import base64
import email
import json
import quopri
import re
import smtplib
import ssl
import unittest

from tests.lib import driver
from tests.lib.case import PASSWORD, USER, RelayCase
from tests.lib.certificates import certificate
from tests.system.test_parts import is_sound

TEXT = "Zimtstern Ltd \u03a9 registriert in Z\u00fcrich, 100 \u2713"
HTML = "<p>Zimtstern <b>Ltd</b> \u03a9 registriert in Z\u00fcrich, 100 \u2713</p>"
SECTION = f'taglines: {{ text: "{TEXT}", html: "{HTML}", once_per_thread: no%s }}\n'

# What Content-Transfer-Encoding calls itself in broken mail.
KNOWN = ("", "7bit", "8bit", "binary", "quoted-printable", "base64")


def leaves(part, path=(), attached=False):
    """(part, the types around it, inside of an attachment) for each part that has no parts."""
    attached = attached or part.get_content_disposition() not in (None, "inline")
    around = path + (part.get_content_type(),)
    if part.is_multipart():
        for child in part.get_payload():
            yield from leaves(child, around, attached)
    else:
        yield part, around, attached


def raw(part):
    """The body as it stands in the message: get_payload() would decode eight-bit text."""
    return part._payload


def fields(part):
    return [(name, str(value)) for name, value in part._headers]


def text_of(part):
    data = part.get_payload(decode=True)
    charset = part.get_content_charset("us-ascii")
    if charset == "utf-16" and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        charset = "utf-16-be"  # RFC 2781 section 4.3
    try:
        return data.decode(charset, "replace")
    except LookupError:
        return data.decode("ascii", "replace")


def unfolded(text):
    """Line ends apart: quoted-printable may bring others than it had."""
    return text.replace("\r\n", "\n")


def is_clear(message):
    return is_sound(message) and all(str(part.get("content-transfer-encoding", "")).strip().lower() in KNOWN
                                     for part in message.walk())


def is_body(around, attached):
    """A text that a reader sees first may stand here."""
    return (not attached and around[-1] in ("text/plain", "text/html")
            and not any(kind.startswith("message/") for kind in around))


class Judge(unittest.TestCase):
    """Compares two mails, part by part."""

    def same_fields(self, name, old, new, may_change):
        """Fields in their order; those that speak of the encoding may change where the text did."""
        def rest(items):
            return [item for item in items
                    if not may_change or item[0].lower() not in ("content-type", "content-transfer-encoding",
                                                                 "mime-version")]
        self.assertEqual(rest(fields(old)), rest(fields(new)), name)
        if may_change:
            self.assertEqual(old.get_content_type(), new.get_content_type(), name)
            drop = ("charset", old.get_content_type())
            self.assertEqual([p for p in old.get_params([]) if p[0].lower() not in drop],
                             [p for p in new.get_params([]) if p[0].lower() not in drop], name)

    def changed(self, name, before, after):
        """The leaves of `after` that are not as they were, beside those of `before`."""
        old, new = email.message_from_bytes(before), email.message_from_bytes(after)
        olds, news = list(leaves(old)), list(leaves(new))
        self.assertEqual([around for _, around, _ in olds], [around for _, around, _ in news], name)
        found = [(a, b, around, attached) for (a, around, attached), (b, _, _) in zip(olds, news)
                 if raw(a) != raw(b)]
        touched = {id(b) for _, b, _, _ in found}
        for a, b in zip(old.walk(), new.walk()):
            self.same_fields(name, a, b, id(b) in touched)
            self.assertEqual((a.preamble, a.epilogue), (b.preamble, b.epilogue), name)
        return found

    def wire(self, name, before, after):
        """What every message on the wire must be."""
        bare = re.compile(rb"(?<!\r)\n|\r(?!\n)")
        self.assertEqual(len(bare.findall(before)), len(bare.findall(after)), name)
        old = set(before.split(b"\r\n"))
        for line in after.split(b"\r\n"):
            self.assertTrue(len(line) <= 998 or line in old, f"{name}: a line of {len(line)}")
        if before.isascii():
            self.assertTrue(after.isascii(), f"{name}: seven bits became eight")

    def carries_once(self, name, old, new):
        """All of the old text, in its order, with the tagline in it, once."""
        was, now = unfolded(text_of(old)), unfolded(text_of(new))
        html = new.get_content_type() == "text/html"
        shown = now.replace("&#937;", "\u03a9").replace("&#252;", "\u00fc").replace("&#10003;", "\u2713")
        tag = HTML if html else TEXT
        lossy = not html and tag not in shown
        if lossy:  # a charset that nobody knows, or text that is not in it
            tag = re.sub(r"[^\x00-\x7f]", "?", TEXT)
        self.assertEqual((was.count(tag), shown.count(tag)), (0, 1), f"{name}: {new.get_content_type()}")
        begin = shown.index(tag)
        head, tail = shown[:begin], shown[begin + len(tag):]
        if html:  # a block on lines of its own
            block = '\n<div class="postern-taglines">', "</div>\n"
            self.assertTrue(head.endswith(block[0]) and tail.startswith(block[1]), name)
            was = was.replace("&#937;", "\u03a9").replace("&#252;", "\u00fc").replace("&#10003;", "\u2713")
            self.assertEqual(head[:-len(block[0])] + tail[len(block[1]):], was, name)
            return lossy
        # Empty lines around it are ours, as is the end of a last line that had none.
        above, below = head.rstrip("\n"), tail.lstrip("\n")
        self.assertTrue(was.startswith(above) and was.endswith(below), name)
        between = was[len(above):len(was) - len(below)]
        self.assertTrue(set(between) <= {"\n"}, name)
        ours = len(head) - len(above) + len(tail) - len(below) - len(between)
        self.assertTrue(1 <= ours <= 4, f"{name}: {ours} line ends")
        return lossy


class Corpus(Judge):
    def run_all(self, more=""):
        mails = driver.corpus()
        results = driver.run(list(mails.values()), "  - taglines\n", SECTION % more)
        return [(name, mail, *result) for (name, mail), result in zip(mails.items(), results)]

    def judge(self, name, before, after, whole=True):
        """How many leaves carry it; the one that a reader sees first is among them."""
        found = self.changed(name, before, after)
        self.assertTrue(found, f"{name}: nothing changed")
        self.wire(name, before, after)
        for old, new, around, attached in found:
            self.assertTrue(is_body(around, attached), f"{name}: {around} is no body")
            self.carries_once(name, old, new)
        first = next(part for part, around, attached in leaves(email.message_from_bytes(before))
                     if is_body(around, attached))
        if whole:
            self.assertEqual(raw(first), raw(found[0][0]), name)
        if len(found) > 1:
            self.assertTrue(all("multipart/alternative" in around for _, _, around, _ in found), name)
        return len(found)

    def rounds(self, more):
        added, alone, both, odd = 0, 0, 0, []
        for name, before, ruling, after in self.run_all(more):
            if not ruling.startswith("pass: added"):
                self.assertRegex(ruling, "^pass: not added: ")
                self.assertEqual(before, after, name)
                alone += 1
                continue
            try:
                both += self.judge(name, before, after, ruling == "pass: added") > 1
                added += 1
            except AssertionError as problem:
                if is_clear(email.message_from_bytes(before)):
                    raise
                odd.append((name, str(problem)[:150]))
        print(f"        {added} carry it ({both} in text and HTML), {alone} were left alone, "
              f"{len(odd)} are read in more than one way")
        self.assertGreater(added, 450)
        self.assertLess(len(odd), 15, odd)

    def test_bottom(self):
        self.rounds("")

    def test_top(self):
        self.rounds(", position: top")

    def test_before_quote(self):
        self.rounds(", position: before-quote")

    def test_wrapped(self):
        """What must not be touched is the first part of a new multipart, to the byte."""
        wrapped = 0
        for name, before, ruling, after in self.run_all(", signed: wrap, calendar: wrap, report: wrap, no_text: wrap"):
            if ruling.startswith("pass: wrapped: "):
                self.whole(name, before, after)
                wrapped += 1
        print(f"        {wrapped} were wrapped")
        self.assertGreater(wrapped, 40)

    def whole(self, name, before, after):
        old, new = email.message_from_bytes(before), email.message_from_bytes(after)
        self.assertEqual((new.get_content_type(), len(new.get_payload())), ("multipart/mixed", 2), name)
        content = re.compile("content-", re.I)
        self.assertEqual([f for f in fields(old) if not content.match(f[0]) and f[0].lower() != "mime-version"],
                         [f for f in fields(new) if not content.match(f[0]) and f[0].lower() != "mime-version"], name)
        mark = b"\r\n--" + new.get_boundary().encode()
        inner = after.split(mark + b"\r\n")[1] if not after.startswith(mark[2:]) else None
        header, _, body = before.partition(b"\r\n\r\n")
        self.assertTrue(inner.endswith(b"\r\n\r\n" + body) or inner == b"\r\n" + body, name)
        moved = email.message_from_bytes(inner)
        self.assertEqual([f for f in fields(old) if content.match(f[0])], fields(moved), name)
        self.assertEqual(text_of(new.get_payload(1)).strip(), TEXT, name)
        self.wire(name, before, after)


# ---- structures and encodings that the corpus has too few of ----------------------------------------

CHARSETS = {"utf-8": "Gr\u00fc\u00dfe \u2713", "us-ascii": "Hello", "iso-8859-1": "Gr\u00fc\u00dfe", "iso-8859-15": "100 \u20ac",
            "windows-1251": "\u041f\u0440\u0438\u0432\u0435\u0442", "windows-1252": "\u201cx\u201d", "koi8-r": "\u041f\u0440\u0438\u0432\u0435\u0442",
            "gb18030": "\u4f60\u597d", "gb2312": "\u4f60\u597d", "big5": "\u4f60\u597d", "shift_jis": "\u3053\u3093", "euc-jp": "\u3053\u3093",
            "iso-2022-jp": "\u3053\u3093\u306b\u3061\u306f", "euc-kr": "\uc548\ub155", "utf-16": "wide \u2713", "utf-16le": "wide",
            "utf-7": "Gr\u00fc\u00dfe"}
QUOTED = "\r\n\r\nOn Monday, Bo wrote:\r\n> quoted\r\n> more\r\n"


def encode(text, charset, encoding):
    data = text.encode(charset)
    if encoding == "base64":
        return base64.encodebytes(data).replace(b"\n", b"\r\n")
    if encoding == "quoted-printable":
        return quopri.encodestring(data.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    return data


def leaf(kind, text, charset, encoding, more=""):
    return (f"Content-Type: {kind}; charset={charset}{more}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
            + encode(text, charset, encoding))


def multipart(kind, *parts):
    boundary = f"b-{kind.partition('/')[2]}-{len(parts)}"
    return (f"Content-Type: {kind}; boundary={boundary}\r\n\r\n".encode()
            + b"".join(b"--%s\r\n%s\r\n" % (boundary.encode(), part) for part in parts)
            + b"--%s--\r\n" % boundary.encode())


def message(body):
    return b"From: Ada <ada@clinic.example>\r\nTo: bo@partner.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n" + body


PDF = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment\r\n\r\nJVBERi0=\r\n"
NOTE = b"Content-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nnot a body\r\n"
IMAGE = b"Content-Type: image/png\r\nContent-ID: <i>\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0=\r\n"
SIGNATURE = b"Content-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\nMIIB\r\n"
PLAIN = leaf("text/plain", "Hello" + QUOTED, "utf-8", "7bit")
PAGE = leaf("text/html", "<html><body><p>Hello</p><blockquote>quoted</blockquote></body></html>\r\n", "utf-8", "7bit")
FORWARDED = b"Content-Type: message/rfc822\r\n\r\n" + message(PLAIN)
INVITATION = b"Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"
REPORT = b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n"
ARMORED = (b"Content-Type: text/plain\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nHello\r\n"
           b"-----BEGIN PGP SIGNATURE-----\r\n\r\nxx\r\n-----END PGP SIGNATURE-----\r\n")

# structure -> how many leaves carry the text; 0: it is left alone
STRUCTURES = {
    "plain": (PLAIN, 1),
    "html": (PAGE, 1),
    "no MIME": (b"\r\nHello\r\n", 1),
    "alternative": (multipart("multipart/alternative", PLAIN, PAGE), 2),
    "mixed": (multipart("multipart/mixed", PLAIN, PDF, NOTE), 1),
    "attachment first": (multipart("multipart/mixed", NOTE, PDF, PLAIN), 1),
    "alternative in mixed": (multipart("multipart/mixed", multipart("multipart/alternative", PLAIN, PAGE), PDF), 2),
    "related": (multipart("multipart/related", PAGE, IMAGE), 1),
    "related in alternative": (multipart("multipart/alternative", PLAIN, multipart("multipart/related", PAGE, IMAGE)), 2),
    "forwarded": (multipart("multipart/mixed", PLAIN, FORWARDED), 1),
    "forwarded alone": (FORWARDED, 0),
    "signed": (multipart("multipart/signed", PLAIN, SIGNATURE), 0),
    "signed by a list": (multipart("multipart/mixed", multipart("multipart/signed", PLAIN, SIGNATURE), PLAIN), 0),
    "encrypted": (multipart("multipart/encrypted", b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n", PDF), 0),
    "S/MIME": (b"Content-Type: application/pkcs7-mime; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\nMIIB\r\n", 0),
    "inline PGP": (ARMORED, 0),
    "invitation": (multipart("multipart/alternative", PLAIN, INVITATION), 0),
    "report": (multipart("multipart/report", PLAIN, REPORT), 0),
    "a page alone": (PDF, 0),
}


class Structures(Judge):
    def test_structures(self):
        for position in ("bottom", "top", "before-quote"):
            mails = [message(body) for body, _ in STRUCTURES.values()]
            results = driver.run(mails, "  - taglines\n", SECTION % f", position: {position}")
            for (name, (_, wanted)), before, (ruling, after) in zip(STRUCTURES.items(), mails, results):
                with self.subTest(name, position=position):
                    found = self.changed(name, before, after)
                    self.assertEqual(len(found), wanted, ruling)
                    self.assertEqual(wanted == 0, before == after)
                    for old, new, around, attached in found:
                        self.assertTrue(is_body(around, attached))
                        self.carries_once(name, old, new)
                        text = unfolded(text_of(new))
                        if "quoted" in text and position != "top":
                            below = text.index("Zimtstern") > text.index("quoted")
                            self.assertEqual(below, position == "bottom", text)

    def test_charsets_and_encodings(self):
        mails = {}
        for charset, words in CHARSETS.items():
            for encoding in ("7bit", "8bit", "quoted-printable", "base64"):
                wide = charset.startswith("utf-16")
                if (wide and encoding != "base64") or (encoding == "7bit" and not words.encode(charset).isascii()):
                    continue
                for more in ("", "; format=flowed"):
                    mails[charset, encoding, more] = message(leaf("text/plain", words + " \r\n" + words + QUOTED,
                                                                  charset, encoding, more))
                mails[charset, encoding, "html"] = message(leaf(
                    "text/html", f"<body>{words}</body>\r\n", charset, encoding))
        self.assertGreater(len(mails), 120)
        for position in ("bottom", "top", "before-quote"):
            results = driver.run(list(mails.values()), "  - taglines\n", SECTION % f", position: {position}")
            for (name, before), (ruling, after) in zip(mails.items(), results):
                with self.subTest(name, position=position):
                    self.assertEqual(ruling, "pass: added")
                    (old, new, _, _), = self.changed(str(name), before, after)
                    self.assertFalse(self.carries_once(str(name), old, new))
                    self.wire(str(name), before, after)

    def test_once_per_thread(self):
        """The answer to a mail that has it does not get it again, however it quotes."""
        section = SECTION.replace("once_per_thread: no", "once_per_thread: yes") % ""
        quoted = "".join(f"> {line}\r\n" for line in ("Hello", "", *TEXT.split(" ", 2)))
        seen = {
            "quoted and wrapped": leaf("text/plain", "Yes.\r\n\r\n" + quoted, "utf-8", "base64"),
            "class": leaf("text/html", '<div class="x_postern-taglines">cut short</div>', "utf-8", "7bit"),
            "words": leaf("text/html", f"<blockquote>Zimtstern\r\n<i>Ltd</i> {TEXT[14:]}</blockquote>", "utf-8", "base64"),
            "one of two": multipart("multipart/alternative", PLAIN, leaf(
                "text/html", '<div class="postern-taglines">x</div>', "utf-8", "7bit")),
        }
        new = {
            "another class": leaf("text/html", '<div class="postern-taglines-2">x</div>', "utf-8", "7bit"),
            "part of it": leaf("text/plain", "Zimtstern Ltd\r\n", "utf-8", "7bit"),
        }
        mails = [message(body) for body in (*seen.values(), *new.values())]
        results = driver.run(mails, "  - taglines\n", section)
        self.assertEqual([ruling for ruling, _ in results],
                         ["pass: it is there already"] * len(seen) + ["pass: added"] * len(new))
        self.assertEqual([mail for _, mail in results[:len(seen)]], mails[:len(seen)])

    def test_one_is_made_of_the_other(self):
        mail = [message(multipart("multipart/alternative", PLAIN, PAGE))]
        texts = [text_of(part) for part in self.added(mail, 'text: "A & B <{{sender}}>\\n{{name}}, {{subject}}"')]
        self.assertIn("A & B <ada@clinic.example>\r\nAda, x\r\n", texts[0])
        self.assertIn("A &amp; B &lt;ada@clinic.example&gt;<br>\r\nAda, x", texts[1])
        texts = [text_of(part) for part in self.added(
            mail, "html: \"<style>p {}</style><p>A &amp; <a href='https://b.example/'>B</a></p><p>{{name}}</p>\"")]
        self.assertIn("A & B <https://b.example/>\r\nAda\r\n", texts[0])

    def added(self, mails, settings):
        (ruling, mail), = driver.run(mails, "  - taglines\n", f"taglines: {{ {settings} }}\n")
        self.assertEqual(ruling, "pass: added")
        return email.message_from_bytes(mail).get_payload()


class Relayed(RelayCase):
    def test_through_the_relay(self):
        """Each structure by SMTP, settings per user, an entry of another name (S0-07)."""
        relay = self.relay({"plain": {"tls": "none", "auth": "off", "networks": ["127.0.0.0/8"]}},
                           pipeline=[{"taglines": {"id": "legal"}}],
                           sections={"legal": {"text": "Of the clinic.", "users": {
                               "bo@clinic.example": {"text": "Of {{name}}."}}}}).start()
        with smtplib.SMTP("127.0.0.1", relay.port("plain"), timeout=60) as client:
            for number, (body, _) in enumerate(STRUCTURES.values()):
                for sender in ("ada@clinic.example", "bo@clinic.example"):
                    client.sendmail(sender, ["to@partner.example"],
                                    b"X-Number: %d\r\nX-From: %s\r\n" % (number, sender.encode()) + message(body))
        wanted = [count for _, count in STRUCTURES.values()]
        for mail in self.delivered(2 * len(STRUCTURES)):
            parsed = email.message_from_bytes(mail)
            ours = b"Of Ada." if parsed["x-from"].startswith("bo") else b"Of the clinic."
            self.assertEqual(mail.count(ours), wanted[int(parsed["x-number"])], mail)
        relay.stop()

    def test_what_the_directory_knows(self):
        """Name, title and phone of the user who logged in; empty for those of whom nothing is known."""
        relay = self.relay({"submissions": {"tls": "implicit", "auth": "required"}}, pipeline=["auth", "taglines"],
                           tls=certificate(self.directory, "localhost"),
                           sections={"taglines": {"text": "[{{name}}|{{title}}|{{phone}}]"}})
        relay.add_user(USER, PASSWORD)
        for field, value in (("title", "Chefärztin"), ("phone", "+49 1 23"), ("name", "Ada <L>")):
            relay.ctl("user", "set", USER, field, value)
        shown = json.loads(relay.ctl("--json", "user", "show", USER).stdout)[0]
        self.assertEqual((shown["title"], shown["phone"]), ("Chefärztin", "+49 1 23"))
        done = relay.ctl("user", "set", USER, "shoe", "38", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("there are name, title, phone", done.stderr)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        port = relay.start().port("submissions")
        with smtplib.SMTP_SSL("127.0.0.1", port, timeout=60, context=context) as client:
            client.login(USER, PASSWORD)
            client.sendmail("other@clinic.example", ["to@partner.example"],
                            "From: Other <other@clinic.example>\r\nContent-Type: text/html\r\n\r\nx\r\n")
        self.assertIn("[Ada &lt;L&gt;|Chef&#228;rztin|+49 1 23]",
                      re.sub("&#xE4;|ä", "&#228;", self.delivered(1)[0].decode()))
        relay.stop()

    def test_s0_03_who_logged_in(self):
        """One address, one HELO, one envelope: the chain is that of the user who logged in."""
        bo = "bo@clinic.example"
        relay = self.relay({"submissions": {"tls": "implicit", "auth": "required"}}, pipeline=["auth", "taglines"],
                           tls=certificate(self.directory, "localhost"),
                           sections={"taglines": {"text": "Of the clinic.", "users": {bo: {"enabled": False}}}})
        for user in (USER, bo):
            relay.add_user(user, PASSWORD)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        port = relay.start().port("submissions")
        for user in (USER, bo):
            with smtplib.SMTP_SSL("127.0.0.1", port, "mail.provider.example", timeout=60, context=context) as client:
                client.login(user, PASSWORD)
                client.sendmail("office@clinic.example", ["to@partner.example"], f"Subject: {user}\r\n\r\nx\r\n")
        mails = {email.message_from_bytes(mail)["subject"]: mail for mail in self.delivered(2)}
        self.assertEqual({user: b"Of the clinic." in mail for user, mail in mails.items()}, {USER: True, bo: False})
        relay.stop()

    def test_what_check_says(self):
        relay = self.relay({"plain": {"tls": "none", "auth": "off"}}, pipeline=["taglines"],
                           sections={"taglines": {"text": "Dr {{nmae}}"}})
        done = relay.ctl("check", check=False)
        self.assertNotEqual(done.returncode, 0)
        said = (done.stdout or "") + (done.stderr or "")
        self.assertRegex(said, r'yaml:\d+:\d+: taglines\.text: unknown variable "\{\{nmae\}\}"; there are ')
