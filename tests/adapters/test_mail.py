import email
import email.policy
import re
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import config
from adapters.mail import OutboxMailer, Server, SmtpMailer, make_mailer, read_sender, read_server, trust, without_addresses, written
from domain.notifications.delivery import Refused, Sent, TryLater
from domain.notifications.message import Facts, Link, Message, Paragraph, Quotation
from tests.servers.processes import free_port
from tests.servers.smtp import Smtp
from wsgi import load_settings

SENDER = Address("Marketplace", addr_spec="no-reply@example.com")
HOSTILE = [
    "Asha\r\nBcc: thief@example.net\r\n\r\nbody",
    "\u202egnp.exe\u202c \u2066x",
    '<script>alert(1)</script> & <b>"quoted"</b>',
    "x" * 10_000,
    "नमस्ते 佐藤 🎉 " * 300,
    "\x00\x1b[31m\ufeff",
    ".\n.\n..\nQUIT",
    "=?utf-8?q?encoded?=",
]


def message(to: str = "asha@example.com", **changes: Any) -> Message:
    parts = (
        Paragraph("Dear Asha,"),
        Quotation("The reason for our decision", "Nobody came.\nWe asked."),
        Facts((("Approved", "INR 98,450.00"), ("Refund number", "RF-2024-000001"))),
        Link("Open the refund", "https://portal.example.com/refunds/1"),
    )
    facts = {"message_id": "<notification-1@portal.example.com>", "subject": "Your refund", "parts": parts, "footer": "Automatic."}
    return Message(**{**facts, "to": to, **changes})


def read(raw: bytes) -> EmailMessage:
    return email.message_from_bytes(raw, EmailMessage, policy=email.policy.default)


def text_of(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return part.get_content().replace("\r\n", "\n")


class Words(HTMLParser):
    """What of an HTML page is there to read."""

    def __init__(self, html: str):
        super().__init__()
        self.read: list[str] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        if not self.tags or self.tags[-1] not in ("style", "title"):
            self.read.append(data)


@pytest.fixture
def smtp() -> Iterator[Smtp]:
    with Smtp() as server:
        yield server


def mailer_for(port: int, timeout: float = 5, **server: Any) -> SmtpMailer:
    return SmtpMailer(Server("127.0.0.1", port, **server), SENDER, timeout)


class Scripted(Smtp):
    """A server that refuses where it is told to."""

    def __init__(self, recipient: str | None = None, hangs_up: bool = False, **options: Any):
        super().__init__(**options)
        self.recipient, self.hangs_up = recipient, hangs_up

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if self.recipient:
            return self.recipient
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.hangs_up:
            server.transport.abort()
            return "250 never heard"
        return await super().handle_DATA(server, session, envelope)


class TestTheMail:
    def test_it_says_the_same_as_text_and_as_html(self):
        mail = read(written(message(), SENDER))

        html = " ".join(" ".join(Words(text_of(mail, "html")).read).split())
        for line in text_of(mail, "plain").splitlines():
            words = line.removeprefix("-- ").split(": ")[-1].rstrip(":").strip()
            assert words in html

    def test_it_names_sender_recipient_and_subject_and_that_no_person_wrote_it(self):
        mail = read(written(message(), SENDER))

        assert mail["From"] == "Marketplace <no-reply@example.com>"
        assert mail["To"] == "asha@example.com"
        assert mail["Subject"] == "Your refund"
        assert mail["Message-ID"] == "<notification-1@portal.example.com>"
        assert mail["Auto-Submitted"] == "auto-generated"
        assert abs(mail["Date"].datetime - datetime.now(UTC)) < timedelta(minutes=1)

    def test_a_long_host_leaves_the_message_id_whole(self):
        identity = f"<notification-5d2c6a3e-0000-4000-8000-000000000000@{'admin-portal.' * 8}example.com>"

        raw = written(message(message_id=identity), SENDER)

        assert identity in raw.decode().replace("\r\n ", " ")

    @pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
    def test_hostile_text_stays_text(self, text):
        parts = (Paragraph(text), Quotation("Reason", text), Facts((("Name", text),)))

        raw = written(message(subject=text, parts=parts, footer=text), SENDER)

        mail = read(raw)
        assert sorted(mail.keys()) == sorted(
            ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
        )
        assert raw.isascii()
        assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)", raw)
        assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
        assert not {"script", "b"} & set(Words(text_of(mail, "html")).tags)

    def test_a_number_stays_on_one_line_and_what_stands_beside_it_is_still_only_text(self):
        html = text_of(read(written(message(parts=(Paragraph("RF-2024-000001 <b>"),)), SENDER)), "html")

        assert '<span style="white-space:nowrap">RF-2024-000001</span> &lt;b&gt;' in html

    def test_a_lone_surrogate_does_not_stop_it(self):
        mail = read(written(message(subject="a\ud800b", parts=(Paragraph("c\udfffd"),)), SENDER))

        assert mail["Subject"] == "a?b"
        assert "c?d" in text_of(mail, "plain")

    def test_a_link_can_be_used_in_the_text_too(self):
        assert "https://portal.example.com/refunds/1" in text_of(read(written(message(), SENDER)), "plain").splitlines()


