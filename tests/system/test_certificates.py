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
    with socket.create_connection(("127.0.0.1", port), 60) as plain:
        with context.wrap_socket(plain, server_hostname=asked) as tls:
            der = tls.getpeercert(binary_form=True)
    return [name for name in ("one.example", "two.example", "three.example") if name.encode() in der]


class Resuming:
    """A client that shows the last ticket it got."""

    def __init__(self, port, version):
        self.port, self.session = port, None
        self.context = ssl.create_default_context()
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.context.minimum_version = self.context.maximum_version = version

    def again(self):
        """Whether the session was resumed."""
        with socket.create_connection(("127.0.0.1", self.port), 60) as plain:
            with self.context.wrap_socket(plain, server_hostname="two.example", session=self.session) as tls:
                tls.recv(3)
                tls.sendall(b"QUIT\r\n")
                while tls.recv(512):
                    pass
                self.session = tls.session
                return tls.session_reused


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

    def link(self, target, name):
        """Points tls/live.NAME at `target` in one step."""
        path = os.path.join(self.directory, "tls", f"live.{name}")
        os.symlink(target, path + ".new")
        os.rename(path + ".new", path)
        return path

    def test_links_switched_one_after_the_other(self):
        """As ACME clients do; between the two steps the pair does not fit and the old one goes on."""
        os.makedirs(os.path.join(self.directory, "tls"))
        os.chmod(os.path.join(self.directory, "tls"), 0o755)
        old, new = (certificate(os.path.join(self.directory, "tls"), name)
                    for name in ("one.example", "two.example"))
        relay = self.relay({"in": {"tls": "implicit", "auth": "off", "networks": ["127.0.0.0/8"]}},
                           tls=(self.link(old[0], "pem"), self.link(old[1], "key"))).start()
        port = relay.port("in")
        self.link(new[0], "pem")
        proc.wait_until(lambda: "=reload-refused " in relay.log(), 60, "the half pair is refused")
        self.assertEqual(names(port, "two.example"), ["one.example"])
        self.link(os.path.join(self.directory, "tls", "nowhere"), "other")   # what is not named is nobody's matter
        self.link(new[1], "key")
        proc.wait_until(lambda: names(port, "two.example") == ["two.example"], 60, "the new pair is served")
        self.assertEqual(relay.log().count("=reload-refused "), 1)
        self.assertEqual(relay.log().count("=file-changed "), 2)

    def test_sessions_are_resumed_after_reload_and_upgrade(self):
        """A ticket of one relay opens in the next, in TLS 1.2 and 1.3; posternd's next life knows none."""
        relay = self.start()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.subTest(version):
                client = Resuming(relay.port("in"), version)
                self.assertFalse(client.again())
                self.assertTrue(client.again())
                relay.reload()
                self.assertTrue(client.again())
                relay.ctl("upgrade")
                self.assertTrue(client.again())
        relay.stop()
        relay.start()
        self.assertFalse(client.again())
