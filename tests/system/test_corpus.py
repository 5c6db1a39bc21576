# SPDX-License-Identifier: Apache-2.0
"""Real mail passes to the byte: with an empty chain and `fixups: no`, only the trace header is added."""
import re

from tests.lib.case import RelayCase
from tests.lib.driver import corpus
from tests.lib.nexthop import NextHop
from tests.lib.talk_tests import Peer

# What SMTP itself does not allow (RFC 5321 section 2.3.8): a CR that is not followed by LF.
REFUSED = {
    "a bare CR": lambda data: re.search(rb"\r(?!\n)", data),
}

# A message whose first line is neither a field, nor the empty line, nor an mbox line has no header.
HEADER_BEGINS = re.compile(rb"[!-9;-~]+[ \t]*:|\r\n|>?From ")


def stuffed(data):
    return re.sub(rb"(?m)^\.", b"..", data) + b".\r\n"


class Corpus(RelayCase):
    def submit(self, peer, number, data, chunking):
        peer.send(b"MAIL FROM:<sender@clinic.example> BODY=8BITMIME\r\n"
                  b"RCPT TO:<r%d@partner.example>\r\n" % number)
        self.assertEqual((peer.reply()[0], peer.reply()[0]), ("250", "250"))
        if chunking:
            peer.send(b"BDAT %d LAST\r\n" % len(data) + data)
        else:
            peer.send(b"DATA\r\n")
            self.assertEqual(peer.reply()[0], "354")
            peer.send(stuffed(data))
        code, text = peer.reply()
        if code != "250":
            peer.send(b"RSET\r\n")
            peer.reply()
        return code, text[0]

    def round(self, chunking):
        mails, refused, kept = corpus(), {}, []
        self.assertGreater(len(mails), 500)
        with NextHop(chunking=chunking) as hop:
            relay = self.relay({"in": {"tls": "none", "auth": "off", "fixups": False,
                                       "networks": ["127.0.0.0/8"]}}, [hop.route]).start()
            peer = Peer(relay.port("in"))
            peer.reply()
            peer.send(b"EHLO client.example\r\n")
            peer.reply()
            for number, (name, data) in enumerate(mails.items()):
                code, text = self.submit(peer, number, data, chunking)
                if code == "250":
                    kept.append(name)
                else:
                    refused[name] = f"{code} {text}"
            hop.wait(len(kept), 60)
            peer.socket.close()
            got = {int(re.search(r"<r(\d+)@", to[0]).group(1)): data for _, to, data in hop.messages}
            relay.stop()
        for name, why in refused.items():
            reasons = [reason for reason, test in REFUSED.items() if test(mails[name])]
            print(f"        refused: {name}: {why} ({', '.join(reasons)})")
            self.assertTrue(reasons, f"{name} refused without a reason that SMTP gives: {why}")
        self.assertEqual(len(hop.messages), len(kept))
        for number, name in enumerate(mails):
            if name not in refused:
                self.same(name, got[number], mails[name])
        print(f"        {len(kept)} of {len(mails)} arrived identical, {len(refused)} refused")

    def same(self, name, got, sent):
        end = len(got) - len(sent)
        self.assertEqual(got[end:], sent, f"{name} was changed")
        header = rb"\AReceived: (.|\r\n[ \t])+\r\n"
        if not HEADER_BEGINS.match(sent):
            header += rb"\r\n"  # so that its text does not become the trace header's neighbour
        self.assertRegex(got[:end], header + rb"\Z", f"{name}: not only a trace header")

    def test_data(self):
        self.round(chunking=False)

    def test_bdat(self):
        self.round(chunking=True)
