"""How the backups stand as a whole: which can be put together again, and how old the newest of them is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from domain.backups.manifest import Manifest
from domain.backups.vault import Span, Vault
from domain.db import now

OLD = timedelta(hours=26)
"""A day, and two hours for one that began late and took long."""

AHEAD = timedelta(minutes=5)
"""The clocks of two machines differ by less."""


class State(StrEnum):
    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    DAMAGED = "damaged"
    CUT_OFF = "cut_off"  # whole itself, but what it stands on is damaged, unverified or gone


@dataclass(frozen=True)
class Standing:
    """`manifests` are all that can be read, newest first; `unreadable` names the others."""

    manifests: Sequence[Manifest]
    states: dict[UUID, State]
    unreadable: Sequence[str]

    @property
    def newest(self) -> Manifest | None:
        """The newest that can be restored; one that is dated ahead of the clock only where there is no other."""
        found = [manifest for manifest in self.manifests if self.states[manifest.id] is State.VERIFIED]
        return next((manifest for manifest in found if not is_ahead(manifest)), next(iter(found), None))

    @property
    def age(self) -> timedelta | None:
        return None if self.newest is None else max(now() - self.newest.snapshot_at, timedelta())

    def before(self, moment: datetime) -> Manifest | None:
        """The newest that can be restored and was made by then: what a restore of that moment begins with."""
        found = (each for each in self.manifests if each.snapshot_at <= moment and self.states[each.id] is State.VERIFIED)
        return next(found, None)

    def count(self, *states: State) -> int:
        return sum(1 for state in self.states.values() if state in states)

    def chain(self, manifest: Manifest) -> list[Manifest]:
        """The backup and what it stands on as far as that is there, the full one first."""
        by_id: dict[UUID | None, Manifest] = {each.id: each for each in self.manifests}
        chain = [manifest]
        while chain[0].parent_id in by_id:
            chain.insert(0, by_id[chain[0].parent_id])
        return chain


def find_standing(vault: Vault) -> Standing:
    manifests = vault.list()
    return Standing(manifests, states_of(manifests), vault.damaged())


def is_ahead(manifest: Manifest) -> bool:
    """Whether it was made while the clock was wrong: then its date says nothing of how old the data in it are."""
    return manifest.snapshot_at > now() + AHEAD


def states_of(manifests: Sequence[Manifest]) -> dict[UUID, State]:
    """A backup is worth no more than what it stands on."""
    by_id = {manifest.id: manifest for manifest in manifests}
    states: dict[UUID, State] = {}
    for manifest in manifests:
        state, under = own_state(manifest), manifest.parent_id
        while state is State.VERIFIED and under is not None:
            parent = by_id.get(under)
            if parent is None or own_state(parent) is not State.VERIFIED:
                state = State.CUT_OFF
                break
            under = parent.parent_id
        states[manifest.id] = state
    return states


def restorable(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Those that can be put together again, with all that they stand on."""
    states = states_of(manifests)
    return [manifest for manifest in manifests if states[manifest.id] is State.VERIFIED]


def own_state(manifest: Manifest) -> State:
    if manifest.verified is None:
        return State.UNVERIFIED
    return State.VERIFIED if manifest.verified.ok else State.DAMAGED


def oldest_allowed(every: timedelta) -> timedelta:
    """How old the newest may be where one is made every so often by itself (nothing: by hand)."""
    return max(OLD, every + (OLD - timedelta(days=1)))


def reachable_until(spans: Iterable[Span], manifest: Manifest) -> datetime | None:
    """The last moment that a restore of the backup may name; None where not even its own can be reached."""
    return max((span.end for span in spans if span.start <= manifest.snapshot_at <= span.end), default=None)
