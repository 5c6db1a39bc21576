# SPDX-License-Identifier: Apache-2.0
"""scram.py - a client of SCRAM-SHA-256 (RFC 5802, RFC 7677) that does what a test wants, right or wrong."""
import base64
import hashlib
import hmac
import os


def _hmac(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()


class Scram:
    """One exchange: first(), then final(what the server said), then proves(what it said then)."""

    def __init__(self, user, password, header="n,,", binding=b""):
        self.password, self.header, self.binding = password.encode(), header, binding
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        name = user.replace("=", "=3D").replace(",", "=2C")
        self.bare = f"n={name},r={self.nonce}"
        self.salt = self.iterations = self.signature = None

    def first(self):
        return self.header + self.bare

    def final(self, challenge, header=None):
        """`header`: what we say that we had said first, where that is not true."""
        fields = dict(part.split("=", 1) for part in challenge.split(","))
        if not fields["r"].startswith(self.nonce) or fields["r"] == self.nonce:
            raise ValueError("the server's nonce does not go on where ours ends")
        self.salt, self.iterations = base64.b64decode(fields["s"], validate=True), int(fields["i"])
        salted = hashlib.pbkdf2_hmac("sha256", self.password, self.salt, self.iterations)
        key = _hmac(salted, b"Client Key")
        bare = f"c={base64.b64encode((header or self.header).encode() + self.binding).decode()},r={fields['r']}"
        message = f"{self.bare},{challenge},{bare}".encode()
        signature = _hmac(hashlib.sha256(key).digest(), message)
        self.signature = _hmac(_hmac(salted, b"Server Key"), message)
        proof = bytes(a ^ b for a, b in zip(key, signature))
        return f"{bare},p={base64.b64encode(proof).decode()}"

    def proves(self, text):
        return text == f"v={base64.b64encode(self.signature).decode()}"
