# SPDX-License-Identifier: Apache-2.0
"""The parts of real mail, beside what Python's `email` makes of them."""
import email
import re
import unittest

from tests.lib import driver

# Types that Python parses further and RFC 2045 does not.
LEAVES = ("message/delivery-status", "message/external-body")


def walk(message):
    """Python's parts in the order of ours."""
    yield message
    if message.get_content_type() in LEAVES or not message.is_multipart():
        return
    if message.get_content_type() == "message/rfc822" and message.get("content-transfer-encoding"):
        if message["content-transfer-encoding"].lower().strip() not in ("7bit", "8bit", "binary"):
            return
    for part in message.get_payload():
        yield from walk(part)


def is_sound(message):
    """Nothing that readers may take in more than one way."""
    return all(not part.defects and part.get_content_type() == declared(part)
               and re.fullmatch(r"[\w.+-]+/[\w.+-]+", declared(part))
               and len(part.get_all("content-type", [])) <= 1 for part in message.walk())


def declared(part):
    """What Content-Type says before Python puts it right."""
    value = part.get("content-type")
    return str(value).partition(";")[0].strip().lower() if value is not None else part.get_content_type()


def raw(part):
    """The body as it stands in the mail, where Python says so."""
    payload = part.get_payload()
    if part.is_multipart() or part.get_content_type() in LEAVES or not isinstance(payload, str):
        return None
    # get_payload() decodes eight-bit text by its charset; this is what it began with.
    return part._payload.encode("ascii", "surrogateescape")


class Parts(unittest.TestCase):
    def setUp(self):
        self.mails = driver.corpus()
        self.found = driver.parts(list(self.mails.values()))

    def test_as_python_reads_them(self):
        compared = 0
        for (name, mail), ours in zip(self.mails.items(), self.found):
            message = email.message_from_bytes(mail)
            if not is_sound(message):
                continue
            with self.subTest(name):
                theirs = list(walk(message))
                self.assertEqual([part["type"] for part in ours],
                                 [part.get_content_type() for part in theirs])
                for part, other in zip(ours, theirs):
                    body = raw(other)
                    if body is not None:
                        self.assertEqual(mail[part["body"]:part["end"]], body)
                compared += 1
        print(f"        {compared} of {len(self.mails)} mails have nothing odd and are alike")
        self.assertGreater(compared, 450)

    def test_parts_lie_inside_one_another(self):
        for (name, mail), ours in zip(self.mails.items(), self.found):
            if isinstance(ours[0], str):
                continue
            for index, part in enumerate(ours):
                self.assertTrue(0 <= part["start"] <= part["body"] <= part["end"] <= len(mail), name)
                for inner in ours[index + 1:part["behind"]]:
                    self.assertGreaterEqual(inner["start"], part["body"], name)
                    self.assertLessEqual(inner["end"], part["end"], name)
            self.assertEqual((ours[0]["start"], ours[0]["end"]), (0, len(mail)), name)

    def test_what_cannot_be_inspected(self):
        refused = {name: ours[0] for name, ours in zip(self.mails, self.found) if isinstance(ours[0], str)}
        print(f"        {refused}")
        self.assertLess(len(refused), 10)
        self.assertIn("contradict", refused["mime/ruby-mail/error_emails-multiple_content_types.eml"])
