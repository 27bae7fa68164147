"""An SMTP server of our own that keeps what it is sent, and refuses it when told to."""

import email
import email.policy
from email.message import EmailMessage
from typing import Any, Self

from aiosmtpd.controller import Controller

from tests.servers.processes import free_port


class Smtp:
    """`with Smtp() as server: ...; server.messages`; set `server.refusal = "451 Try later"` to have it refuse.

    `options` are those of aiosmtpd's Controller: TLS, authentication, SMTPUTF8.
    """

    def __init__(self, **options: Any) -> None:
        self.port = free_port()
        self.url = f"smtp://127.0.0.1:{self.port}"
        self.messages: list[EmailMessage] = []
        self.refusal: str | None = None
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **options)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._controller.stop()

    def to(self, address: str) -> list[EmailMessage]:
        """The messages delivered to this address, oldest first."""
        return [message for message in list(self.messages) if address in message["X-Envelope-To"].split(", ")]

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refusal:
            return self.refusal
        message = email.message_from_bytes(envelope.content, EmailMessage, policy=email.policy.default)
        message["X-Envelope-To"] = ", ".join(envelope.rcpt_tos)
        self.messages.append(message)
        return "250 Kept"
