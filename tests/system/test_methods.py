# SPDX-License-Identifier: Apache-2.0
"""How one method is chosen, by escrow's rules too, and how the choice is seen (SPEC T2, T4, T8; S1-01 to S1-04, S1-11
to S1-18, B-12, B-14, B-35, C11, C16). The test module "ways" stands for the providers of smime, pgp and escrow."""
import itertools
import json
import os
import random
import re
import subprocess

from tests.lib import openpgp
from tests.lib.postern import File
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


class Selection(ProtectionCase):
    def secret(self, name, text):
        path = os.path.join(self.directory, name)
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            file.write(text + "\n")
        return File(path)

    def question(self, name):
        return {"question": f"{name}?", "answer": self.secret(f"answer-{name}", f"The {name.upper()} answer")}

    def ways(self, hop, count):
        """By recipient: its method, and what was chosen for it."""
        found = {}
        for _, recipients, data in hop.wait(count, 60):
            text = data.decode()
            way = re.search(r"(?m)^X-Way: (.*)\r$", text)
            if not way:
                found.update({one.strip("<>"): ("clear", None) for one in recipients})
                continue
            self.assertNotIn(SECRET, text)
            self.assertNotIn("answer-", text)
            text = re.sub(r"\r\n[ \t]+", " ", text)
            for one, choice in re.findall(r"(?m)^X-Choice: (\S+) ?(.*)\r$", text):
                found[one] = (way.group(1), choice)
        return found

    def accounts(self, **domains):
        return {"attribute_by": ["user", "sender"],
                "accounts": {name: {"domains": [domain]} for name, domain in domains.items()}}

    def test_s1_11_to_13_escrow(self):
        """Login where it is enabled, or where the recipient has an account there; else the default question of the
        user, the domain, the account; and nobody hears an answer."""
        self.begin(["escrow", "ways"], protection={"wanted": "always"},
                   directory={"attribute_by": ["user", "sender"], "accounts": {
                       "login": {"domains": ["login.example"]}, "none": {"domains": ["none.example"]},
                       "asks": {"domains": ["asks.example", "own.example"]}}},
                   escrow={"accounts": {"login": {"modes": ["login"]},
                                        "asks": {"default_question": self.question("account")}},
                           "domains": {"own.example": {"default_question": self.question("domain")}},
                           "users": {"ada@own.example": {"default_question": self.question("user")}}})
        for account in ("asks", "login"):
            self.server.ctl("escrow", "account", "add", account, "Known@f.example")
        self.assertIn("has a portal account there already", self.server.ctl(
            "escrow", "account", "add", "asks", "known@F.EXAMPLE", check=False).stderr)
        self.assertIn("there is no account", self.server.ctl(
            "escrow", "account", "add", "asked", "known@f.example", check=False).stderr)
        self.server.start()
        client = self.client()
        rows = {"a@f.example": ("x@login.example", "login"), "b@f.example": ("x@asks.example", "account?"),
                "c@f.example": ("x@own.example", "domain?"), "d@f.example": ("ada@own.example", "user?"),
                "known@f.example": ("ada@own.example", "login")}
        for recipient, (sender, _) in rows.items():
            self.assertEqual(self.send(client, [recipient], message(), sender)[0], 250, recipient)
        # Kept apart per customer account, and nobody's account is one of its own.
        for sender in ("x@none.example", "x@nobodys.example"):
            self.assertEqual(self.send(client, ["known@f.example"], message(), sender)[0], 550)
        came = self.ways(self.bare, 5)
        self.assertEqual({one: (way, choice.split(" ")[-1]) for one, (way, choice) in came.items()},
                         {one: ("escrow", said) for one, (_, said) in rows.items()})
        keys = {choice.split(" ")[1] for _, choice in came.values() if choice.startswith("question ")}
        self.assertEqual(len(keys), 3)
        for key in keys:
            self.assertRegex(key, r"^answer1\$[\w-]{64}$")
        # The same question again is the same key: Argon2id is paid for once.
        self.assertEqual(self.send(client, ["e@f.example"], message(), "x@asks.example")[0], 250)
        self.assertEqual(self.ways(self.bare, 6)["e@f.example"], came["b@f.example"])
        self.server.ctl("escrow", "account", "remove", "asks", "known@f.example")
        rows = json.loads(self.server.ctl("--json", "escrow", "account", "list").stdout)
        self.assertEqual(rows, [{"account": "login", "address": "known@f.example"}])
        self.assertEqual(self.send(client, ["known@f.example"], message(), "x@asks.example")[0], 250)
        self.assertTrue(self.ways(self.bare, 7)["known@f.example"][1].endswith(" account?"))

    def test_s1_16_nobody_is_left_over(self):
        """With login, or a default question, any recipient at all is served, without the sender."""
        self.begin(["tls-only", "escrow", "ways"], protection={"wanted": "always"},
                   directory=self.accounts(login="login.example", asks="clinic.example"),
                   escrow={"default_question": self.question("account"),
                           "accounts": {"login": {"modes": ["login", "question"]}}})
        self.server.start()
        chance, client, people = random.Random(116), self.client(), []
        for _ in range(60):
            local = "".join(chance.choices("abcXYZ0189.!#$%&'*+/=?^_`{|}~-", k=chance.randrange(1, 40))).strip(".")
            local = f'"{local}"' if ".." in local or not local else local
            people.append(f"{local}@{chance.choice('abcd')}.{chance.choice(['bare', 'tls'])}.example")
        people = list(dict.fromkeys(people))
        for number, sender in enumerate(("x@login.example", "x@clinic.example")):
            for at in range(0, len(people), 20):
                self.assertEqual(self.send(client, people[at:at + 20], message(), sender)[0], 250)
            bare = [one for one in people if one.endswith("bare.example")]
            came = self.ways(self.bare, (number + 1) * len(bare))
            self.assertEqual({came[one][0] for one in bare}, {"escrow"})
            self.assertEqual({came[one][1].split(" ")[0] for one in bare}, {("login", "question")[number]})
        self.assertEqual(self.server.log().count("event=refused"), 0)

    def test_s1_02_all_sets(self):
        """The first available of six, for all 64 sets of them, as ten lines say that know nothing of Postern."""
        def model(tls, profile, book, login, account, question):
            for method, has in (("clear", tls), ("smime", profile), ("pgp", book), ("login", login),
                                ("login", account), ("question", question)):
                if has:
                    return method
            return None

        people = {bits: "".join("yn"[not bit] for bit in bits) + f"@x.{'tls' if bits[0] else 'bare'}.example"
                  for bits in itertools.product((True, False), repeat=4)}
        senders = {bits: "".join("yn"[not bit] for bit in bits) for bits in itertools.product((True, False), repeat=2)}
        self.begin(["tls-only", {"selector": {"id": "profile"}}, {"selector": {"id": "book"}}, "escrow", "ways"],
                   protection={"wanted": "always"},
                   directory=self.accounts(**{name: f"{name}.example" for name in senders.values()}),
                   **{"tls-only": {"exclude": ["bare.example"]}},
                   profile={"rules": [f"{one}=smime" for bits, one in people.items() if bits[1]]},
                   book={"rules": [f"{one}=pgp" for bits, one in people.items() if bits[2]]},
                   escrow={"accounts": {name: {"modes": ["question"] + (["login"] if login else []),
                                               **({"default_question": self.question(name)} if question else {})}
                                        for (login, question), name in senders.items()}})
        for name in senders.values():
            for bits, one in people.items():
                if bits[3] and not any(bits[:3]):  # the others are served before anybody asks
                    self.server.ctl("escrow", "account", "add", name, one)
        self.server.start()
        client, expected = self.client(), {}
        for (login, question), name in senders.items():
            for bits, one in people.items():
                want = model(*bits[:3], login, bits[3], question)
                code, _ = self.send(client, [one], message(), f"s@{name}.example")
                self.assertEqual(code, 250 if want else 550, (login, question, bits))
                expected.setdefault(one, []).append(want)
        self.assertEqual(sum(len(row) for row in expected.values()), 64)
        for hop, kind in ((self.secure, "tls"), (self.bare, "bare")):
            mine = {one: [want for want in wants if want] for one, wants in expected.items() if f".{kind}." in one}
            found = {one: [] for one in mine}
            for _, recipients, data in hop.wait(sum(len(wants) for wants in mine.values()), 60):
                way = re.search(rb"(?m)^X-Way: (.*)\r$", data)
                choice = re.search(rb"(?m)^X-Choice: \S+ (\w+)", data)
                said = way.group(1).decode() if way else "clear"
                found[recipients[0].strip("<>")].append(choice.group(1).decode() if said == "escrow" else said)
            self.assertEqual({one: sorted(ways) for one, ways in found.items()},
                             {one: sorted(wants) for one, wants in mine.items()})

    def test_s1_01_five_ways(self):
        """C11: one message in one transaction leaves in five ways, each of the clear original, each labelled."""
        people = {name: f"{name}@x.{'tls' if name == 'tls' else 'bare'}.example"
                  for name in ("tls", "smime", "pgp", "escrow", "nobody")}
        self.begin(["tls-only", {"selector": {"id": "book"}}, "ways"], protection={"ask": {"subject": "[secure]"}},
                   book={"rules": [f"{people[name]}={name}" for name in ("smime", "pgp", "escrow")]},
                   **{"tls-only": {"exclude": ["bare.example"]}})
        self.server.start()
        self.assertEqual(self.send(self.client(), list(people.values()), message("[secure] hello"))[0], 250)
        came = {recipients[0].strip("<>"): data for hop, count in ((self.secure, 1), (self.bare, 3))
                for _, recipients, data in hop.wait(count, 60)}
        self.assertEqual({one: labels(data)[0].split(" ")[0] for one, data in came.items()}, {
            people["tls"]: "TLS", people["smime"]: "S/MIME", people["pgp"]: "PGP", people["escrow"]: "escrow"})
        self.assertEqual([one for one, data in came.items() if SECRET.encode() in data], [people["tls"]])
        for one, data in came.items():  # each an own rendering of the original, none of another's
            self.assertEqual(data.count(b"X-Way:"), one != people["tls"])
            for other in people.values():
                self.assertEqual(other.encode() in data, other == one and b"X-Way" in data, (one, other))
        report, = self.reports(1)
        self.assertIn(f"Final-Recipient: rfc822; {people['nobody']}", report)
        for name in ("tls", "smime", "pgp", "escrow"):
            self.assertNotIn(f"Final-Recipient: rfc822; {people[name]}", report)

    def test_s1_01_with_keys(self):
        """The same with the keys of module pki: S/MIME and PGP that nobody here can read, and what the rest gets."""
        person, alice = "smime@x.bare.example", "alice@openpgp.example"
        pem = os.path.join(self.directory, "person.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "30", "-subj", "/CN=person", "-addext", f"subjectAltName=email:{person}", "-out", pem,
                        "-keyout", "/dev/null"], check=True, stderr=subprocess.DEVNULL)
        self.begin(["tls-only", "pki", {"selector": {"id": "book"}}, "escrow", "portal"],
                   protection={"ask": {"subject": "[secure]"}}, book={"rules": ["nobody@x.bare.example=reject"]},
                   escrow={"default_question": self.question("account")}, **{"tls-only": {"exclude": [
                       "bare.example", "openpgp.example"]}})
        for path in (pem, str(openpgp.KEYS / "alice-public.asc")):
            self.server.ctl("pki", "import", path)
        self.server.start()
        people = ["tls@x.tls.example", person, alice, "asked@x.bare.example", "nobody@x.bare.example"]
        self.assertEqual(self.send(self.client(), people, message("[secure] hello"))[0], 250)
        came = {recipients[0].strip("<>"): data for hop, count in ((self.secure, 1), (self.bare, 3))
                for _, recipients, data in hop.wait(count, 60)}
        self.assertEqual({one: labels(data)[0].split(" ")[0] for one, data in came.items()}, dict(zip(
            people, ("TLS", "S/MIME", "PGP", "escrow"))))
        self.assertIn(b"application/pkcs7-mime", came[person])
        self.assertIn(b"application/pgp-encrypted", came[alice])
        self.assertIn(b"X-Choice: asked@x.bare.example question answer1$", came[people[3]])
        self.assertEqual([one for one, data in came.items() if SECRET.encode() in data], people[:1])
        report, = self.reports(1)
        self.assertEqual(re.findall(r"Final-Recipient: rfc822; (\S+)", report), people[-1:])

    def test_one_key_is_bad(self):
        """A provider refuses one of a group: the others have theirs, and that one the next entry's, which is told."""
        self.begin([{"selector": {"id": "profile"}}, "escrow", "ways"], protection={"wanted": "always"},
                   profile={"rules": ["a.example=smime"]}, escrow={"default_question": self.question("account")})
        self.server.start()
        people = ["one@a.example", "bad@a.example", "two@a.example"]
        text = f"To: {', '.join(people)}\r\n" + message()
        self.assertEqual(self.send(self.client(), people, text)[0], 250)
        came = {tuple(sorted(one.strip("<>") for one in recipients)): data
                for _, recipients, data in self.bare.wait(2, 60)}
        self.assertEqual({who: labels(data)[0].split(" ")[0] for who, data in came.items()},
                         {("one@a.example", "two@a.example"): "S/MIME", ("bad@a.example",): "escrow"})
        self.assertRegex(self.server.log(), r'event=planned [^\n]*to=bad@a.example method=escrow [^\n]*'
                                            r'passed="ways: the key is bad"')

    def test_s1_04_starttls_is_gone(self):
        """What was sent by TLS goes another way as soon as the next hop has lost it; no byte of it in clear."""
        clear = []
        self.begin(["tls-only", "escrow", "ways"], protection={"wanted": "always"},
                   escrow={"default_question": self.question("account")})
        self.server.relay["queue"]["messages_per_connection"] = 1
        self.server.write()
        self.secure.take = lambda data, secure: None if secure else clear.append(data)
        self.server.start()
        client = self.client()
        self.assertEqual(self.send(client, ["a@tls.example"], message())[0], 250)
        self.assertEqual(self.ways(self.secure, 1), {"a@tls.example": ("clear", None)})
        self.secure.tls = None
        self.assertEqual(self.send(client, ["b@tls.example"], message())[0], 250)
        self.assertEqual(self.ways(self.secure, 2)["b@tls.example"][0], "escrow")
        self.assertEqual(len(clear), 1)
        self.assertNotIn(SECRET.encode(), b"".join(clear) + b"".join(
            line for secure, line in self.secure.lines if not secure))
        # Seen without it, it is passed over at once.
        self.assertEqual(self.send(client, ["c@tls.example"], message())[0], 250)
        self.assertEqual(self.ways(self.secure, 3)["c@tls.example"][0], "escrow")
        self.assertRegex(self.server.log(), r"event=planned [^\n]*to=c@tls\.example [^\n]*last session had 0 bits")

    def test_b_35_the_safest_rule(self):
        """B-14, S4-09: of two demands the stronger counts, opting out lifts none, and each entry says what it is for
        (S2-19)."""
        self.begin([{"tls-only": {"id": "contract", "description": "Lab, contract of 2026"}},
                    {"tls-only": {"id": "law", "description": "Law: 256 bits"}}, {"selector": {"id": "wanting"}}],
                   wanting={"want": "sender", "opt_out": "message"},
                   contract={"partners": ["bare.example", "tls.example"], "minimum_bits": 112},
                   law={"partners": ["bare.example"], "minimum_bits": 256})
        rows = json.loads(self.server.ctl("--json", "order").stdout)
        self.assertEqual({row["entry"]: row["description"] for row in rows}, {
            "contract": "Lab, contract of 2026", "law": "Law: 256 bits", "wanting": None})
        self.server.start()
        people = ["a@tls.example", "b@bare.example"]
        self.assertEqual(self.send(self.client(), people, message("hello", "X-Opt-Out: yes"))[0], 250)
        report, = self.reports(1)
        self.assertIn("Diagnostic-Code: smtp; 503 5.7.0 encryption too weak 0 less than 256\r\n", report)
        self.assertEqual(labels(self.secure.wait(1, 60)[0][2]), [OPT_OUT])
        self.assertNotIn(b"b@bare.example", b"".join(line for _, line in self.bare.lines))

    def test_mistakes(self):
        """Half a question, none that can be asked, modes that contradict it; and that nobody provides the method."""
        def said(**escrow):
            self.begin(["escrow"], escrow=escrow)
            done = self.server.ctl("check", check=False)
            return done.stdout + done.stderr
        self.assertIn('may choose "escrow", which no entry provides', said())
        for text, escrow in (
                ('default_question: has no "answer"', {"default_question": {"question": "Who?"}}),
                ("default_question.question: is empty", {"default_question": {**self.question("x"), "question": " "}}),
                ("default_question.answer: is empty",
                 {"default_question": {"question": "Who?", "answer": self.secret("empty", " ")}}),
                ("modes: lacks question", {"modes": ["login"], "default_question": self.question("x")}),
                ('default_question: has no "answer"; per user it is set as a whole',
                 {"default_question": self.question("x"),
                  "users": {"a@clinic.example": {"default_question": {"question": "Who?"}}}}),
                ("escrow.modes[0]: \"portal\" is not known", {"modes": ["portal"]})):
            self.assertIn(text, said(**escrow))
