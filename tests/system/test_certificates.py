# SPDX-License-Identifier: Apache-2.0
"""Certificates: chosen by SNI among several, replaced files noticed without a reload (SPEC R2)."""
import os
import socket
import ssl

from tests.lib import proc
from tests.lib.case import RelayCase
from tests.lib.certificates import certificate
from tests.lib.postern import File


def names(port, asked):
    """The DNS names of the certificate shown to a client that asks for `asked`."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        with context.wrap_socket(plain, server_hostname=asked) as tls:
            der = tls.getpeercert(binary_form=True)
    return [name for name in ("one.example", "two.example", "three.example") if name.encode() in der]


class Certificates(RelayCase):
    def start(self):
        os.makedirs(os.path.join(self.directory, "tls"))
        os.chmod(os.path.join(self.directory, "tls"), 0o755)
        self.paths = {name: certificate(os.path.join(self.directory, "tls"), name)
                      for name in ("one.example", "two.example", "three.example")}
        first, second = self.paths["one.example"], self.paths["two.example"]
        relay = self.relay({"in": {"tls": "implicit", "auth": "off", "networks": ["127.0.0.0/8"]}},
                           relay={"tls": {"certificate": first[0], "key": File(first[1]),
                                          "more": [{"certificate": second[0], "key": File(second[1])}]}})
        return relay.start()

    def test_two_names(self):
        port = self.start().port("in")
        self.assertEqual(names(port, "one.example"), ["one.example"])
        self.assertEqual(names(port, "two.example"), ["two.example"])
        self.assertEqual(names(port, "other.example"), ["one.example"])

    def test_replaced_files_are_noticed(self):
        relay = self.start()
        for new, old in zip(self.paths["three.example"], self.paths["two.example"]):
            os.rename(new, old)  # as ACME clients do
        proc.wait_until(lambda: names(relay.port("in"), "three.example") == ["three.example"], 40,
                        "the new certificate is served")
        self.assertIn("file-changed", relay.log())
        self.assertEqual(names(relay.port("in"), "one.example"), ["one.example"])
