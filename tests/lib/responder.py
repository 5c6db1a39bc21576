# SPDX-License-Identifier: Apache-2.0
"""responder.py - an HTTP server on loopback that says what an authority says of its certificates: lists, and OCSP by
`openssl ocsp`."""
import http.server
import os
import subprocess
import tempfile
import threading


class Responder(http.server.ThreadingHTTPServer):
    """`asked` counts requests by path; `mode`: "answer", "error", "garbage"."""
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.authority, self.mode, self.asked, self.lock = None, "answer", {}, threading.Lock()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def extensions(self, ocsp=True, crl=True):
        return ([f"authorityInfoAccess=OCSP;URI:{self.url('/ocsp')}"] if ocsp else []) + (
            [f"crlDistributionPoints=URI:{self.url('/crl')}"] if crl else [])

    def count(self, path):
        with self.lock:
            return self.asked.get(path, 0)

    def ocsp(self, request):
        authority = self.authority
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, name) for name in ("request", "answer")]
            with open(paths[0], "wb") as file:
                file.write(request)
            subprocess.run(["openssl", "ocsp", "-index", authority.path("index.txt"), "-CA", authority.pem, "-rsigner",
                            authority.pem, "-rkey", authority.key, "-reqin", paths[0], "-respout", paths[1],
                            "-nmin", "60"], check=True, capture_output=True)
            with open(paths[1], "rb") as file:
                return file.read()

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(lambda: self.server.ocsp(body))

    def do_GET(self):
        self.answer(lambda: open(self.server.authority.crl("served.pem"), "rb").read())

    def answer(self, make):
        server = self.server
        with server.lock:
            server.asked[self.path] = server.asked.get(self.path, 0) + 1
        body = b"garbage" if server.mode == "garbage" else make()
        self.send_response(503 if server.mode == "error" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass
