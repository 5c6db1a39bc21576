# SPDX-License-Identifier: Apache-2.0
"""Mail to the internet: mail exchangers by the DNS, from a name server of the test's own. Every loopback
address is a host of its own, all on one port."""
import json
import smtplib

from tests.lib import logs, proc
from tests.lib.case import RelayCase
from tests.lib.hosts import Hosts
from tests.lib.nameserver import NameServer, forge_address

SLOW = True

TEXT = "From: ada@clinic.example\r\nSubject: x\r\nMessage-ID: <one@clinic.example>\r\n\r\nbody\r\n"
LATER = {"retry_first": "1h", "retry_most": "1h"}
OWN = "relay.clinic.example"

# name -> (records, the host that gets it or the reply that ends it)
DOMAINS = {
    "RFC 5321 5.1: the lowest preference": (
        "order MX 20 h3\norder MX 10 h2\norder MX 30 h4", "127.0.0.2"),
    "RFC 5321 5.1: without MX the address": ("plain A 127.0.0.5", "127.0.0.5"),
    "RFC 5321 5.1: with MX never the address": (
        "both MX 10 h2\nboth A 127.0.0.5", "127.0.0.2"),
    "RFC 5321 5.1: an MX without an address, and the domain has one": (
        "unusable MX 10 none\nunusable A 127.0.0.5", "550 5.4.4"),
    "RFC 5321 5.1: the domain is an alias": ("alias CNAME order", "127.0.0.2"),
    "RFC 5321 5.1: alias of an alias": ("chain CNAME alias", "127.0.0.2"),
    "RFC 2181 10.3: an MX that is an alias is taken": (
        "pointed MX 10 nick\nnick CNAME h6", "127.0.0.6"),
    "RFC 5321 5.1: the next one where the first has no address": (
        "hole MX 10 none\nhole MX 20 h3", "127.0.0.3"),
    "RFC 5321 5.1: our own name, and what is no better": (
        "second MX 10 h4\nsecond MX 20 relay.clinic.example.\nsecond MX 20 h2\nsecond MX 30 h3", "127.0.0.4"),
    "RFC 5321 5.1: we are the best": (
        "first MX 10 relay.clinic.example.\nfirst MX 20 h2", "554 5.4.6"),
    "RFC 5321 5.1: nothing at all": ("nothing TXT nothing", "550 5.1.2"),
    "RFC 5321 5.1: no such domain": ("", "550 5.1.2"),
    "RFC 7505: null MX": ("null MX 0 .", "556 5.1.10"),
    "RFC 7505: null MX beside an address": ("null2 MX 0 .\nnull2 A 127.0.0.5", "556 5.1.10"),
    "refused_networks": ("inside MX 10 h99", "550 5.4.4"),
    "refused_networks: the other address": ("half MX 10 h98", "127.0.0.7"),
    "RFC 7504: 521 says not here": ("closed MX 10 h21\nclosed MX 20 h3", "127.0.0.3"),
    "RFC 5321 5.1: a greeting of 4yz": ("busy MX 10 h22\nbusy MX 20 h3", "127.0.0.3"),
    "RFC 5321 5.1: nobody listens there": ("down MX 10 h98x\ndown MX 20 h3", "127.0.0.3"),
    "RFC 5321 5.1: lost before MAIL": ("lost MX 10 h23\nlost MX 20 h3", "127.0.0.3"),
    "RFC 5321 5.1: two addresses of one host": ("two MX 10 twice", "127.0.0.3"),
    "RFC 5891: U-labels": ("xn--mller-kva MX 10 h9", "127.0.0.9"),
    "a name server that fails": (None, "451 4.4.3"),
}
NAMES = {"RFC 5321 5.1: no such domain": "nowhere.net.example", "a name server that fails": "x.dead.example",
         "RFC 5891: U-labels": "müller.net.example"}
HOSTS = "".join(f"h{i} A 127.0.0.{i}\n" for i in range(2, 30)) + """\
h99 A 127.9.0.1
h98 A 127.9.0.1
h98 A 127.0.0.7
h98x AAAA ::1
twice AAAA ::1
twice A 127.0.0.3
"""
ANSWERS = {("127.0.0.21", "greeting"): ["521 mail is not taken here"] * 9,
           ("127.0.0.22", "greeting"): ["421 4.3.2 too busy"] * 9,
           ("127.0.0.23", "EHLO"): ["reset"] * 9,
           ("127.0.0.9", "EHLO"): ["250-hop\r\n250-8BITMIME\r\n250 SMTPUTF8"] * 9}


def zone():
    return HOSTS + "".join(f"{records}\n" for records, _ in DOMAINS.values() if records)


def name_of(clause):
    records, _ = DOMAINS[clause]
    return NAMES.get(clause) or records.split()[0] + ".net.example"


class MxCase(RelayCase):
    def prepare(self, zones=None, answers=None, dead=("dead.example",), silent=(), **more):
        self.sink = self.enterContext(Hosts(answers={key: list(said) for key, said in (answers or {}).items()},
                                           silent=silent))
        self.names = self.enterContext(NameServer(self.directory, self.builddir, zones, dead=dead, **more))

    def dns(self, *servers):
        return {"servers": list(servers) or [self.names.address], "validate": False}

    def start(self, dns=None, queue=None, route=None, destinations=(), **relay):
        settings = dict({"hostname": OWN, "loops": 2, "limits": {"recipients": 1500},
                         "dns": dns or self.dns(), "queue": queue or LATER}, **relay)
        routes = [{"when": {"recipient_domain": ["clinic.example"]}, "to": "discard"},
                  route or {"to": "mx", "port": self.sink.port, "tls": "none",
                            "refused_networks": ["127.9.0.0/16"]}]
        self.server = self.relay({"plain": {"tls": "none", "auth": "off"}}, routes, relay=settings,
                                 sections={"destinations": list(destinations)})
        if routes[1].get("port") == "own":
            routes[1]["port"] = self.server.port("plain")
            self.server.write()
        self.server.start()

    def send(self, *recipients, sender="ada@clinic.example"):
        with smtplib.SMTP("127.0.0.1", self.server.port("plain"), timeout=60) as client:
            client.ehlo()
            options = ["SMTPUTF8"] if any(not to.isascii() for to in recipients) else []
            self.assertEqual(client.sendmail(sender, recipients, TEXT, options), {})

    def wait(self, condition, what, seconds=60):
        try:
            return proc.wait_until(condition, seconds, what)
        except proc.Failed as problem:
            self.fail(f"{problem}\n{self.server.log()[-4000:]}")

    def events(self, *kinds):
        lines = [logs.logfmt(line) for line in self.server.log().splitlines() if "event=" in line]
        return [line for line in lines if line["event"] in kinds]

    def ends(self, count):
        """recipient -> its last line, when so many have one."""
        def found():
            lines = {line["to"]: line for line in self.events("delivered", "deferred", "bounced")
                     if not line["to"].endswith("@clinic.example")}
            return lines if len(lines) >= count else None
        return self.wait(found, f"{count} recipients have an end")


