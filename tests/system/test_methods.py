# SPDX-License-Identifier: Apache-2.0
"""How the choice is seen: in the header of each copy, the log, reports and posternctl (SPEC T2, T8; B-12, C16)."""
import json
import re

from tests.lib import proc
from tests.system.test_protection import SECOND, SECRET, ProtectionCase, message

FIELD = "X-Postern-Method"
TLS = "TLS (protection was wanted; from this relay to the next hop only)"
DEMANDED = "TLS (demanded here; from this relay to the next hop only)"
INSECURE = "none (protection was wanted and no method applied)"
OPT_OUT = "opt-out (the sender did not want protection)"
FAKE = "fake (protection was wanted)"


def labels(data):
    """What the header says, and that it says it once."""
    header = data.split(b"\r\n\r\n")[0].decode()
    return re.findall(rf"(?mi)^{FIELD}: *(.*?)\r?$", header)


class Seen(ProtectionCase):
    PIPELINE = ["tls-only", SECOND, "provider", "sealer"]

    def prepare(self, **sections):
        self.begin(self.PIPELINE, second={"rules": ["f.example=fake", "f.tls.example=fake"]}, **{
            "tls-only": {"partners": ["partner.tls.example"], "exclude": ["f.tls.example", "n.tls.example"]},
            "protection": {"ask": {"subject": "[secure]"}, "failure": "send-insecurely",
                           "opt_out": {"subject": "[plain]", "allowed_groups": ["*"]}}, **sections})
        return self.server

    def copies(self, hop, count):
        """By recipient."""
        return {recipient.strip("<>"): data for _, recipients, data in hop.wait(count, 60) for recipient in recipients}

    def test_b_12_header(self):
        """Each copy says how it was protected, once, whatever the client says; none tells of another."""
        self.prepare().start()
        client = self.client()
        forged = message("[secure] hello", f"{FIELD}: S/MIME", f"{FIELD.lower()} :\r\n\tPGP")
        people = ["a@tls.example", "b@tls.example", "c@f.tls.example", "d@n.tls.example", "e@partner.tls.example"]
        self.assertEqual(self.send(client, people, forged)[0], 250)
        came = self.copies(self.secure, 3)  # TLS is one copy
        self.assertEqual({one: labels(data) for one, data in came.items()}, {
            "a@tls.example": [TLS], "b@tls.example": [TLS], "c@f.tls.example": [FAKE], "d@n.tls.example": [INSECURE],
            "e@partner.tls.example": [TLS]})
        for one, data in came.items():
            self.assertTrue(data.startswith(b"X-Seal: "), data[:60])  # sealed behind it
            for other in people:
                self.assertNotIn(other, "".join(labels(data)))
        # Nobody wants anything: a partner's copy says what was demanded, the other one nothing.
        self.assertEqual(self.send(client, ["f@partner.tls.example", "g@tls.example"],
                                   message("hello", f"{FIELD}: TLS"))[0], 250)
        came = self.copies(self.secure, 5)
        self.assertEqual(labels(came["f@partner.tls.example"]), [DEMANDED])
        self.assertEqual(labels(came["g@tls.example"]), [])
        self.assertNotIn(FIELD.lower().encode(), came["g@tls.example"].lower())

    def test_b_12_planned_again(self):
        """A copy says what was done for it: TLS that was not to be had leaves no trace in the next one (T4)."""
        self.prepare().start()
        client = self.client()
        self.assertEqual(self.send(client, ["a@f.example", "b@n.example"], message("[secure]"))[0], 250)
        came = self.copies(self.bare, 2)
        self.assertEqual(labels(came["a@f.example"]), [FAKE])
        self.assertEqual(labels(came["b@n.example"]), [INSECURE])
        for data in came.values():
            self.assertEqual(data.count(b"Received:"), 1)
            self.assertEqual(data.count(b"X-Seal:"), 1)
            self.assertNotIn(b"TLS (", data)

    def test_c16_told(self):
        """T8: method, reason, and why no earlier one, in the report, the log, trace, queue show and explain."""
        self.prepare(protection={"ask": {"subject": "[secure]"}}).start()
        client = self.client()
        people = ["a@tls.example", "c@f.tls.example", "d@n.tls.example", "q@tls.example"]
        self.secure.answers["RCPT TO:<q@tls.example>"] = ["450 4.2.1 later"] * 1000
        client.mail("ada@clinic.example")
        for one in people:
            self.assertEqual(client.rcpt(one, ["NOTIFY=SUCCESS,FAILURE"])[0], 250)
        self.assertEqual(client.data(message("[secure]"))[0], 250)
        said = {}
        for report in self.reports(3):
            human, status = re.sub(r"\r\n[ \t]+", " ", report).split("Content-Type: message/delivery-status")
            for part in status.split("\r\n\r\n"):
                found = re.search(r"Final-Recipient: rfc822; (\S+)", part)
                if found:
                    said[found.group(1)] = (human, dict(re.findall(r"(?m)^(X-Postern-[\w-]+): (.*?)\r?$", part)))
        self.assertEqual(set(said), set(people[:3]))
        human, fields = said["a@tls.example"]
        self.assertRegex(human, r"Protection: TLS \(TLS of 112 bits to the next hop\); the connection to the next mail "
                                r"system was encrypted by TLSv1\.3 with")
        self.assertEqual(fields["X-Postern-Method"], "TLS")
        self.assertRegex(fields["X-Postern-Hop-TLS"], r"^TLSv1\.3 with \w+, (128|256) bits$")
        human, fields = said["c@f.tls.example"]
        self.assertIn("Protection: fake (by rule)", human)
        self.assertIn("Asked before, without result: tls-only: the recipient is excluded", human)
        self.assertEqual((fields["X-Postern-Method"], fields["X-Postern-Reason"], fields["X-Postern-Passed"]),
                         ("fake", "by rule", "tls-only: the recipient is excluded"))
        human, fields = said["d@n.tls.example"]
        self.assertIn("No method of protection applied.", human)
        self.assertEqual((fields["X-Postern-Method"], fields["X-Postern-Passed"]), (
            "none", "tls-only: the recipient is excluded; second: no rule; protection: no method applies"))
        number, = {line for line in re.findall(r"event=accepted id=(\w+)", self.server.log())}
        traced = self.server.ctl("trace", number).stdout
        self.assertRegex(traced, rf'to=c@f.tls.example method=fake .*reason="by rule" passed="tls-only: the recipient')
        rows = json.loads(self.server.ctl("--json", "queue", "show", number).stdout)
        self.assertEqual([(row["to"], row["method"], row["because"], row["passed_before"]) for row in rows[0]["recipients"]],
                         [("q@tls.example", "tls", "TLS of 112 bits to the next hop", None)])
