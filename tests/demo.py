#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows a message passing through a relay: what ./autogen.sh run and check do after the build.

    tests/demo.py --build build [--stay]

The relay runs on conf.d/ of this tree; 00-relay.yaml and 20-routes.yaml are replaced by files with
free ports, a throw-away certificate and a maildir as next hop, all under build/demo.
"""
import argparse
import email.message
import email.utils
import os
import pathlib
import shutil
import signal
import smtplib
import ssl
import sys

TREE = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TREE))

from tests.lib import proc  # noqa: E402
from tests.lib.certificates import certificate  # noqa: E402
from tests.lib.postern import Relay  # noqa: E402

USER, PASSWORD = "ada@clinic.example", "correct horse battery staple"
RECIPIENTS = ["bo@partner.example", "zoe@partner.example"]


def gmail_message():
    """As Gmail's "Send" composes it: text and HTML, an attachment, characters beyond ASCII."""
    message = email.message.EmailMessage()
    message["From"] = "Dr. Ada Lovelace <ada@clinic.example>"
    message["To"] = ", ".join(RECIPIENTS)
    message["Subject"] = "Befund für Frau Müller ✓"
    message["Date"] = email.utils.formatdate(localtime=True)
    message["Message-ID"] = "<CAF=demo@mail.gmail.com>"
    message.set_content("Grüße aus der Klinik,\nAda\n")
    message.add_alternative("<div dir=\"ltr\">Grüße aus der <b>Klinik</b>,<br>Ada</div>\n", subtype="html")
    message.add_attachment("Laborwerte: 37,2 °C\n".encode(), maintype="text", subtype="csv",
                           filename="Laborwerte für Müller.csv")
    return message


class Demo(Relay):
    """The tree's own default configuration, with two of its files replaced."""

    def write(self):
        for path in sorted((TREE / "conf.d").glob("*.yaml")):
            if path.name not in ("00-relay.yaml", "20-routes.yaml"):
                shutil.copy(path, self.conf)
        super().write()

    def settings(self):
        own = super().settings()
        del own["pipeline"]  # 10-pipeline.yaml has it
        return own


def submit(port):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the certificate was made a moment ago
    with smtplib.SMTP("127.0.0.1", port, local_hostname="mail.google.com", timeout=30) as client:
        client.starttls(context=context)
        client.login(USER, PASSWORD)
        refused = client.send_message(gmail_message(), USER, RECIPIENTS)
        code, text = client.noop()
    if refused or code != 250:
        raise SystemExit(f"demo: refused: {refused}")


def delivered(maildir):
    found = [path for path in maildir.glob("*/*/new/*") if path.is_file()]
    return found if len(found) == len(RECIPIENTS) else None


def show(relay, maildir):
    copies = proc.wait_until(lambda: delivered(maildir), 20, "both copies are delivered")
    accepted = next(line for line in relay.log().splitlines() if "=accepted " in line)
    message_id = accepted.split(" id=")[1].split()[0]
    print(f"\nWhat was decided about message {message_id} (posternctl trace {message_id}):")
    print(relay.ctl("trace", message_id).stdout)
    print("The copies:")
    for path in copies:
        print(f"  {path}")
    text = copies[0].read_bytes()
    if b"with ESMTPSA" not in text or "Laborwerte".encode() not in text:
        raise SystemExit("demo: the copy is not what was sent")


def explain(relay):
    ctl = f"{relay.programs.posternctl} -c {relay.conf} -m {relay.programs.modules}"
    print(f"""
Connect a client of your own:
  server 127.0.0.1, port {relay.port('submission')} (STARTTLS) or {relay.port('submissions')} (TLS)
  user   {USER}
  pass   {PASSWORD}
  e.g.   swaks -s 127.0.0.1 -p {relay.port('submission')} -tls -au {USER} -ap '{PASSWORD}' -f {USER} -t you@example.org
Look at it:
  {ctl} status
Its log: {relay.log_path}
""", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--stay", action="store_true", help="until Ctrl-C")
    args = parser.parse_args()
    directory = args.build.resolve() / "demo"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    maildir = directory / "state" / "mail"
    relay = Demo(directory, args.build.resolve(),
                 {"submission": {"tls": "starttls", "auth": "required"},
                  "submissions": {"tls": "implicit", "auth": "required"}},
                 [{"to": "maildir", "path": f"{maildir}/{{domain}}/{{user}}"}],
                 tls=certificate(str(directory), "localhost"))
    relay.add_user(USER, PASSWORD)
    print(f"== starting {relay.programs.posternd}", flush=True)
    if relay.note:
        print(f"Note: {relay.note}. Installed, it runs as relay.user says.", flush=True)
    with relay:
        submit(relay.port("submission"))
        show(relay, maildir)
        if args.stay:
            explain(relay)
            print("Running; Ctrl-C ends it.", flush=True)
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
    print("== a message has passed", flush=True)
    return 0


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    os.chdir(TREE)
    sys.exit(main())