class Clauses(MxCase):
    def test_one_message_to_a_domain_of_each_kind(self):
        """Each clause with a domain of its own, and every recipient exactly once (ASKS C25)."""
        self.prepare({"net.example": zone()}, answers=ANSWERS)
        self.start()
        recipients = [f"b@{name_of(clause)}" for clause in DOMAINS]
        recipients += ["b@[127.0.0.8]", "b@[127.9.0.1]"]
        self.send(*(to for to in recipients if to.isascii()))
        self.send(*(to for to in recipients if not to.isascii()))
        ends = self.ends(len(recipients))
        taken = [(to, host) for host, group in self.sink.messages for to in group]
        self.assertEqual(len(taken), len(dict(taken)), "nobody gets it twice")
        wanted = {clause: (f"b@{name_of(clause)}", end) for clause, (_, end) in DOMAINS.items()}
        wanted["RFC 5321 4.1.3: an address literal"] = ("b@[127.0.0.8]", "127.0.0.8")
        wanted["an address literal that is refused"] = ("b@[127.9.0.1]", "550 5.4.4")
        for clause, (to, end) in wanted.items():
            with self.subTest(clause):
                took = dict(taken).get(to, dict(taken).get(to.replace("müller", "xn--mller-kva")))
                if end.startswith("127."):
                    self.assertEqual((took, ends[to]["event"]), (end, "delivered"), ends[to])
                    self.assertIn(f"[{end}]:" if "[" not in to else f"{end}:", ends[to]["remote"])
                else:
                    self.assertIsNone(took)
                    self.assertTrue(ends[to]["reply"].startswith(end), ends[to])
                    self.assertEqual(ends[to]["event"], "deferred" if end[0] == "4" else "bounced")

    def test_equal_preference_is_chance(self):
        """RFC 5321 section 5.1: hosts of one preference share the load."""
        count = 24
        self.prepare({"net.example": HOSTS + "".join(f"d{i} MX 10 h2\nd{i} MX 10 h3\n" for i in range(count))})
        self.start()
        self.send(*(f"b@d{i}.net.example" for i in range(count)))
        self.ends(count)
        self.assertEqual({host for host, _ in self.sink.messages}, {"127.0.0.2", "127.0.0.3"})

    def test_a_letters_refusal_is_no_reason_for_the_next_host(self):
        """RFC 5321 section 5.1: what MAIL, RCPT or the message is answered is the domain's answer."""
        self.prepare({"net.example": HOSTS + "soft MX 10 h2\nsoft MX 20 h4\nhard MX 10 h3\nhard MX 20 h4\n"},
                     answers={("127.0.0.2", "RCPT"): ["450 4.2.0 later"], ("127.0.0.3", "."): ["554 5.7.1 no"]})
        self.start()
        self.send("b@soft.net.example", "b@hard.net.example")
        ends = self.ends(2)
        self.assertEqual(ends["b@soft.net.example"]["reply"], "450 4.2.0 later")
        self.assertEqual(ends["b@hard.net.example"]["reply"], "554 5.7.1 no")
        self.assertEqual(self.sink.opened["127.0.0.4"], 0)

    def test_a_round_is_bounded(self):
        """RFC 5321 section 5.1: the best of many hosts, and at least two, have their turn in an attempt."""
        hosts = range(10, 18)
        self.prepare({"net.example": HOSTS + "".join(f"many MX {i} h{i}\n" for i in hosts)},
                     answers={(f"127.0.0.{i}", "greeting"): ["421 4.3.2 too busy"] * 9 for i in hosts})
        self.start()
        self.send("b@many.net.example")
        self.assertEqual(self.ends(1)["b@many.net.example"]["event"], "deferred")
        self.assertEqual(dict(self.sink.opened), {f"127.0.0.{i}": 1 for i in hosts[:5]})

    def test_networks_that_are_refused(self):
        """Those that no host of the internet has, unless others are given, or none."""
        self.prepare({"net.example": HOSTS + "one MX 10 h2\n"})
        self.start(route={"to": "mx", "port": self.sink.port, "tls": "none"})
        self.send("b@one.net.example")
        self.assertEqual(self.ends(1)["b@one.net.example"]["reply"][:9], "550 5.4.4")
        self.server.routes[1]["refused_networks"] = []
        self.server.write()
        self.server.ctl("reload")
        self.send("c@one.net.example")
        self.assertEqual(self.ends(2)["c@one.net.example"]["event"], "delivered")

    def test_route_shows_the_exchangers(self):
        """What posternctl route says is what an attempt would go through."""
        self.prepare({"net.example": HOSTS + "some MX 10 h2\nsome MX 20 h99\nsome MX 30 none\nnull MX 0 .\n"})
        self.start()

        def rows(domain):
            done = self.server.ctl("--json", "route", "a@clinic.example", f"b@{domain}.net.example")
            return [(row["route"], row["place"], row["verdict"], row["why"]) for row in json.loads(done.stdout)[2:]]
        self.assertEqual(rows("some"), [
            ("h2.net.example", "MX 10", "tried", "127.0.0.2"),
            ("h99.net.example", "MX 20", "has no address that mail may be sent to", ""),
            ("none.net.example", "MX 30", "has no address", "")])
        self.assertEqual(rows("null"), [("null.net.example", None, "refused",
                                         "556 5.1.10 null.net.example takes no mail (null MX)")])

    def test_route_shows_how_the_hosts_fare(self):
        """Of the running relay: who is left alone, until when and since which reply, and what TLS was last."""
        self.prepare({"net.example": HOSTS + "some MX 10 h50\nsome MX 20 h2\nh50 A 127.0.0.50\n"},
                     silent={"127.0.0.50"})
        self.start(route={"to": "mx", "port": self.sink.port, "tls": "may", "refused_networks": ["127.9.0.0/16"]},
                   destinations=[{"host": ["h50.net.example"], "timeouts": {"greeting": "1s"},
                                  "back_off": {"first": "1h", "most": "1h"}}])
        words = ("--json", "route", "a@clinic.example", "b@some.net.example")

        def known():
            return [row for row in json.loads(self.server.ctl(*words).stdout) if row["place"] == "relay"]
        self.assertEqual(known(), [])
        self.send("b@some.net.example")
        self.assertEqual(self.ends(1)["b@some.net.example"]["event"], "delivered")
        way, dead, alive = known()
        self.assertEqual((way["route"], way["verdict"], way["tls_bits"]), ("mx:some.net.example", "may be tried", 0))
        self.assertEqual((dead["route"], dead["verdict"], dead["failures_in_a_row"], dead["reached"]),
                         (f"h50.net.example:{self.sink.port}", "left alone", 1, None))
        self.assertIn("timed out waiting for the greeting", dead["blocked_because"])
        self.assertGreater(dead["blocked_until"], alive["reached"])
        self.assertEqual((alive["route"], alive["verdict"], alive["tls_bits"], alive["blocked_until"]),
                         (f"h2.net.example:{self.sink.port}", "reached", 0, None))
        self.assertIn("no TLS", self.server.ctl(*words[1:]).stdout)
        self.server.stop()
        done = self.server.ctl(*words)
        self.assertEqual(len(json.loads(done.stdout)), 4)
        self.assertIn("no relay is running", done.stderr)

    def test_our_own_address_is_ourselves(self):
        """RFC 5321 section 5.1: also under another name; and no mail goes round."""
        self.prepare({"net.example": "loop MX 10 other\nother A 127.0.0.1\n"})
        self.start(route={"to": "mx", "port": "own", "tls": "none", "refused_networks": ["127.9.0.0/16"]})
        self.send("b@loop.net.example")
        self.assertEqual(self.ends(1)["b@loop.net.example"]["reply"][:9], "554 5.4.6")


