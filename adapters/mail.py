"""How messages are sent: over SMTP, or as files in the outbox folder where no SMTP server is set.

A message has no recipient but one, names nobody in its headers, and carries the same parts as text and as HTML.
"""

from __future__ import annotations

import email.policy
import os
import re
import smtplib
import ssl
import textwrap
from contextlib import suppress
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, getaddresses
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from config import Config, ConfigError
from domain.db import now
from domain.notifications.delivery import Mailer, Refused, Sent, TryLater
from domain.notifications.message import Facts, Link, Message, Paragraph, Part, Quotation

TIMEOUT_SECONDS = 10.0
DEFAULT_PORTS = {"smtp": 25, "smtps": 465}
LONGEST_ADDRESS = 254
ADDRESS = re.compile(r"[^\s@\"(),:;<>\[\]\\]{1,64}@[^\s@\"(),:;<>\[\]\\]+")


def make_mailer(config: Config) -> Mailer:
    """The mailer that the settings name. Raises ConfigError, one line per mistake."""
    sender = read_sender(config.mail_from)
    if config.smtp_url is None:
        return OutboxMailer(config.data_dir / "outbox", sender)
    return SmtpMailer(read_server(config.smtp_url), sender)


@dataclass(frozen=True)
class Server:
    """Where mail is handed in. `encrypted` from the first byte (smtps://); else by STARTTLS where it is offered."""

    host: str
    port: int
    encrypted: bool = False
    user: str | None = None
    password: str = ""

    @property
    def on_this_machine(self) -> bool:
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class SmtpMailer:
    """One connection for each message. `timeout` is for each answer of the server, in seconds."""

    def __init__(self, server: Server, sender: Address, timeout: float = TIMEOUT_SECONDS):
        self.server, self.sender, self.timeout = server, sender, timeout

    def send(self, message: Message) -> Sent | Refused | TryLater:
        if not deliverable(message.to):
            return Refused("The address on file is not an e-mail address.")
        try:
            connection = self.connect()
        except smtplib.SMTPNotSupportedError as error:
            return TryLater(str(error))
        except smtplib.SMTPAuthenticationError:
            return TryLater("The mail server refused our user and password: check SMTP_URL.")
        except (smtplib.SMTPException, OSError) as error:
            return trouble(error)
        try:
            return self.hand_over(connection, message)
        finally:
            # Whatever happens after the server took the message, it is taken.
            with suppress(smtplib.SMTPException, OSError):
                connection.quit()
            connection.close()

    def connect(self) -> smtplib.SMTP:
        """A connection that is greeted, encrypted where it can be, and signed in."""
        server, domain = self.server, self.sender.domain
        if server.encrypted:
            connection: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, domain, timeout=self.timeout, context=trust(server))
        else:
            connection = smtplib.SMTP(server.host, server.port, domain, timeout=self.timeout)
        try:
            connection.ehlo_or_helo_if_needed()
            if not server.encrypted and connection.has_extn("starttls"):
                connection.starttls(context=trust(server))
                connection.ehlo()
            elif server.user and not server.encrypted and not server.on_this_machine:
                raise smtplib.SMTPNotSupportedError("The mail server offers no encryption, so our password was not sent.")
            if server.user:
                connection.login(server.user, server.password)
        except BaseException:
            connection.close()
            raise
        return connection

    def hand_over(self, connection: smtplib.SMTP, message: Message) -> Sent | Refused | TryLater:
        international = not message.to.isascii()
        if international and not connection.has_extn("smtputf8"):
            return Refused("The address has letters outside ASCII, and the mail server does not take such addresses (SMTPUTF8).")
        options = ["SMTPUTF8"] if international else []
        try:
            connection.sendmail(self.sender.addr_spec, [message.to], written(message, self.sender), mail_options=options)
        except (smtplib.SMTPException, OSError) as error:
            return trouble(error)
        return Sent()


class OutboxMailer:
    """Messages as files, for development and for looking at: the same message always lands in the same file."""

    def __init__(self, folder: Path, sender: Address):
        self.folder, self.sender = folder, sender

    def send(self, message: Message) -> Sent | Refused | TryLater:
        if not deliverable(message.to):
            return Refused("The address on file is not an e-mail address.")
        file = self.folder / f"{re.sub('[^A-Za-z0-9.@-]', '_', message.message_id.strip('<>'))}.eml"
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with draft.open("wb") as out:
                out.write(written(message, self.sender))
                out.flush()
                os.fsync(out.fileno())
            draft.replace(file)
        except OSError as error:
            return TryLater(f"The outbox cannot be written: {error.strerror}.")
        return Sent()


def written(message: Message, sender: Address) -> bytes:
    """The mail as it goes over the wire: 7-bit, whatever the text, unless the recipient's address itself is not."""
    mail = EmailMessage(email.policy.SMTP if message.to.isascii() else email.policy.SMTPUTF8)
    mail["From"] = sender
    mail["To"] = message.to
    mail["Subject"] = encodable(" ".join(message.subject.split()))
    mail["Date"] = format_datetime(now())
    mail["Message-ID"] = message.message_id
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(encodable(as_text(message)), cte="quoted-printable")
    mail.add_alternative(encodable(as_html(message, sender)), subtype="html", cte="quoted-printable")
    return mail.as_bytes()


