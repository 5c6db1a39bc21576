# SPDX-License-Identifier: Apache-2.0
"""Where passwords are verified (SPEC A2): real slapd, saslauthd and Dovecot beside the database."""
import concurrent.futures
import smtplib

from tests.lib import slapd
from tests.lib.backends import DEE, LEA, SAM, BackendCase, log_in, unverified
from tests.lib.case import PASSWORD, USER
from tests.lib.certificates import certificate

UMA, NOBODY = "uma.thur@clinic.example", "nobody@clinic.example"


class Backends(BackendCase):
    people = (BackendCase.people +
              slapd.person("Off", mail=["off@clinic.example"], userPassword=["off's"]) +
              slapd.person("None", mail=["none@clinic.example"]) +
              slapd.person("One", mail=["two@clinic.example"], userPassword=["two's"]) +
              slapd.person("Two", mail=["two@clinic.example"], userPassword=["two's"]) +
              slapd.person("Uma", title=["uma"], mail=["uma.thur@clinic.example"], userPassword=["uma's"]))

    def serve(self, *backends, **auth):
        """A relay with these backends, each with the real program behind it."""
        self.server = self.relay({"submissions": {"tls": "implicit", "auth": "required"}}, pipeline=["auth"],
                                 tls=certificate(self.directory, "localhost"),
                                 sections={"auth": self.backends(*backends, **auth)})
        self.server.add_user(USER, PASSWORD)
        self.server.ctl("user", "add", "off@clinic.example")
        self.server.ctl("user", "disable", "off@clinic.example")
        self.server.start()

    def log_in(self, user, password):
        with smtplib.SMTP_SSL("127.0.0.1", self.server.port("submissions"), timeout=60,
                              context=unverified()) as client:
            client.ehlo("client.example")
            return log_in(client, "PLAIN", user, password)

    def log_in_all(self, attempts):
        """All at a time: much of it is waiting."""
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            return list(zip(attempts, pool.map(lambda said: self.log_in(*said), attempts)))

    def users_in_log(self):
        return [word[5:] for line in self.server.log().splitlines() if "auth-ok" in line
                for word in line.split() if word.startswith("user=")]

    def test_in_turn(self):
        """A2: each backend's users, and 535 5.7.8 for who is nobody's."""
        self.serve("database", "ldap", "saslauthd", "dovecot")
        good = [(USER, PASSWORD), (LEA, "lea's"), (SAM, "sam's"), (DEE, "dee's"), ("LEA@Clinic.example", "lea's")]
        bad = [(USER, "lea's"), (LEA, PASSWORD), (LEA, ""), (SAM, "lea's"), (SAM, ""), (DEE, "lea's"), (DEE, ""),
               (NOBODY, "lea's"), ("off@clinic.example", "off's"),
               ("OFF@clinic.example", "off's"), ("lea@clinic.example ", "lea's"), ("none@clinic.example", "none's"),
               ("*)(mail=lea*", "lea's"), ("two@clinic.example", "two's"),
               ("x" * 300 + "@clinic.example", "lea's"), (LEA, "l" * 300),
               (LEA, "\ufdfa" * 341)]  # 33 times as long once it is prepared
        for user, password in good:
            with self.subTest(user):
                self.assertEqual(self.log_in(user, password), (235, "2.7.0"))
        self.assertEqual(self.users_in_log(), [USER, LEA, SAM, DEE, LEA])
        for said, answer in self.log_in_all(bad):
            with self.subTest(said):
                self.assertEqual(answer, (535, "5.7.8"))
        self.assertIn("more than one entry", self.server.log())
        self.assertNotIn("cannot ask backend", self.server.log())
        self.assertNotIn("lea's", self.server.log())

    def test_one_is_down(self):
        """The next one is asked; where nobody says yes the answer is 454 4.7.0, never 535."""
        self.serve("ldap", "saslauthd", "dovecot", "database", recheck="0s", failures={"per_client_and_user": 1000})
        self.assertEqual(self.log_in(LEA, "lea's"), (235, "2.7.0"))
        for service, name in ((self.slapd, "ldap"), (self.dovecot, "dovecot"), (self.saslauthd, "saslauthd")):
            service.stop()
            with self.subTest(name):
                self.assertEqual(self.log_in(USER, PASSWORD), (235, "2.7.0"))
                for said, answer in self.log_in_all([(USER, "wrong"), (NOBODY, "wrong"), (UMA, "uma's")]):
                    self.assertEqual(answer, (454, "4.7.0"), said)
                self.assertIn(f"cannot ask backend {name}", self.server.log())
                # Who was right a moment ago stays so while the one that said so cannot be asked.
                self.assertEqual(self.log_in(LEA, "lea's"), (235, "2.7.0"))
        self.server.ctl("user", "add", LEA)
        self.server.ctl("user", "disable", LEA)
        self.assertEqual(self.log_in(LEA, "lea's"), (454, "4.7.0"))
        self.server.ctl("user", "enable", LEA)
        self.slapd.start()
        self.assertEqual(self.log_in(LEA, "lea's"), (235, "2.7.0"))
        self.assertNotIn("auth-failed", self.server.log())

    def test_spellings_share_their_failures(self):
        """A2: a server finds an entry by many spellings of a name; guesses count for the entry."""
        self.serve("ldap", ldap={"address_attribute": "mail"}, recheck="0s", failures={"per_client_and_user": 3})
        self.assertEqual(self.log_in("  " + LEA, "lea's"), (235, "2.7.0"))
        for name in (LEA, NOBODY):  # whether there is an entry or not
            for spelt in (" " + name, name + " ", "  " + name + "  "):
                self.assertEqual(self.log_in(spelt, "wrong"), (535, "5.7.8"))
            for password in ("wrong", "lea's", "new"):
                self.assertEqual(self.log_in("   " + name, password), (454, "4.7.0"))
        # nor is one good then that was right before: it may have been changed meanwhile
        self.assertEqual(self.log_in("  " + LEA, "lea's"), (454, "4.7.0"))
        self.assertNotIn("cannot ask backend", self.server.log())
        self.assertEqual(self.log_in(UMA, "uma's"), (235, "2.7.0"))

    def test_another_name(self):
        """A name that is no address, and the entry's attribute that has one."""
        self.serve("ldap", ldap={"filter": "(title=?1)", "address_attribute": "mail"})
        self.assertEqual(self.log_in("uma", "uma's"), (235, "2.7.0"))
        self.assertEqual(self.users_in_log(), ["uma.thur@clinic.example"])
        self.assertEqual(self.log_in("uma", "lea's"), (535, "5.7.8"))

    def test_hashes_brought_along(self):
        """A2: hashes of crypt(3) and Argon2id are taken as they are."""
        self.serve("database")
        for hashed in ("$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq"
                       ".H91p5hVO1", "$y$j9T$saltsaltsalt$AnbE4uovRUrp5W/7h65lVXbBxJijULPRqRjd39xI5w9"):
            with self.subTest(hashed):
                self.server.ctl("user", "add", f"h{len(hashed)}@clinic.example")
                self.server.ctl("user", "passwd", "--hash", f"h{len(hashed)}@clinic.example", stdin=hashed + "\n")
                self.assertEqual(self.log_in(f"h{len(hashed)}@clinic.example", "secret"), (235, "2.7.0"))
                self.assertEqual(self.log_in(f"h{len(hashed)}@clinic.example", "secrets"), (535, "5.7.8"))
        for hashed in ("secret", "*", "$argon2id$v=19$m=65536,t=2,p=1$bm9i", "$9$x$y"):
            done = self.server.ctl("user", "passwd", "--hash", USER, stdin=hashed + "\n", check=False)
            self.assertEqual(done.returncode, 1, hashed)
            self.assertNotIn(hashed + '"', done.stderr)
        self.assertEqual(self.log_in(USER, PASSWORD), (235, "2.7.0"))

    def test_mistakes(self):
        """`check` names what is missing."""
        relay = self.relay({"plain": {"tls": "none", "auth": "off"}}, pipeline=["auth"],
                           sections={"auth": {"backends": ["ldap"], "saslauthd": {"socket": "/" + "x" * 200}}})
        done = relay.ctl("check", check=False)
        self.assertIn("set ldap.uris", done.stderr + done.stdout)
        self.assertIn("too long for a unix socket", done.stderr + done.stdout)
