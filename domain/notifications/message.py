"""What a message is, before anybody has given it a form: the mail's text and its HTML are made from the same parts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Facts:
    """Names and values, one to a line."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Quotation:
    """Somebody else's words, line breaks kept, so that they cannot be taken for ours."""

    label: str
    text: str


@dataclass(frozen=True)
class Link:
    label: str
    url: str


Part = Paragraph | Facts | Quotation | Link


@dataclass(frozen=True)
class Message:
    """`message_id` is made from the job's id, so that a message that is sent a second time after a crash can be recognised."""

    message_id: str
    to: str
    subject: str
    parts: tuple[Part, ...]
    footer: str
