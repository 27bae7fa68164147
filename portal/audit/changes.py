"""Before and after as a difference that people read: what went struck through, what came underlined, each with its word."""

import json
import re
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from domain.audit.differences import Difference, Kind, differences
from domain.audit.models import AuditEntry
from portal.audit.wording import words
from portal.wording import Look

KINDS = {
    Kind.ADDED: Look("Added", "success", "plus"),
    Kind.CHANGED: Look("Changed", "info", "pencil"),
    Kind.REMOVED: Look("Removed", "danger", "minus"),
    Kind.SAME: Look("Same", "neutral", "equal"),
}
LONGEST_VALUE = 5000
MOST_WORDS_COMPARED = 1500
WORDS = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True)
class Piece:
    """A stretch of a text: kept, or told apart as what came or went."""

    text: str
    marked: bool = False


@dataclass(frozen=True)
class Change:
    """A field on both sides. A side that is None is not told of; `added` and `removed` are the items of a list."""

    name: str
    look: Look
    before: list[Piece] | None = None
    after: list[Piece] | None = None
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: int = 0

    @property
    def listed(self) -> bool:
        return bool(self.added or self.removed)


def changes_of(entry: AuditEntry) -> list[Change]:
    return [change(one) for one in differences(entry)]


def change(one: Difference) -> Change:
    look = KINDS[one.kind]
    if one.kind is Kind.ADDED:
        return Change(words(one.field), look, after=[Piece(value(one.after))])
    if one.kind is Kind.REMOVED:
        return Change(words(one.field), look, before=[Piece(value(one.before))])
    if one.added is not None and one.removed is not None and (one.added or one.removed):
        added, removed = [value(item) for item in one.added], [value(item) for item in one.removed]
        return Change(words(one.field), look, added=added, removed=removed, kept=len(one.after) - len(added))
    before, after = value(one.before), value(one.after)
    if one.kind is Kind.CHANGED and min(len(before), len(after)) > 24:
        return Change(words(one.field), look, *compared(before, after))
    return Change(words(one.field), look, [Piece(before)], [Piece(after)])


def compared(before: str, after: str) -> tuple[list[Piece], list[Piece]]:
    """Two texts word by word; long ones, or such as have little in common, as they are."""
    old, new = WORDS.findall(before), WORDS.findall(after)
    if max(len(old), len(new)) > MOST_WORDS_COMPARED:
        return [Piece(before)], [Piece(after)]
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    if matcher.ratio() < 0.4:
        return [Piece(before)], [Piece(after)]
    left, right = [], []
    for tag, start, end, new_start, new_end in matcher.get_opcodes():
        if start < end:
            left.append(Piece("".join(old[start:end]), tag != "equal"))
        if new_start < new_end:
            right.append(Piece("".join(new[new_start:new_end]), tag != "equal"))
    return left, right


def value(given: Any) -> str:
    if given is None:
        return "—"
    if isinstance(given, bool):
        return "yes" if given else "no"
    if isinstance(given, list):
        return ", ".join(value(item) for item in given)[:LONGEST_VALUE] or "none"
    if isinstance(given, dict):
        return json.dumps(given, ensure_ascii=False)[:LONGEST_VALUE]
    return str(given)[:LONGEST_VALUE] or "(empty)"
