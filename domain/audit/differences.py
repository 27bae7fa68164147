"""What an act changed, field by field: the entry's `before` and `after` held side by side."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from domain.audit.models import AuditEntry

ABSENT: Any = object()


class Kind(StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    SAME = "same"


@dataclass(frozen=True)
class Difference:
    """One field. Of two lists `added` and `removed` are the items that came and went; None for anything else."""

    field: str
    kind: Kind
    before: Any = None
    after: Any = None
    added: list[Any] | None = None
    removed: list[Any] | None = None


def differences(entry: AuditEntry) -> list[Difference]:
    """What changed first, then what stayed, each by name: JSONB keeps no order of its own."""
    before, after = entry.before or {}, entry.after or {}
    found = [difference(name, before.get(name, ABSENT), after.get(name, ABSENT)) for name in before.keys() | after.keys()]
    return sorted(found, key=lambda one: (one.kind is Kind.SAME, one.field))


def difference(name: str, before: Any, after: Any) -> Difference:
    """A field that one side does not speak of is not known there: it came or went with this act as far as the entry tells."""
    if before is ABSENT:
        return Difference(name, Kind.ADDED, after=after)
    if after is ABSENT:
        return Difference(name, Kind.REMOVED, before=before)
    if before == after and type(before) is type(after):
        return Difference(name, Kind.SAME, before, after)
    if isinstance(before, list) and isinstance(after, list):
        return Difference(
            name, Kind.CHANGED, before, after, [one for one in after if one not in before], [one for one in before if one not in after]
        )
    return Difference(name, Kind.CHANGED, before, after)
