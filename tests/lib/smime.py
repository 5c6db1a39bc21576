# SPDX-License-Identifier: Apache-2.0
"""smime.py - S/MIME by other programs: an authority with people's certificates, who verifies what was signed, and who reads
what was encrypted."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

KINDS = {"rsa": ["rsa:2048"], "ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]}


def run(*command, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, **more)
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.returncode}\n"
                             f"{(done.stdout + done.stderr).decode(errors='replace')[-2000:]}")
    return done.stdout


class Authority:
    """A root in a folder of its own; PEM files of what it certifies."""

    def __init__(self, directory, name="root"):
        self.directory, self.name = directory, name
        os.makedirs(directory, exist_ok=True)
        run("openssl", "req", "-x509", "-newkey", *KINDS["rsa"], "-nodes", "-days", "300", "-subj", f"/CN={name}",
            "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.pem"),
            "-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature")
        self.pem, self.key = self.path(f"{name}.pem"), self.path(f"{name}.key")

    def path(self, name):
        return os.path.join(self.directory, name)

    def certify(self, name, address=None, kind="rsa", more=(), start=None, end=None):
        """Certificate and key of a person, and the file that has both; dates as YYYYMMDDHHMMSSZ."""
        paths = [self.path(f"{name}.{end}") for end in ("pem", "key", "both")]
        extensions = ["basicConstraints=CA:false", *([f"subjectAltName=email:{address}"] if address else []), *more]
        with open(self.path(f"{name}.ext"), "w") as file:
            file.write("\n".join(extensions) + "\n")
        run("openssl", "req", "-newkey", *KINDS[kind], "-nodes", "-subj", f"/CN={name}", "-keyout", paths[1],
            "-out", self.path(f"{name}.csr"))
        if not os.path.exists(self.path("index.txt")):
            pathlib.Path(self.path("index.txt")).touch()
            pathlib.Path(self.path("serial")).write_text("1000\n")
            pathlib.Path(self.path("crlnumber")).write_text("01\n")
            pathlib.Path(self.path("ca.cnf")).write_text(
                f"[ca]\ndefault_ca=d\n[d]\ndir={self.directory}\ndatabase=$dir/index.txt\nserial=$dir/serial\n"
                f"crlnumber=$dir/crlnumber\nnew_certs_dir=$dir\ncertificate={self.pem}\nprivate_key={self.key}\n"
                "default_md=sha256\npolicy=p\nunique_subject=no\ndefault_days=90\ndefault_crl_days=30\n"
                "[p]\ncommonName=supplied\n")
        run("openssl", "ca", "-batch", "-notext", "-config", self.path("ca.cnf"), "-in", self.path(f"{name}.csr"),
            "-extfile", self.path(f"{name}.ext"), "-out", paths[0],
            *(["-startdate", start] if start else []), *(["-enddate", end] if end else []))
        pathlib.Path(paths[2]).write_text(pathlib.Path(paths[1]).read_text() + pathlib.Path(paths[0]).read_text())
        for path in paths:
            os.chmod(path, 0o644)  # whoever runs posternctl, the relay's user reads them
        return paths

    def revoke(self, path):
        run("openssl", "ca", "-config", self.path("ca.cnf"), "-revoke", path)

    def crl(self, name="crl.pem", *more):
        run("openssl", "ca", "-config", self.path("ca.cnf"), "-gencrl", "-out", self.path(name), *more)
        return self.path(name)


def taken_apart(mail):
    """What was signed, to the byte, and the signature in DER."""
    head, _, body = mail.partition(b"\r\n\r\n")
    boundary = re.search(rb'boundary="?([^";\r\n]+)"?', head)[1]
    _, content, signature, _ = (b"\r\n" + body).split(b"\r\n--" + boundary)
    base64 = signature.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n")
    return content[2:], run("openssl", "base64", "-d", input=base64)


def verify_openssl(mail, authority):
    with tempfile.NamedTemporaryFile() as file:
        file.write(mail)
        file.flush()
        return run("openssl", "cms", "-verify", "-in", file.name, "-CAfile", authority, "-purpose", "smimesign")


def verify_nss(mail, authority):
    """cmsutil, of the library that Thunderbird has."""
    content, signature = taken_apart(mail)
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "content").write_bytes(content)
        pathlib.Path(folder, "p7s").write_bytes(signature)
        run("certutil", "-N", "-d", folder, "--empty-password")
        run("certutil", "-A", "-d", folder, "-n", "root", "-t", ",C,", "-i", authority)
        return run("cmsutil", "-D", "-d", folder, "-u", "4", "-i", f"{folder}/p7s", "-c", f"{folder}/content")


def verify_gpgsm(mail, authority):
    content, signature = taken_apart(mail)
    folder = tempfile.mkdtemp(prefix="gpgsm-", dir="/tmp")
    environment = {**os.environ, "GNUPGHOME": folder, "LC_ALL": "C"}
    try:
        os.chmod(folder, 0o700)
        pathlib.Path(folder, "content").write_bytes(content)
        pathlib.Path(folder, "p7s").write_bytes(signature)
        sha1 = run("openssl", "x509", "-in", authority, "-noout", "-fingerprint", "-sha1").decode()
        pathlib.Path(folder, "trustlist.txt").write_text(sha1.partition("=")[2].strip() + " S relax\n")
        run("gpgsm", "--batch", "--disable-crl-checks", "--import", authority, env=environment)
        done = subprocess.run(["gpgsm", "--batch", "--disable-crl-checks", "--status-fd", "1", "--verify",
                               f"{folder}/p7s", f"{folder}/content"], capture_output=True, env=environment)
        if b"GOODSIG" not in done.stdout or b"TRUST_FULLY" not in done.stdout:
            raise AssertionError((done.stdout + done.stderr).decode(errors="replace"))
        return done.stdout
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=environment, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def _der(mail):
    return run("openssl", "base64", "-d", input=mail.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n"))


def open_openssl(mail, paths):
    """What somebody reads whose certificate and key are in these files, as Authority.certify() names them."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(mail)
        file.flush()
        return run("openssl", "cms", "-decrypt", "-in", file.name, "-recip", paths[0], "-inkey", paths[1])