def encodable(text: str) -> str:
    """Without lone surrogates, which no charset has."""
    return text.encode("utf-8", "replace").decode()


def as_text(message: Message) -> str:
    return "\n\n".join([*map(part_as_text, message.parts), "-- \n" + filled(message.footer)]) + "\n"


def part_as_text(part: Part) -> str:
    match part:
        case Paragraph(text):
            return filled(text)
        case Facts(rows):
            return "\n".join(f"{name}: {value}" for name, value in rows)
        case Quotation(label, text):
            return f"{label}:\n" + "\n".join(filled(line, "  ") for line in text.split("\n"))
        case Link(label, url):
            return f"{label}:\n{url}"


def filled(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 76, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def as_html(message: Message, sender: Address) -> str:
    return TEMPLATES.get_template("message.html").render(message=message, brand=sender.display_name)


def unbroken(text: str) -> Markup:
    """The text as HTML whose numbers (RF-2026-001234) stay on one line: a mail has no other way to say so."""
    return Markup(re.sub(r"\b[A-Z]{2,4}-[0-9-]{1,16}\b", r'<span style="white-space:nowrap">\g<0></span>', str(escape(text))))


TEMPLATES = Environment(
    loader=PackageLoader("adapters", "templates/mail"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["unbroken"] = unbroken
TEMPLATES.tests["paragraph"] = lambda part: isinstance(part, Paragraph)
TEMPLATES.tests["facts"] = lambda part: isinstance(part, Facts)
TEMPLATES.tests["quotation"] = lambda part: isinstance(part, Quotation)


def deliverable(address: str) -> bool:
    """Whether this can be one address, and nothing that a header or an SMTP command would read as more."""
    domain = address.rpartition("@")[2]
    return (
        bool(ADDRESS.fullmatch(address))
        and address.isprintable()
        and len(address.encode()) <= LONGEST_ADDRESS
        and not address.startswith("-")
        and all(domain.split("."))
    )


def trust(server: Server) -> ssl.SSLContext:
    """The certificate must be the server's own, but on this machine, where nobody stands between."""
    context = ssl.create_default_context()
    if server.on_this_machine:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def trouble(error: Exception) -> Refused | TryLater:
    """What to make of a failure: only the server's own 5xx is final."""
    said: bytes | str
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, said = next(iter(error.recipients.values()))
    elif isinstance(error, smtplib.SMTPResponseException):
        code, said = error.smtp_code, error.smtp_error
    elif isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):  # smtplib makes a hang-up of it
        return TryLater("The mail server did not answer in time.")
    elif isinstance(error, smtplib.SMTPServerDisconnected):
        return TryLater("The mail server hung up.")
    elif isinstance(error, ssl.SSLCertVerificationError):
        return TryLater("The mail server's certificate is not to be trusted.")
    elif isinstance(error, OSError):
        return TryLater(f"The mail server cannot be reached: {error.strerror or type(error).__name__}.")
    else:
        return TryLater(f"The mail server does not speak as expected: {type(error).__name__}.")
    words = f"The mail server said: {code} {without_addresses(said)}"
    return Refused(words) if 500 <= code < 600 else TryLater(words)


def without_addresses(said: bytes | str) -> str:
    """A server's words, short and on one line, with every address taken out: they are shown to people who may not see one."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    text = re.sub(r"\S*@\S*", "(address)", text)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]


def read_sender(mail_from: str) -> Address:
    """The From of every message: "Name <address>", or an address alone."""
    named = getaddresses([mail_from])
    with suppress(ValueError, IndexError, MessageError):
        if len(named) == 1 and named[0][1].isascii() and deliverable(named[0][1]) and mail_from.isprintable():
            return Address(named[0][0], addr_spec=named[0][1])
    raise ConfigError([f"MAIL_FROM: {mail_from!r} is not a sender; write a name and an address, as in Marketplace <no-reply@example.com>"])


def read_server(smtp_url: str) -> Server:
    """The parts of SMTP_URL. No mistake repeats the URL: there may be a password in it."""
    try:
        url = urlsplit(smtp_url)
        port = url.port
    except ValueError:
        raise mistake("its port is not a number from 1 to 65535") from None
    if not url.hostname:
        raise mistake("it names no host")
    if url.path not in ("", "/") or url.query or url.fragment:
        raise mistake("it goes on after the port (a / ? # or @ in a password must be written as a percent code, as in %2F)")
    user, password = unquote(url.username or ""), unquote(url.password or "")
    if not all(part.isascii() and part.isprintable() for part in (user, password)):
        raise mistake("its user or password has characters that SMTP cannot carry")
    if bool(user) != bool(password):
        raise mistake("it has only one of user and password")
    return Server(url.hostname, port or DEFAULT_PORTS[url.scheme], url.scheme == "smtps", user or None, password)


def mistake(found: str) -> ConfigError:
    return ConfigError([f"SMTP_URL: {found}; write smtp://user:password@host:port, or smtps:// for a server that is encrypted throughout"])
