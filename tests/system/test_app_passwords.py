# SPDX-License-Identifier: Apache-2.0
"""App passwords (SPEC A2): made here, shown once, revocable at once."""
import json
import smtplib

from tests.lib.backends import log_in, unverified
from tests.lib.case import PASSWORD, USER, RelayCase


class AppPasswords(RelayCase):
    def start(self, **auth):
        self.server = self.relay_with_user(sections={"auth": {"recheck": "0s", "mechanisms": ["plain", "login"],
                                                              **auth}})
        self.server.ctl("user", "add", "bo@clinic.example")  # without any other password
        self.server.start()

    def ctl(self, *words, check=True):
        return self.server.ctl("--json", "user", "app-password", *words, check=check)

    def make(self, user, name):
        return json.loads(self.ctl("add", user, name).stdout)[0]["password"]

    def log_in(self, user, password):
        with smtplib.SMTP_SSL("127.0.0.1", self.server.port("submissions"), timeout=60,
                              context=unverified()) as client:
            client.ehlo("client.example")
            return log_in(client, "PLAIN", user, password)[0]

    def test_life(self):
        """A2: shown once, good beside the password, gone when it is removed; its use is noted."""
        self.start()
        gmail, phone = self.make(USER, "Gmail"), self.make("bo@CLINIC.example", "phone")
        self.assertRegex(gmail, r"^[a-z2-9]{5}(-[a-z2-9]{5}){4}$")
        for user, password, code in ((USER, gmail, 235), (USER, gmail.replace("-", ""), 235), (USER, PASSWORD, 235),
                                     (USER, gmail.replace("-", " "), 235), ("bo@clinic.example", phone, 235),
                                     (USER, phone, 535), ("bo@clinic.example", gmail, 535), (USER, gmail[:-1], 535),
                                     ("nobody@clinic.example", gmail, 535)):
            with self.subTest(user=user, password=password):
                self.assertEqual(self.log_in(user, password), code)
        row = json.loads(self.ctl("list", USER).stdout)[0]
        self.assertEqual(set(row), {"name", "made", "used"})
        self.assertEqual(row["name"], "Gmail")
        self.assertNotIn(gmail, self.server.log())
        self.assertEqual(self.ctl("add", USER, "Gmail", check=False).returncode, 1)
        self.assertEqual(self.ctl("add", USER, "two\nlines", check=False).returncode, 1)
        self.ctl("remove", USER, "Gmail")
        self.assertEqual(self.ctl("remove", USER, "Gmail", check=False).returncode, 1)
        self.assertEqual(self.log_in(USER, gmail), 535)  # though it was right a moment ago
        self.assertEqual(json.loads(self.ctl("list", USER).stdout or "[]"), [])
        self.server.ctl("user", "disable", "bo@clinic.example")
        self.assertEqual(self.log_in("bo@clinic.example", phone), 535)
        self.server.ctl("user", "enable", "bo@clinic.example")
        self.assertEqual(self.log_in("bo@clinic.example", phone), 235)

    def test_demanded(self):
        """A2: where app passwords are demanded the user's own password is none."""
        self.start(app_passwords_only=True)
        made = self.make(USER, "Gmail")
        self.assertEqual(self.log_in(USER, PASSWORD), 535)
        self.assertEqual(self.log_in(USER, made), 235)
        self.server.sections["auth"]["backends"] = ["database", "dovecot"]
        self.server.write()
        self.assertIn("set backends to database alone", self.server.ctl("check", check=False).stderr)