def _pkcs12(paths, path):
    run("openssl", "pkcs12", "-export", "-in", paths[0], "-inkey", paths[1], "-passout", "pass:x", "-name", "somebody",
        "-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1", "-out", path)  # gpgsm reads no PBES2


def open_nss(mail, paths):
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "p7m").write_bytes(_der(mail))
        run("certutil", "-N", "-d", folder, "--empty-password")
        _pkcs12(paths, f"{folder}/p12")
        run("pk12util", "-i", f"{folder}/p12", "-d", folder, "-W", "x")
        return run("cmsutil", "-D", "-d", folder, "-i", f"{folder}/p7m")


def open_gpgsm(mail, paths):
    folder = tempfile.mkdtemp(prefix="gpgsm-", dir="/tmp")
    environment = {**os.environ, "GNUPGHOME": folder, "LC_ALL": "C"}
    try:
        os.chmod(folder, 0o700)
        pathlib.Path(folder, "p7m").write_bytes(_der(mail))
        pathlib.Path(folder, "gpg-agent.conf").write_text("allow-loopback-pinentry\n")
        _pkcs12(paths, f"{folder}/p12")
        run("gpgsm", "--batch", "--pinentry-mode", "loopback", "--passphrase-fd", "0", "--disable-crl-checks",
            "--import", f"{folder}/p12", env=environment, input=b"x\n")
        return run("gpgsm", "--batch", "--pinentry-mode", "loopback", "--passphrase-fd", "0", "--disable-crl-checks",
                   "--decrypt", f"{folder}/p7m", env=environment, input=b"x\n")
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=environment, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)
