"""Pages of rows, newest first: by number, or on from a cursor at the same cost however deep."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, or_

from domain.errors import Invalid

T = TypeVar("T")


@dataclass(frozen=True)
class PageRequest:
    """`page` counts from 1; a `cursor`, where given, says where to read on instead."""

    page: int = 1
    page_size: int = 25
    cursor: str | None = None


@dataclass(frozen=True)
class Position:
    """The last row of a page, in the order of the list."""

    at: datetime
    id: UUID

    def encode(self) -> str:
        return base64.urlsafe_b64encode(f"{self.at.astimezone(UTC).isoformat()}|{self.id}".encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, cursor: str) -> Position:
        try:
            raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode("ascii")
            at, _, id = raw.partition("|")
            moment = datetime.fromisoformat(at)
            if moment.tzinfo is None:
                raise ValueError("no zone")
            return cls(moment.astimezone(UTC), UUID(id))
        except (ValueError, UnicodeError, binascii.Error, OverflowError):
            raise Invalid("This cursor is not one of ours: pass meta.next_cursor on as it came, or leave it out.", field="cursor") from None


@dataclass(frozen=True)
class Page(Generic[T]):
    items: Sequence[T]
    total_items: int
    request: PageRequest
    next_cursor: str | None = None
    summary: dict[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    @property
    def total_pages(self) -> int:
        return -(-self.total_items // self.request.page_size)

    @property
    def meta(self) -> dict[str, Any]:
        return {
            "page": self.request.page,
            "page_size": self.request.page_size,
            "total_items": self.total_items,
            "total_pages": self.total_pages,
            "summary": self.summary,
            "next_cursor": self.next_cursor,
        }


Rows = Select[*tuple[Any, ...]]


def window(rows: Rows, request: PageRequest, at: ColumnElement[datetime], id: ColumnElement[UUID]) -> Rows:
    """The rows of one page and one more, which tells whether there is a next."""
    rows = rows.order_by(at.desc(), id.desc()).limit(request.page_size + 1)
    if request.cursor is None:
        return rows.offset((request.page - 1) * request.page_size)
    last = Position.decode(request.cursor)
    return rows.where(or_(at < last.at, and_(at == last.at, id < last.id)))


def cut(found: Sequence[T], request: PageRequest) -> tuple[Sequence[T], bool]:
    """Take the extra row off again: the page's rows, and whether more follow."""
    return found[: request.page_size], len(found) > request.page_size