class TestSmtp:
    def test_a_message_arrives(self, smtp):
        assert mailer_for(smtp.port).send(message()) == Sent()

        [arrived] = smtp.to("asha@example.com")
        assert arrived["Message-ID"] == "<notification-1@portal.example.com>"
        assert "Nobody came." in text_of(arrived, "plain")
        assert "Nobody came." in text_of(arrived, "html")

    def test_a_line_with_only_a_dot_arrives_whole(self, smtp):
        mailer_for(smtp.port).send(message(parts=(Quotation("Reason", "one\n.\n..two"),)))

        assert "  .\n  ..two" in text_of(smtp.messages[0], "plain")

    def test_it_tries_later_what_the_server_does_not_take_now(self, smtp):
        smtp.refusal = "451 Greylisted, asha@example.com, come back"

        assert mailer_for(smtp.port).send(message()) == TryLater("The mail server said: 451 Greylisted, (address) come back")

    def test_a_refusal_is_final(self, smtp):
        smtp.refusal = "554 No thanks"

        assert mailer_for(smtp.port).send(message()) == Refused("The mail server said: 554 No thanks")

    @pytest.mark.parametrize(("said", "kind"), [("550 <asha@example.com> No such mailbox", Refused), ("450 Busy", TryLater)])
    def test_a_recipient_can_be_turned_away_for_good_or_for_now(self, said, kind):
        with Scripted(recipient=said) as server:
            answer = mailer_for(server.port).send(message())

        assert isinstance(answer, kind)
        assert "asha" not in answer.reason

    def test_it_tries_later_when_the_server_hangs_up(self):
        with Scripted(hangs_up=True) as server:
            assert mailer_for(server.port).send(message()) == TryLater("The mail server hung up.")

    def test_it_tries_later_when_nobody_listens(self):
        assert mailer_for(free_port()).send(message()) == TryLater("The mail server cannot be reached: Connection refused.")

    def test_it_does_not_wait_for_a_server_that_says_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            answer = mailer_for(silent.getsockname()[1], timeout=0.3).send(message())

        assert answer == TryLater("The mail server did not answer in time.")

    @pytest.mark.parametrize(
        "address", ["", "asha", "a@b@c", "a b@c.d", "a@c.d, e@f.g", "a@c.d\r\nRCPT TO:<x@y.z>", "<a@c.d>", "a@.d", "a@" + "x" * 300]
    )
    def test_what_is_no_address_is_never_sent_to(self, smtp, address):
        assert mailer_for(smtp.port).send(message(to=address)) == Refused("The address on file is not an e-mail address.")
        assert smtp.messages == []

    def test_an_international_address_is_reached_where_the_server_takes_such(self):
        with Scripted(enable_SMTPUTF8=True) as server:
            assert mailer_for(server.port).send(message(to="आशा@उदाहरण.भारत")) == Sent()
            assert server.to("आशा@उदाहरण.भारत")

    def test_an_international_address_is_refused_in_words_where_it_does_not(self):
        with Scripted(enable_SMTPUTF8=False) as server:
            answer = mailer_for(server.port).send(message(to="आशा@example.com"))

        assert isinstance(answer, Refused)
        assert "outside ASCII" in answer.reason
        assert server.messages == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.com")])
    moment = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(moment - timedelta(hours=1))
        .not_valid_after(moment + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


class Doorkeeper:
    """Lets one user in."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, bytes]] = []

    def __call__(self, server: Any, session: Any, envelope: Any, mechanism: str, login: Any) -> AuthResult:
        self.seen.append((login.login, login.password))
        return AuthResult(success=login.password == b"right", handled=False)


class TestSigningInAndEncryption:
    def test_it_encrypts_where_the_server_offers_it_and_signs_in(self, certificate):
        doorkeeper = Doorkeeper()
        with Scripted(tls_context=certificate, require_starttls=True, authenticator=doorkeeper, auth_required=True) as server:
            assert mailer_for(server.port, user="portal", password="right").send(message()) == Sent()

        assert doorkeeper.seen == [(b"portal", b"right")]
        assert len(server.messages) == 1

    def test_a_wrong_password_waits_for_somebody_to_mend_it(self, certificate):
        with Scripted(tls_context=certificate, authenticator=Doorkeeper(), auth_required=True) as server:
            answer = mailer_for(server.port, user="portal", password="wrong").send(message())

        assert answer == TryLater("The mail server refused our user and password: check SMTP_URL.")

    def test_a_password_is_not_sent_in_the_clear_to_another_machine(self, smtp, monkeypatch):
        monkeypatch.setattr(Server, "on_this_machine", False)

        answer = mailer_for(smtp.port, user="portal", password="right").send(message())

        assert answer == TryLater("The mail server offers no encryption, so our password was not sent.")

    def test_another_machine_must_show_a_certificate_that_somebody_vouches_for(self, certificate, monkeypatch):
        monkeypatch.setattr(Server, "on_this_machine", False)
        with Scripted(tls_context=certificate) as server:
            answer = mailer_for(server.port).send(message())

        assert answer == TryLater("The mail server's certificate is not to be trusted.")

    def test_only_this_machine_is_believed_without_a_certificate(self):
        assert trust(Server("mail.example.com", 25)).verify_mode is ssl.CERT_REQUIRED
        assert trust(Server("mail.example.com", 25)).check_hostname
        assert trust(Server("localhost", 25)).verify_mode is ssl.CERT_NONE
        assert trust(Server("::1", 25)).verify_mode is ssl.CERT_NONE

    def test_smtps_is_encrypted_from_the_first_byte(self, certificate):
        with Smtp(ssl_context=certificate) as server:
            assert mailer_for(server.port, encrypted=True).send(message()) == Sent()
            assert len(server.messages) == 1


class TestOutbox:
    def test_a_message_becomes_one_file_however_often_it_is_sent(self, tmp_path):
        mailer = OutboxMailer(tmp_path / "outbox", SENDER)

        assert mailer.send(message()) == Sent()
        assert mailer.send(message(subject="Again")) == Sent()

        [file] = (tmp_path / "outbox").iterdir()
        assert file.name == "notification-1@portal.example.com.eml"
        assert read(file.read_bytes())["Subject"] == "Again"

    def test_no_name_leads_out_of_the_folder(self, tmp_path):
        OutboxMailer(tmp_path / "outbox", SENDER).send(message(message_id="<../../etc/passwd>"))

        assert [file.parent for file in tmp_path.rglob("*.eml")] == [tmp_path / "outbox"]

    def test_it_tries_later_where_the_folder_cannot_be_written(self, tmp_path):
        (tmp_path / "outbox").write_text("in the way")

        assert OutboxMailer(tmp_path / "outbox", SENDER).send(message()) == TryLater("The outbox cannot be written: File exists.")

    def test_an_international_address_is_kept_readable(self, tmp_path):
        OutboxMailer(tmp_path, SENDER).send(message(to="आशा@example.com"))

        [file] = tmp_path.glob("*.eml")
        assert read(file.read_bytes())["To"] == "आशा@example.com"


class TestSettings:
    def load(self, tmp_path: Path, **settings: str) -> config.Config:
        return config.load({"APP_ENV": "test", "DATA_DIR": str(tmp_path), **settings})

    def test_without_a_server_messages_go_to_the_outbox(self, tmp_path):
        mailer = make_mailer(self.load(tmp_path))

        assert isinstance(mailer, OutboxMailer)
        assert mailer.folder == tmp_path / "outbox"

    def test_a_url_names_server_user_and_password(self, tmp_path):
        mailer = make_mailer(self.load(tmp_path, SMTP_URL="smtps://user%40example.com:p%2Fw%3A@mail.example.com"))

        assert isinstance(mailer, SmtpMailer)
        assert mailer.server == Server("mail.example.com", 465, True, "user@example.com", "p/w:")

    def test_the_usual_port_is_25(self):
        assert read_server("smtp://mail.example.com") == Server("mail.example.com", 25)

    @pytest.mark.parametrize(
        ("url", "found"),
        [
            ("smtp://:25", "names no host"),
            ("smtp://mail.example.com:99999", "its port"),
            ("smtp://u:secret#x@mail.example.com", "its port"),
            ("smtp://u:secret@mail.example.com/inbox", "goes on after the port"),
            ("smtp://u:s%0d%0aecret@mail.example.com", "cannot carry"),
            ("smtp://u:sécret@mail.example.com", "cannot carry"),
            ("smtp://secret@mail.example.com", "only one of user and password"),
        ],
    )
    def test_a_mistake_in_the_url_is_one_clear_line_without_the_password(self, url, found):
        with pytest.raises(config.ConfigError, match=found) as refused:
            read_server(url)

        [line] = refused.value.mistakes
        assert line.startswith("SMTP_URL: ")
        assert "secret" not in line

    def test_nothing_starts_with_a_mistake_in_them(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("DATA_DIR", str(tmp_path))
        monkeypatch.setenv("SMTP_URL", "smtp://portal@mail.example.com")

        with pytest.raises(SystemExit):
            load_settings()

        assert capsys.readouterr().err.startswith("SMTP_URL: it has only one of user and password; write smtp://")

    def test_a_sender_has_a_name_and_an_address(self):
        assert str(read_sender("Märkt <no-reply@example.com>")) == "Märkt <no-reply@example.com>"
        assert str(read_sender("no-reply@example.com")) == "no-reply@example.com"

    @pytest.mark.parametrize("sender", ["Marketplace", "Marketplace <>", "a@b, c@d", "x\r\nBcc: y@z <a@b>", "é@example.com"])
    def test_a_wrong_sender_is_one_clear_line(self, sender):
        with pytest.raises(config.ConfigError, match="MAIL_FROM: .* write a name and an address"):
            read_sender(sender)


def test_no_address_is_in_what_a_server_is_quoted_with():
    assert without_addresses(b"5.1.1 <asha@example.com>: unknown\r\nuser \xff") == "5.1.1 (address) unknown user \N{REPLACEMENT CHARACTER}"


def test_the_servers_words_are_short():
    assert len(without_addresses("x" * 5000)) == 200