class Dnssec(MxCase):
    def test_what_is_bogus_waits(self):
        """ASKS C08: a signature that does not fit defers, and bounces nothing; what is unsigned goes."""
        self.prepare({"net.example": HOSTS + "plain MX 10 h2\n"},
                     signed={"safe.example": "@ MX 10 mx\nmx A 127.0.0.3\nforged MX 10 bad\nbad A 127.0.0.4\n"},
                     forge=forge_address("127.0.0.4", "127.0.0.5"))
        self.start(dns={"servers": [self.names.address], "trust_anchor": self.names.anchor})
        self.send("b@safe.example", "b@forged.safe.example", "b@plain.net.example")
        ends = self.ends(3)
        self.assertEqual([ends[to]["event"] for to in sorted(ends)], ["deferred", "delivered", "delivered"])
        self.assertRegex(ends["b@forged.safe.example"]["reply"], r"^451 4\.4\.3 .*DNSSEC")
        self.assertEqual(sorted(host for host, _ in self.sink.messages), ["127.0.0.2", "127.0.0.3"])
        self.assertEqual(self.events("dns-not-validating"), [])

    def test_where_no_signature_comes_it_is_said_and_mail_goes(self):
        """ASKS C08: with an anchor for what comes unsigned everything would be bogus."""
        self.prepare({"net.example": HOSTS}, signed={"safe.example": "@ MX 10 mx\nmx A 127.0.0.3\n"})
        self.names.set_zone("safe.example", "@ MX 10 mx\nmx A 127.0.0.3\n")
        self.start(dns={"servers": [self.names.address], "trust_anchor": self.names.anchor})
        self.send("b@safe.example")
        self.assertEqual(self.ends(1)["b@safe.example"]["event"], "delivered")
        self.assertEqual(len(self.events("dns-not-validating")), 1)


