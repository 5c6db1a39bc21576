# SPDX-License-Identifier: Apache-2.0
"""client_ca.py - an authority for clients' certificates, made with openssl where a test needs one."""
import os
import subprocess

CONFIG = """[ca]
default_ca = own
[own]
dir = {dir}
database = {dir}/index
serial = {dir}/serial
crlnumber = {dir}/crlnumber
new_certs_dir = {dir}
certificate = {dir}/ca.pem
private_key = {dir}/ca.key
default_md = sha256
default_crl_days = 2
policy = any
unique_subject = no
[any]
commonName = supplied
[v3]
basicConstraints = CA:FALSE
{extensions}
"""
MAILBOX = "1.3.6.1.5.5.7.8.9;FORMAT:UTF8,UTF8:"
PAST, LONG_PAST, FUTURE = "20200201000000Z", "20200101000000Z", "20991231000000Z"


class ClientCA:
    """Files in `directory`: self.certificate (its own), self.revoked (its list; see revoke())."""

    def __init__(self, directory, name="clients"):
        self.directory = os.path.join(directory, name)
        os.makedirs(self.directory)
        os.chmod(self.directory, 0o755)
        self.certificate, self.revoked = (os.path.join(self.directory, file) for file in ("ca.pem", "crl.pem"))
        for file, text in (("index", ""), ("serial", "1000\n"), ("crlnumber", "1000\n")):
            with open(os.path.join(self.directory, file), "w") as out:
                out.write(text)
        self._openssl("req", "-x509", *self._key("ca"), "-days", "2", "-subj", f"/CN={name}", "-out", self.certificate)
        self.list_revoked()

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       cwd=self.directory)

    def _key(self, name):
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", os.path.join(self.directory, f"{name}.key"))

    def _ca(self, *arguments, extensions=""):
        config = os.path.join(self.directory, "config")
        with open(config, "w") as out:
            out.write(CONFIG.format(dir=self.directory, extensions=extensions))
        self._openssl("ca", "-config", config, "-batch", *arguments)

    def issue(self, name, alternatives="", expired=False, usage="clientAuth", mailbox=""):
        """(certificate, key) as paths; `alternatives` as openssl writes a SubjectAltName, or a `mailbox` of
        RFC 9598."""
        path = os.path.join(self.directory, f"{name}.pem")
        request = os.path.join(self.directory, f"{name}.csr")
        self._openssl("req", "-new", *self._key(name), "-subj", f"/CN={name}", "-out", request)
        extensions = f"extendedKeyUsage = {usage}\n"
        if alternatives:
            extensions += f"subjectAltName = {alternatives}\n"
        if mailbox:
            extensions += f"subjectAltName = @own_names\n[own_names]\notherName = {MAILBOX}{mailbox}\n"
        self._ca("-in", request, "-out", path, "-notext", "-extensions", "v3",
                 "-startdate", LONG_PAST, "-enddate", PAST if expired else FUTURE, extensions=extensions)
        return path, os.path.join(self.directory, f"{name}.key")

    def list_revoked(self):
        self._ca("-gencrl", "-out", self.revoked + ".new")
        os.rename(self.revoked + ".new", self.revoked)

    def revoke(self, certificate):
        self._ca("-revoke", certificate[0])
        self.list_revoked()


def fingerprint(certificate):
    """As openssl prints it, with colons."""
    said = subprocess.run(["openssl", "x509", "-in", certificate[0], "-noout", "-fingerprint", "-sha256"],
                          check=True, capture_output=True, text=True).stdout
    return said.strip().split("=")[1]
