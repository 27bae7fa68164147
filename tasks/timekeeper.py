"""What happens by the clock, safe with any number of workers: each round is a claim in the database, and a round too many finds nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from threading import Thread

from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from domain import idempotency
from domain.audit import checks
from domain.backups import alarm, automatic
from domain.backups.vault import Part
from domain.db import read_only
from domain.health import storage_usage
from domain.identity.tidying import forget_old
from domain.jobs import counts, leases, retention, workers
from domain.refunds import reconcile
from domain.storage import StorageError
from domain.traffic.writing import fold_old
from tasks import restores
from tasks.cleanup import remove_left_folders, remove_rests
from tasks.context import Context
from tasks.presence import Presence
from tasks.queue import Bell

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
RECONCILE_SECONDS = 10.0
FOLD_SECONDS = 2.0
CLEANUP_SECONDS = 300.0
TIDY_SECONDS = 3600.0
COUNT_FILES_SECONDS = 60.0
BACKUP_SECONDS = 60.0


def start(context: Context, bell: Bell, presence: Presence) -> list[Thread]:
    rounds: list[tuple[str, float, Callable[[Context, Bell], None]]] = [
        ("presence", workers.BEATS_EVERY_SECONDS, presence.beat),
        ("sweep", SWEEP_SECONDS, sweep),
        ("abandoned", SWEEP_SECONDS, clean_up_abandoned),
        ("reconcile", RECONCILE_SECONDS, ask_for_reconciliation),
        ("fold", FOLD_SECONDS, fold_counts),
        ("cleanup", CLEANUP_SECONDS, ask_for_cleanup),
        ("verification", CLEANUP_SECONDS, ask_for_verification),
        ("tidy", TIDY_SECONDS, tidy),
        ("files", COUNT_FILES_SECONDS, count_files),
        ("backup", BACKUP_SECONDS, ask_for_backup),
        ("alarm", BACKUP_SECONDS, tell_of_backups),
    ]
    once(context, bell, presence.beat)
    once(context, bell, recover_restores)
    threads = [Thread(target=every, args=(context, bell, seconds, act), name=name, daemon=True) for name, seconds, act in rounds]
    for thread in threads:
        thread.start()
    return threads


def every(context: Context, bell: Bell, seconds: float, act: Callable[[Context, Bell], None]) -> None:
    while not context.stopping.wait(seconds):
        once(context, bell, act)


def once(context: Context, bell: Bell, act: Callable[[Context, Bell], None]) -> None:
    try:
        act(context, bell)
    except SQLAlchemyError as error:
        log.warning("%s could not reach the database (%s)", act.__name__, type(error).__name__)
    except Exception:  # the next round may do better; a round that ended its thread would never come again
        log.exception("%s failed", act.__name__)


def recover_restores(context: Context, _bell: Bell) -> None:
    restores.recover(context)


def sweep(context: Context, bell: Bell) -> None:
    with read_only(), context.sessions.begin() as session:
        if leases.nothing_to_sweep(session):
            return
    with context.sessions.begin() as session:
        ids = leases.sweep(session)
    if ids:
        bell.ring(ids)


def clean_up_abandoned(context: Context, _bell: Bell) -> None:
    """A cancelled job whose worker died is only said to have stopped once nothing of it is left."""
    with read_only(), context.sessions.begin() as session:
        abandoned = leases.list_abandoned(session)
    for job in abandoned:
        try:
            remove_rests(context, job)
        except StorageError as error:
            log.warning("what is left of the cancelled job %s stays for now: %s", job.id, error)
            continue
        with context.sessions.begin() as session:
            leases.acknowledge(session, job.id, job.lease_owner)


def ask_for_reconciliation(context: Context, bell: Bell) -> None:
    with read_only(), context.sessions.begin() as session:
        if not reconcile.wanted(session):
            return
    with context.sessions.begin() as session:
        reconcile.request(session)


def fold_counts(context: Context, _bell: Bell) -> None:
    with read_only(), context.sessions.begin() as session:
        if not counts.worth_folding(session):
            return
    with context.sessions.begin() as session:
        counts.fold(session)


def ask_for_cleanup(context: Context, _bell: Bell) -> None:
    with read_only(), context.sessions.begin() as session:
        if not retention.wanted(session):
            return
    with context.sessions.begin() as session:
        retention.request(session)


def count_files(context: Context, _bell: Bell) -> None:
    """What the stored files and the backups amount to, for the portal's health: by one worker and once an hour, since each is listed."""
    count(context, context.config.storage_url, lambda: (("", size) for size in context.storage.sizes()))
    count(context, storage_usage.of_backups(context.config.backup_dir), context.vault.sizes, parts=tuple(Part))


def count(context: Context, place: str, sizes: Callable[[], Iterator[tuple[str, int]]], parts: tuple[str, ...] = ()) -> None:
    """All of a place together, and each of its parts."""
    with read_only(), context.sessions.begin() as session:
        if not storage_usage.wanted(session, place):
            return
    with context.sessions.begin() as session:
        if not storage_usage.claim(session, place):
            return
    found = {part: [0, 0] for part in ("", *parts)}
    try:
        for part, size in sizes():
            for each in {"", part}:
                found[each][0] += 1
                found[each][1] += size
            if context.stopping.is_set():
                return
    except StorageError as error:
        log.warning("the stored files could not be counted: %s", error)
        with context.sessions.begin() as session:
            storage_usage.give_up(session, place)
        return
    with context.sessions.begin() as session:
        for part, (files, size) in found.items():
            storage_usage.note(session, f"{place}{part}", files=files, size=size)


def ask_for_verification(context: Context, _bell: Bell) -> None:
    with read_only(), context.sessions.begin() as session:
        if not checks.wanted(session):
            return
    with context.sessions.begin() as session:
        checks.request(session)


def ask_for_backup(context: Context, _bell: Bell) -> None:
    every = timedelta(hours=context.config.backup_every_hours)
    if not every:
        return
    with read_only(), context.sessions.begin() as session:
        backup_type = automatic.wanted(session, context.vault, every)
    if backup_type is None:
        return
    with suppress(IntegrityError), context.sessions.begin() as session:  # another worker asked a moment before
        automatic.request(session, backup_type, include_uploads=context.config.backup_uploads)


def tell_of_backups(context: Context, _bell: Bell) -> None:
    """Told by mail when backups that are made by themselves come to nothing, once, and once more when they are well again."""
    every = timedelta(hours=context.config.backup_every_hours)
    if not every:
        return
    with read_only(), context.sessions.begin() as session:
        if not alarm.wanted(session, context.vault, every):
            return
    with context.sessions.begin() as session:
        alarm.tell(session, context.vault, every)


def tidy(context: Context, _bell: Bell) -> None:
    """Forget what is over: sessions, tries to sign in, answers kept for retries, old minutes, work folders of this machine."""
    for forget in (forget_old, idempotency.purge, fold_old):
        with context.sessions.begin() as session:
            forget(session)
    remove_left_folders(context)
    restores.forget_old(context)
