# SPDX-License-Identifier: Apache-2.0
"""S0-25, SPEC A6: posternctl setup-sheet says what to type into clients, by what listeners really offer."""
import json

from tests.lib.case import RelayCase
from tests.lib.certificates import certificate
from tests.lib.neighbours import recipe

HOST, SERVER = "relay.clinic.example", "server@clinic.example"
SUBMISSION = {"address": "*:587", "tls": "starttls-required", "auth": "required"}
SUBMISSIONS = {"address": "*:465", "tls": "implicit", "auth": "required"}
SERVERS = {"address": "*:25", "tls": "starttls-required", "auth": "off", "networks": ["192.0.2.25"]}
BY_LOGIN = {"Gmail: Send mail as", "Outlook, and other mail programs", "Postfix", "Exim", "sendmail"}


class SetupSheet(RelayCase):
    def configure(self, listeners, **auth):
        self.stopped = self.relay(listeners, [{"to": "discard"}], pipeline=["auth"], relay={"hostname": HOST},
                                  tls=certificate(self.directory, HOST), sections={"auth": auth} if auth else None)
        if SERVER not in self.stopped.ctl("user", "list").stdout:
            self.stopped.ctl("user", "add", SERVER)

    def sheets(self, subject):
        return {each["client"]: each for each in json.loads(self.stopped.ctl("--json", "setup-sheet", subject).stdout)}

    def fields(self, sheet):
        return {each["label"]: each["value"] for each in sheet["fields"]}

    def unserved(self, subject):
        return {name for name, each in self.sheets(subject).items() if each["warning"]}

    def test_blocks_are_those_that_neighbours_are_tried_with_S0_25(self):
        self.configure({"submission": SUBMISSION})
        found = self.sheets(SERVER)
        for client, names in {"Postfix": ("postfix-client", "postfix-password"), "Exim": ("exim-client",),
                              "sendmail": ("sendmail-client", "sendmail-access", "sendmail-authinfo")}.items():
            self.assertEqual([each["text"] for each in found[client]["blocks"]],
                             [recipe(name, {}) for name in names])

    def test_people_S0_25(self):
        """Gmail's window and a mail program's, by STARTTLS and by TLS at once."""
        self.configure({"plain": {"tls": "none", "auth": "off"}, "submission": SUBMISSION})
        gmail = self.sheets(SERVER)["Gmail: Send mail as"]
        self.assertEqual(gmail["listener"], "submission")
        said = self.fields(gmail)
        self.assertEqual((said["SMTP Server"], said["Port"], said["Username"], said["Secured connection"]),
                         (HOST, "587", SERVER, "Secured connection using TLS"))
        self.assertEqual(self.unserved(SERVER), set())
        self.configure({"submissions": SUBMISSIONS}, mechanisms=["login"])
        said = self.fields(self.sheets(SERVER)["Gmail: Send mail as"])
        self.assertEqual((said["Port"], said["Secured connection"]), ("465", "Secured connection using SSL"))
        said = self.fields(self.sheets(SERVER)["Outlook, and other mail programs"])
        self.assertEqual((said["Encryption"], said["Log in"]), ("SSL/TLS", "yes, by user name and password (LOGIN)"))

    def test_only_what_listeners_offer_S0_25(self):
        """A warning instead of settings that would not work."""
        for listeners, auth, unserved in (
                ({"here": {"address": "127.0.0.1:587", "tls": "starttls", "auth": "required"}}, {}, BY_LOGIN),
                ({"other": dict(SUBMISSION, address="*:5587")}, {}, {"Gmail: Send mail as"}),
                ({"submissions": SUBMISSIONS}, {}, {"Postfix", "Exim", "sendmail"}),
                ({"submission": SUBMISSION}, {"mechanisms": ["login"]}, {"Postfix", "Exim", "sendmail"}),
                ({"submission": SUBMISSION}, {"mechanisms": ["scram-sha-256"]}, BY_LOGIN)):
            with self.subTest(listeners=listeners, auth=auth):
                self.configure(listeners, **auth)
                self.assertEqual(self.unserved(SERVER), unserved)
                for name in unserved:
                    sheet = self.sheets(SERVER)[name]
                    self.assertEqual((sheet["fields"], sheet["blocks"], sheet["listener"]), ([], [], None))
        self.assertIn("WARNING: no listener suits: ", self.stopped.ctl("setup-sheet", SERVER).stdout)

    def test_servers_of_a_domain_S0_25(self):
        """Known by their addresses; Google and Microsoft come to port 25 alone."""
        self.configure({"submission": SUBMISSION})
        self.assertEqual(self.unserved("clinic.example"), set(self.sheets("clinic.example")))
        self.configure({"servers": dict(SERVERS, address="*:2525")})
        self.assertEqual(self.unserved("clinic.example"),
                         {"Google Workspace: outbound gateway", "Microsoft 365: connector"})
        self.configure({"servers": SERVERS})
        self.assertEqual(self.unserved("clinic.example"), set())
        text = self.stopped.ctl("setup-sheet", "clinic.example").stdout
        for line in (f"    :{HOST}:25\n", f"    relayhost = [{HOST}]:25\n", f"-SmartHosts {HOST} "):
            self.assertIn(line, text)

    def test_who_cannot_send_gets_none(self):
        self.configure({"submission": SUBMISSION})
        self.stopped.ctl("user", "disable", SERVER)
        for subject, why in ((SERVER, "is disabled"), ("nobody@clinic.example", "nobody@clinic.example"),
                             ("no domain", "neither an address nor a domain")):
            refused = self.stopped.ctl("setup-sheet", subject, check=False)
            self.assertEqual((refused.returncode, refused.stdout), (1, ""))
            self.assertIn(why, refused.stderr)
