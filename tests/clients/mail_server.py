"""A mail server: says on which port it listens, then every mail it was given, each as a line of JSON.

usage: python mail_server.py [--tls] [CERTIFICATE KEY [USER PASSWORD]]

With a certificate it offers STARTTLS, or speaks nothing but TLS with --tls; with a user it asks for the password, but
only over TLS. How it behaves is told by whom a mail is to: busy@ is told to come later, and so is once@ the first time;
those of REFUSALS are refused by name, unwanted@ once the mail is there; hangs@ waits for ever, closes@ hangs up.
"""

import asyncio
import email
import json
import ssl
import sys
from email import policy

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


REFUSALS = {
    "unknown": "550 5.1.1 {} is unknown",
    "nobody": "550 {} is unknown",
    "full": "552 5.2.2 {} has no room",
    # Of the sender, though it is the address that is answered to.
    "blocked": "550 5.7.1 {} is not for a client on a blocklist",
    "quota": "550 5.4.5 {} is one too many today",
}


def say(line):
    print(json.dumps(line), flush=True)


class Keeper:
    def __init__(self):
        self.told_once = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        if name == "busy" or (name == "once" and address not in self.told_once):
            self.told_once.add(address)
            return f"451 4.7.1 {address} is busy"
        if name in REFUSALS:
            return REFUSALS[name].format(address)
        if name == "hangs":
            await asyncio.Event().wait()
        if name == "closes":
            server.transport.abort()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if any(address.startswith("unwanted@") for address in envelope.rcpt_tos):
            return f"554 5.7.1 {envelope.rcpt_tos[0]} does not want it"
        mail = email.message_from_bytes(envelope.original_content, policy=policy.default)
        parts = list(mail.walk())[1:]
        say({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "hello": session.host_name,
            "tls": session.ssl is not None,
            "user": session.auth_data,
            "type": mail.get_content_type(),
            "headers": [[name, str(value)] for name, value in mail.items()],
            "parts": [[part.get_content_type(), part.get_content()] for part in parts],
            "defects": [repr(it) for part in mail.walk() for it in part.defects],
            "raw": envelope.original_content.decode("ascii", "replace"),
        })
        return "250 OK"


def check(user, password):
    def authenticator(server, session, envelope, mechanism, data):
        known = isinstance(data, LoginPassword) and (data.login, data.password) == (user, password)
        return AuthResult(success=known, handled=False, auth_data=user.decode() if known else None)

    return authenticator


async def main(certificate=None, key=None, user=None, password=None, from_the_start=False):
    settings = {"hostname": "mail.test", "enable_SMTPUTF8": False}
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        if not from_the_start:
            settings["tls_context"], tls = tls, None
    if user:
        settings["authenticator"] = check(user.encode(), password.encode())
        settings["auth_required"] = True
    keeper = Keeper()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(keeper, loop=loop, **settings), "127.0.0.1", 0, ssl=tls
    )
    say({"port": server.sockets[0].getsockname()[1]})
    await server.serve_forever()


words = sys.argv[1:]
asyncio.run(main(*[it for it in words if it != "--tls"], from_the_start="--tls" in words))
