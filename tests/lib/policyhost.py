# SPDX-License-Identifier: Apache-2.0
"""policyhost.py - an HTTPS host of MTA-STS policies (RFC 8461) for many domains, on one port of this machine.

    with PolicyHost(*ca.issue("policies", "DNS:mta-sts.a.example")) as host:
        host.policies["a.example"] = policy("enforce", "mx.a.example")
        host.address, host.asked  # "127.0.0.1:1234", [domain, ...]

What stands in `policies` is a text, or (status, text, fields) for answers that are not as they should be.
"""
import http.server
import socketserver
import ssl
import threading


def policy(mode, *hosts, max_age=86400):
    return "".join([f"version: STSv1\r\nmode: {mode}\r\nmax_age: {max_age}\r\n",
                    *(f"mx: {host}\r\n" for host in hosts)])


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        owner = self.server.owner
        domain = self.headers.get("Host", "").split(":")[0].removeprefix("mta-sts.")
        owner.asked.append(domain)
        known = owner.policies.get(domain) if self.path == "/.well-known/mta-sts.txt" else None
        status, text, fields = known if isinstance(known, tuple) else (200 if known else 404, known or "", {})
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain", "Content-Length": str(len(text)), **fields}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def server_bind(self):  # without looking up the host's name
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request, client_address):
        pass  # a client that turns away is the test's to see


class PolicyHost:
    def __init__(self, certificate, key):
        self.policies, self.asked = {}, []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server = _Server(("127.0.0.1", 0), _Handler)
        self.server.owner = self
        # The handshake is the connection's own thread's.
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                 do_handshake_on_connect=False)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05},
                                       daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def stop(self):
        if self.thread.is_alive():
            self.server.shutdown()
            self.thread.join()
            self.server.server_close()

    def __exit__(self, *_):
        self.stop()
