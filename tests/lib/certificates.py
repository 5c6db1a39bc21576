# SPDX-License-Identifier: Apache-2.0
"""certificates.py - throw-away P-256 certificates, made with openssl where a test needs one."""
import os
import subprocess


def certificate(directory, name="postern.test", names=()):
    """Self-signed; (certificate, key) as paths in `directory`, for `name` and more `names`
    (an IPv4 address is one too)."""
    cert, key = os.path.join(directory, f"{name}.pem"), os.path.join(directory, f"{name}.key")
    if not os.path.exists(cert):
        os.makedirs(directory, exist_ok=True)
        alternatives = ",".join(f"{'IP' if each[0].isdigit() else 'DNS'}:{each}" for each in (name, *names))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", key, "-out", cert,
                        "-addext", f"subjectAltName={alternatives}"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.chmod(key, 0o600)
    return cert, key