class Many(MxCase):
    def test_silent_name_server_holds_up_nobody(self):
        """A server that never answers costs its questions their time, bounded, and no other mail."""
        self.prepare({"net.example": HOSTS + "plain MX 10 h2\n"})
        quiet = self.enterContext(Hosts())  # takes connections on TCP; UDP goes nowhere
        self.start(dns=dict(self.dns(f"127.0.0.77:{quiet.port}"), timeout="2s"))
        self.send("b@plain.net.example", "b@[127.0.0.8]")
        ends = self.ends(2)
        self.assertRegex(ends["b@plain.net.example"]["reply"], r"^451 4\.4\.3 ")
        self.assertEqual(ends["b@[127.0.0.8]"]["event"], "delivered")

    def test_a_reload_changes_servers(self):
        self.prepare({"net.example": HOSTS + "plain MX 10 h2\n"})
        self.start(dns=dict(self.dns("127.0.0.77:1"), timeout="2s"), queue={"retry_first": "1s", "retry_most": "1s"})
        self.send("b@plain.net.example")
        self.wait(lambda: self.events("deferred"), "the first attempt fails")
        self.server.relay["dns"] = self.dns()
        self.server.write()
        self.server.reload()
        self.wait(lambda: self.sink.messages, "the message goes")

    def test_domains_share_their_hosts_connections(self):
        """200 domains of one provider: a handful of connections, one letter after another."""
        count = 200
        self.prepare({"net.example": HOSTS + "".join(f"d{i} MX 10 h2\n" for i in range(count))})
        self.start(destinations=[{"host": ["h2.net.example"], "connections": 3}])
        self.send(*(f"b@d{i}.net.example" for i in range(count)))
        ends = self.ends(count)
        self.assertEqual({end["event"] for end in ends.values()}, {"delivered"})
        self.assertEqual(len(self.sink.messages), count)
        self.assertLessEqual(self.sink.most["127.0.0.2"], 3)
        self.assertLessEqual(self.sink.opened["127.0.0.2"], count // 4)

    def test_dead_domains_hold_up_nobody(self):
        """Half of a hundred domains hang; the others have their mail while they hang."""
        count = 100
        records = "".join(f"d{i} A 127.3.0.{i + 1}\n" for i in range(count))
        silent = {f"127.3.0.{i + 1}" for i in range(0, count, 2)}
        self.prepare({"net.example": records}, silent=silent)
        self.start()
        self.send(*(f"b@d{i}.net.example" for i in range(count)))
        self.wait(lambda: len(self.sink.messages) == count // 2, "those that answer have theirs")
        self.assertFalse(silent & {host for host, _ in self.sink.messages})
        self.sink.speak()
        self.ends(count)
        self.assertEqual(len(self.sink.messages), count)

    def test_a_dead_host_is_found_once(self):
        """A hundred domains whose exchangers, by as many names, are one address that says nothing: one of
        them waits for it, the others are told; and who is tried again when it speaks, goes."""
        count = 100
        names = "".join(f"mx{i} A 127.0.0.50\nd{i} MX 10 mx{i}\n" for i in range(count))
        self.prepare({"net.example": names}, silent={"127.0.0.50"})
        silent = {"host": ["*.net.example"], "timeouts": {"greeting": "2s"},
                  "back_off": {"first": "1h", "most": "1h"}}
        self.start(destinations=[silent], loops=2)
        self.send("b@d0.net.example")
        self.ends(1)
        self.send(*(f"b@d{i}.net.example" for i in range(1, count)))
        ends = self.ends(count)
        self.assertEqual({end["event"] for end in ends.values()}, {"deferred"})
        self.assertEqual({end["reply"] for end in ends.values()}, {ends["b@d0.net.example"]["reply"]})
        self.assertEqual(self.sink.opened["127.0.0.50"], 1)
        self.sink.speak()
        self.server.ctl("queue", "retry", "--domain", "d7.net.example")
        self.wait(lambda: self.sink.messages, "it goes")

    def test_a_dead_host_is_no_reason_to_wait_for_the_next(self):
        """The second exchanger is tried at once where the first is known to be dead."""
        self.prepare({"net.example": HOSTS + "one MX 10 h50\ntwo MX 10 h51\ntwo MX 20 h2\n"
                                             "h50 A 127.0.0.50\nh51 A 127.0.0.50\n"}, silent={"127.0.0.50"})
        self.start(destinations=[{"host": ["h50.net.example", "h51.net.example"],
                                  "timeouts": {"greeting": "1s"}, "back_off": {"first": "1h", "most": "1h"}}])
        self.send("b@one.net.example")
        self.ends(1)
        self.send("b@two.net.example")
        self.assertEqual(self.ends(2)["b@two.net.example"]["event"], "delivered")
        self.assertEqual(self.sink.opened["127.0.0.50"], 1)


class Lists(MxCase):
    def test_smarthosts_in_turn(self):
        """Where the first cannot be reached the second has it; the first again when it can."""
        self.prepare({"net.example": HOSTS}, answers={("127.0.0.2", "greeting"): ["421 4.3.2 too busy"] * 2})
        hosts = [f"127.0.0.{i}:{self.sink.port}" for i in (2, 3)]
        self.start(route={"to": "smarthost", "host": hosts, "tls": "none"}, queue={**LATER, "idle_connection": "0"})
        self.send("b@one.example")
        self.ends(1)
        self.assertEqual([host for host, _ in self.sink.messages], ["127.0.0.3"])
        self.assertEqual(self.events("next-host")[0]["host"], hosts[0])

        def back():
            self.send("b@one.example")
            return "127.0.0.2" in {host for host, _ in self.sink.messages}
        self.wait(back, "the first smarthost is used again")

    def test_nobody_of_the_list(self):
        self.prepare({"net.example": HOSTS})
        hosts = [f"127.0.0.{i}:{proc.free_port()}" for i in (2, 3)]
        self.start(route={"to": "smarthost", "host": hosts, "tls": "none"})
        self.send("b@one.example")
        self.assertRegex(self.ends(1)["b@one.example"]["reply"], "refused")
        self.assertEqual(len(self.events("unreachable")), 1)
