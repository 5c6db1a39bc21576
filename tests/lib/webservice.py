# SPDX-License-Identifier: Apache-2.0
"""webservice.py - a web service for tests: answers every POST with one status and remembers it; has pages.

    with WebService(certificate=(cert, key)) as service:
        service.status = 403
        service.url, service.requests  # of (path, fields, body)
"""
import http.server
import os
import socket
import socketserver
import ssl
import threading


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.service.requests.append((self.path, dict(self.headers), body))
        self.send_response(self.server.service.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        """What stands in `service.pages`, else 404; `service.status` where it is an error of the server's."""
        service = self.server.service
        service.requests.append((self.path, dict(self.headers), b""))
        page = service.pages.get(self.path.partition("?")[0])
        broken = service.status >= 500
        self.send_response(service.status if broken else 200 if page is not None else 404)
        page = b"" if broken or page is None else page
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def address_string(self):
        return "client"

    def log_message(self, *_):
        pass


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def server_bind(self):  # without looking up the host's name
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request, client_address):
        pass  # a client that turns away is the test's to see


class _UnixServer(_Server):
    address_family = socket.AF_UNIX


class WebService:
    def __init__(self, certificate=None, unix_socket=None):
        self.status, self.requests, self.pages = 204, [], {}
        if unix_socket:
            self.server = _UnixServer(unix_socket, _Handler)
            os.chmod(unix_socket, 0o666)
            self.url = "http://service.test/ask"
        else:
            self.server = _Server(("127.0.0.1", 0), _Handler)
            scheme = "https" if certificate else "http"
            self.url = f"{scheme}://localhost:{self.server.server_address[1]}/ask"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            # The handshake is the connection's own thread's.
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
        self.server.service = self
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05},
                                       daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
