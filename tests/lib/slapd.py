# SPDX-License-Identifier: Apache-2.0
"""slapd.py - a private OpenLDAP server, unpacked from Debian's package and never installed.

    with Slapd(directory, builddir, certificate=(cert, key), entries=LDIF) as server:
        server.uri, server.tls_uri, server.unix_uri

libldap takes "localhost" for the machine's own name when it looks at a certificate, so the addresses
have 127.0.0.1, and a certificate must have that too. The suffix is dc=clinic,dc=example, its administrator ADMIN with PASSWORD. Anonymous may search.
"""
import os
import subprocess
import tempfile
import urllib.parse

from . import proc
from .proc import Failed
from .unpack import libraries, unpack

SUFFIX = "dc=clinic,dc=example"
ADMIN, PASSWORD = f"cn=admin,{SUFFIX}", "slapd's secret"

CONFIG = """\
include {schema}/core.schema
include {schema}/cosine.schema
include {schema}/inetorgperson.schema
modulepath {modules}
moduleload back_mdb
pidfile {directory}/pid
{tls}
{security}
database mdb
suffix "{suffix}"
rootdn "{admin}"
rootpw "{password}"
directory {directory}/data
"""

BASE = f"""\
dn: {SUFFIX}
objectClass: organization
objectClass: dcObject
o: Clinic
dc: clinic

"""


def person(name, **attributes):
    """LDIF of one person under the suffix."""
    lines = [f"dn: cn={name},{SUFFIX}", "objectClass: inetOrgPerson", f"cn: {name}", f"sn: {name}"]
    for key, values in attributes.items():
        lines += [f"{key}: {value}" for value in values]
    return "\n".join(lines) + "\n\n"


class Slapd:
    def __init__(self, directory, builddir, entries="", certificate=None, security=""):
        self.builddir = builddir
        self.root = unpack(builddir, "slapd")
        self.directory = os.path.abspath(directory)
        self.program = os.path.join(self.root, "usr/sbin/slapd")
        self.config = os.path.join(self.directory, "slapd.conf")
        # A unix socket's address is short, a build tree's path may be long.
        self.folder = tempfile.mkdtemp(prefix="postern-")
        os.chmod(self.folder, 0o755)
        self.socket = os.path.join(self.folder, "ldapi")
        self.ports = [proc.free_port(), proc.free_port()]
        self.uri = f"ldap://127.0.0.1:{self.ports[0]}"
        self.tls_uri = f"ldaps://127.0.0.1:{self.ports[1]}" if certificate else None
        self.unix_uri = "ldapi://" + urllib.parse.quote(self.socket, safe="")
        self.environment = dict(os.environ, LD_LIBRARY_PATH=libraries(self.root))
        self.process = None
        os.makedirs(os.path.join(self.directory, "data"))
        self._write(certificate, security)
        self._load(BASE + entries)

    def _write(self, certificate, security):
        tls = f"TLSCertificateFile {certificate[0]}\nTLSCertificateKeyFile {certificate[1]}" if certificate else ""
        with open(self.config, "w") as file:
            file.write(CONFIG.format(schema=os.path.join(self.root, "etc/ldap/schema"), tls=tls,
                                     modules=os.path.join(self.root, "usr/lib/ldap"), security=security,
                                     directory=self.directory, suffix=SUFFIX, admin=ADMIN, password=PASSWORD))

    def _load(self, entries):
        """slapd under another name is slapadd."""
        done = subprocess.run(["slapadd", "-f", self.config, "-q"], executable=self.program, input=entries,
                              env=self.environment, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise Failed(f"slapadd: {done.stderr[-1000:]}")

    def modify(self, changes):
        """LDIF with changetype lines, while it runs."""
        tools = unpack(self.builddir, "ldap-utils")
        done = subprocess.run([os.path.join(tools, "usr/bin/ldapmodify"), "-x", "-H", self.unix_uri, "-D", ADMIN,
                               "-w", PASSWORD], env=dict(os.environ, LD_LIBRARY_PATH=libraries(tools)),
                              input=changes, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise Failed(f"ldapmodify: {done.stderr[-1000:]}")

    def start(self):
        uris = " ".join(filter(None, (self.uri, self.unix_uri, self.tls_uri)))
        with open(os.path.join(self.directory, "log"), "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "-f", self.config, "-h", uris, "-d", "0"], env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        proc.wait_listening(self.ports[0], self.process)
        proc.wait_until(lambda: os.path.exists(self.socket), 20, "slapd's unix socket is there")
        os.chmod(self.socket, 0o777)
        return self

    def stop(self):
        if self.process:
            proc.end(self.process)
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        os.rmdir(self.folder)
