# SPDX-License-Identifier: Apache-2.0
"""GET /metrics over HTTP, on a port and on a unix socket, and what becomes of other requests and slow clients."""
import http.client
import os
import smtplib
import socket

from tests.lib import proc, prometheus
from tests.lib.case import RelayCase
from tests.lib.proc import CannotRun

AT_ONCE = 16  # HTTP_CONNECTIONS_MOST


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def listens(port):
    with socket.socket() as peer:
        return peer.connect_ex(("127.0.0.1", port)) == 0


class MetricsPage(RelayCase):
    def start(self, listen=None):
        self.port = proc.free_port()
        listen = listen or f"127.0.0.1:{self.port}"
        self.running = self.relay({"plain": {"tls": "none", "auth": "off"}}, relay={"metrics": {"listen": listen}})
        return self.running.start()

    def ask(self, method="GET", path="/metrics", connection=None, **more):
        """Status, headers and body of one request on a connection of its own."""
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, **more)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def value(self, text, name, **labels):
        try:
            metrics = prometheus.parse(text)
        except CannotRun as reason:
            self.skipTest(str(reason))
        return [value for metric in metrics for found, own, value in metric["samples"]
                if found == name and own == labels][0]

    def test_a_scrape(self):
        relay = self.start()
        with smtplib.SMTP("127.0.0.1", relay.port("plain"), timeout=60) as client:
            client.sendmail("a@clinic.example", ["b@partner.example"], "Subject: x\r\n\r\nx\r\n")
        self.delivered(1)
        status, headers, text = self.ask()
        self.assertEqual(status, 200)
        self.assertEqual(headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        self.assertEqual(self.value(text, "postern_messages_total", result="accepted"), 1)
        names = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
        self.assertLessEqual(names, {line.split("{")[0].split(" ")[0]
                                     for line in relay.ctl("metrics").stdout.splitlines()})

    def test_other_requests(self):
        self.start()
        status, headers, text = self.ask("HEAD")
        self.assertEqual((status, text), (200, ""))
        self.assertGreater(int(headers["Content-Length"]), 1000)
        self.assertEqual(self.ask(path="/metrics?name=x")[0], 200)
        self.assertEqual(self.ask(body="x" * 100000)[0], 200)     # of a body nobody reads anything
        for path in ("/", "/metrics/", "/../metrics", "/%00"):
            self.assertEqual(self.ask(path=path)[0], 404, path)
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "get"):
            status, headers, text = self.ask(method)
            self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"), method)
        self.assertEqual(self.ask("POST", body="x" * 100)[0], 405)
        self.assertEqual(self.ask(headers={"X-Long": "x" * 40000})[0], 431)
        with socket.create_connection(("127.0.0.1", self.port), 60) as peer:
            peer.sendall(b"\x16\x03\x01\x02\x00\x01\r\n\r\n")
            self.assertNotIn(b" 200 ", peer.recv(1000))
        self.assertEqual(self.ask()[0], 200)

    def test_a_unix_socket(self):
        path = os.path.join(self.directory, "metrics")
        self.start(f"unix:{path}")
        status, headers, text = self.ask(connection=UnixConnection(path))
        self.assertEqual(status, 200)
        self.assertEqual(self.value(text, "postern_configuration_generation"), 1)

    def test_slow_clients_are_few_and_cut_off(self):
        """Those that say nothing take all places; the kernel keeps the others until these are free again."""
        relay = self.start()
        slow = [socket.create_connection(("127.0.0.1", self.port), 60) for _ in range(AT_ONCE)]
        for peer in slow:
            self.addCleanup(peer.close)
            peer.sendall(b"GET /met")
        self.assertEqual(relay.ctl("status").returncode, 0)     # the loop that serves these is free
        self.assertEqual(self.ask()[0], 200)                    # after HTTP_CONNECTION_MS
        for peer in slow:
            self.assertNotIn(b" 200 ", peer.recv(1000))

    def test_many_at_a_time(self):
        self.start()
        peers = [socket.create_connection(("127.0.0.1", self.port), 60) for _ in range(4 * AT_ONCE)]
        for peer in peers:
            self.addCleanup(peer.close)
            peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        for peer in peers:
            with peer.makefile("rb") as file:
                self.assertIn(b"\npostern_uptime_seconds ", file.read())

    def test_reload_and_upgrade(self):
        relay = self.start()
        relay.ctl("reload")                                     # the same place
        self.assertEqual(self.value(self.ask()[2], "postern_configuration_generation"), 2)
        before = relay.child("relay")
        relay.ctl("upgrade")
        proc.wait_until(lambda: "=relay-left " in relay.log(), 60, "the old relay has left")
        self.assertNotEqual(relay.child("relay"), before)
        self.assertEqual(self.value(self.ask()[2], "postern_configuration_generation"), 1)
        old, self.port = self.port, proc.free_port()
        relay.relay["metrics"] = {"listen": f"127.0.0.1:{self.port}"}
        relay.write()
        relay.ctl("reload")
        self.assertEqual(self.ask()[0], 200)
        proc.wait_until(lambda: not listens(old), 60, "the old port is closed")
        del relay.relay["metrics"]
        relay.write()
        relay.ctl("reload")
        proc.wait_until(lambda: not listens(self.port), 60, "the port is closed")

    def test_a_relay_that_died(self):
        relay = self.start()
        relay.kill_relay()
        self.assertEqual(self.ask()[0], 200)                    # the master has kept the socket
        self.assertEqual(relay.stop(), 0)

    def test_check(self):
        relay = self.start()
        for listen, says in (("*:9187", "metrics.listen: other machines can read the numbers"),
                             ("192.0.2.1:9187", "metrics.listen: other machines can read the numbers")):
            relay.relay["metrics"] = {"listen": listen}
            relay.write()
            done = relay.ctl("check")
            self.assertIn("warning", done.stdout + done.stderr)
            self.assertIn(says, done.stdout + done.stderr)
        for listen, says in (("127.0.0.1", '"127.0.0.1" has no port'), ("localhost:1", "is not an address"),
                             ("unix:metrics", "must be absolute"),
                             (f"127.0.0.1:{relay.port('plain')}", "listeners[0] listens at ")):
            relay.relay["metrics"] = {"listen": listen}
            relay.write()
            done = relay.ctl("check", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(says, done.stdout + done.stderr)
