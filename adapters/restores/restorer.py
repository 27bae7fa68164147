"""The course of a restore, the same on both engines.

    checked -> safety backup -> put together beside the live data -> migrated -> carried forward
    -> nobody writes: what came late is carried, and the swap -> old data kept for a while

Before the swap nothing live has changed, so whatever goes wrong is answered by throwing away what was put together. That the swap came to
be is said by a row within the data themselves, so no crash can leave it in doubt.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, create_engine, event, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

import migrations
from adapters.backups.lock import usable
from adapters.backups.vault import FolderVault, damage_said, full_disk_said, lost_database_said, megabytes
from adapters.databases import take_time
from adapters.restores.journal import Journal, journals, remove_rests
from adapters.restores.swap import Swap
from domain.backups.errors import BackupCorrupt, DatabaseDamaged, InsufficientStorage, OperationInProgress, SchemaNewer, UploadsUnreadable
from domain.backups.manifest import Manifest
from domain.backups.vault import Progress, UploadsReport, Wish
from domain.db import driver_url, make_brief_engine, make_engine, now, read_only
from domain.errors import DomainError
from domain.jobs.models import Job
from domain.jobs.periodic import UNFINISHED
from domain.jobs.types import RESTORE
from domain.restores.carrying import Carried, Changes, carry, carry_again, prepare
from domain.restores.commands import KEPT_FOR, Facts, enter
from domain.restores.errors import NothingToRollBack, RestoreFailed
from domain.restores.models import Restore
from domain.restores.restorer import Order, Side

log = logging.getLogger(__name__)

SPARE = 1.2
LOOK_SECONDS = 5
WITHOUT_FILES = "To restore the database alone, leave the stored files out (include_uploads false, --without-uploads)."
NOTE_TRIES = 5


@dataclass
class Last:
    """What is done while nobody writes."""

    order: Order
    started_at: datetime
    reached_at: datetime
    safety_backup_id: UUID | None
    carried: Carried

    def carry(self, live: Connection, staged: Connection, changes: Changes | None) -> None:
        self.carried = carry_again(live, staged, self.carried, changes)

    def finish(self, staged: Connection) -> None:
        with Session(staged, expire_on_commit=False) as session:
            enter(session, self.order, Facts(self.started_at, self.reached_at, self.safety_backup_id, self.carried))
            session.commit()


class LiveRestorer:
    """`forget_cached` throws away what was made from the replaced data and is kept elsewhere."""

    def __init__(self, database_url: str, folder: Path, vault: FolderVault, swap: Swap, forget_cached: Callable[[], None]):
        self.url, self.folder, self.vault, self.swap, self.forget_cached = driver_url(database_url), folder, vault, swap, forget_cached

    def check(self, manifest: Manifest, moment: datetime | None) -> None:
        if self.vault.busy():
            raise OperationInProgress
        self.check_alone(manifest, moment)

    def check_alone(self, manifest: Manifest, moment: datetime | None) -> None:
        self.vault.check_moment(manifest, moment)
        check_schema(manifest)
        self.check_space()

    def check_space(self) -> None:
        need, free = int((self.swap.bytes_needed() + self.vault.bytes_needed()) * SPARE), self.vault.free_bytes()
        if free < need:
            raise InsufficientStorage(
                f"A restore needs {megabytes(need)} MB free in BACKUP_DIR, and {megabytes(free)} MB are: free some, or remove old backups.",
                need=need,
                free=free,
                path=str(self.folder),
            )

    def restore(self, order: Order, progress: Progress, past_return: Callable[[], None]) -> None:
        assert order.backup_id is not None
        manifest = self.vault.get(order.backup_id)
        with full_disk_said(), lost_database_said(), self.vault.one_operation():
            self.recover_alone()
            progress(2, "Checking key, space and schema")
            self.check_alone(manifest, order.moment)
            self.check_readable(manifest, order, scaled(progress, 2, 3))

            def put_together() -> tuple[str, datetime]:
                url = self.swap.make_stage(order.id)
                reached = self.vault.stage(manifest, order.moment, url, scaled(progress, 25, 60))
                if order.moment is None:
                    compare_counts(manifest, url)
                return url, reached

            self.exchange(order, put_together, progress, past_return)

    def check_readable(self, manifest: Manifest, order: Order, progress: Progress) -> None:
        """All that will be read, before anything is begun: the stored files too, which come back when the restored data are live."""
        self.vault.check_readable(manifest, order.moment, progress)
        if not order.uploads:
            return
        try:
            self.vault.check_lacking(manifest, progress)
        except (BackupCorrupt, UploadsUnreadable) as error:
            raise type(error)(f"{error.message} {WITHOUT_FILES}", **error.details) from None

    def roll_back(self, order: Order, progress: Progress, past_return: Callable[[], None]) -> None:
        undone = order.undone_id
        assert undone is not None
        with full_disk_said(), lost_database_said(), self.vault.one_operation():
            self.recover_alone()
            restore = self.row(undone)
            if restore is None or restore.rolled_back_at is not None or not self.can_roll_back(undone):
                raise NothingToRollBack("The data that this restore replaced are not kept any more, or were put back already.")
            self.check_space()
            self.exchange(order, lambda: (self.swap.stage_previous(order.id, undone), restore.swapped_at), progress, past_return)
            self.swap.drop_previous(undone)

    def exchange(
        self,
        order: Order,
        put_together: Callable[[], tuple[str, datetime]],
        progress: Progress,
        past_return: Callable[[], None],
    ) -> None:
        """All that follows once it is clear what is to become live."""
        started_at = now()
        journal = Journal(self.folder / str(order.id))
        journal.step("begun", **order_facts(order))
        try:
            with full_disk_said(), lost_database_said(), damage_said():
                journal.step("safety")
                safety = self.safety_backup(order, scaled(progress, 3, 25))
                journal.step("putting together")
                url, reached = put_together()
                journal.step("migrating")
                progress(62, "Migrating")
                migrations.upgrade(url)
                journal.step("carrying")
                progress(65, "Comparing with the live data")
                mark, carried = self.carry(url, scaled(progress, 65, 88))
                check_whole(url)
                progress(89, "Waiting for the swap")
                past_return()
                journal.step("swapping")

                last = Last(order, started_at, reached, safety.id if safety else None, carried)
                frozen = self.swap.swap(order.id, url, mark, last, whole=safety is not None)
            journal.step("swapped", frozen_ms=frozen)
        except BaseException as error:
            self.give_up(order, journal, error)
            raise
        self.note(order.id, frozen_ms=frozen)
        self.conclude(order.id, journal, scaled(progress, 92, 99))

    def safety_backup(self, order: Order, progress: Progress) -> Manifest | None:
        """None where the live database is damaged: whoever restores over that is in need of it all the more."""
        what = "restore" if order.undone_id is None else "rollback"
        wish = Wish(uuid4(), self.vault.safety, f"Safety copy before a {what}", order.requested_by)
        try:
            return self.vault.create_alone(wish, progress, removing=False)  # the oldest may be the one that is to be restored
        except DatabaseDamaged as error:
            log.error("restore %s goes on without a safety backup: %s", order.id, error.message)
            return None

    def carry(self, url: str, progress: Progress) -> tuple[int, Carried]:
        engine = taking_time(make_engine(url))
        try:
            with engine.begin() as staged:
                prepare(staged)
            with (
                self.swap.reading() as reading,
                engine.connect() as staged,
                self.swap.comparing(url, reading, staged) as changes,
                staged.begin(),
            ):
                done = 0

                def told(table: str) -> None:
                    nonlocal done
                    done += 1
                    progress(min(done * 3, 100), f"Carrying {table} forward")

                return reading.mark, carry(reading.connection, staged, changes, told)
        finally:
            engine.dispose()

    def give_up(self, order: Order, journal: Journal, error: BaseException) -> None:
        """Throw away what was put together, unless it has become live: then, or where that cannot be asked, `recover` ends it."""
        try:
            swapped = self.row(order.id) is not None
        except SQLAlchemyError:
            log.error("restore %s: the database does not answer; `flask backup recover` says on which side of the swap it stands", order.id)
            return
        if swapped or not self.dropped_stage(order.id):
            return
        with suppress(OSError):
            journal.step("failed", reason=f"{type(error).__name__}: {error}"[:500])

    def dropped_stage(self, restore_id: UUID) -> bool:
        """Where that cannot be done now, the journal must not end: whoever recovers tries again."""
        try:
            self.swap.drop_stage(restore_id)
        except Exception as error:  # noqa: BLE001  -- of the disk or of the database: another one is being told already
            log.warning("restore %s: what was put together is left for the next start to remove: %s", restore_id, error)
            return False
        return True

    def conclude(self, restore_id: UUID, journal: Journal, progress: Progress) -> None:
        """The swap is made: what is left can be done again by whoever comes after a crash."""
        dropped = self.dropped_stage(restore_id)
        self.forget_cached()
        if journal.wants_uploads:
            journal.step("bringing back files")
            self.bring_back_files(restore_id, progress)
        if dropped:
            journal.step("done")

    def bring_back_files(self, restore_id: UUID, progress: Progress) -> None:
        """Files that the storage lacks are added, none is changed; what cannot be brought back is told, and does not undo the restore."""
        row = self.row(restore_id)
        if row is None or row.backup_id is None or row.uploads is not None:
            return
        try:
            manifest = self.vault.get(row.backup_id)
            if manifest.uploads is None:
                return
            report = asdict(self.vault.restore_uploads(manifest, progress))
        except (DomainError, OSError) as error:
            report = {**asdict(UploadsReport()), "problem": str(error)}
        self.note(restore_id, uploads=report)

    def note(self, restore_id: UUID, **facts: Any) -> None:
        """Right after a swap everybody connects at once, and it may take more than one try."""
        engine = make_engine(self.url)
        try:
            for left in reversed(range(NOTE_TRIES)):
                try:
                    with Session(engine) as session, session.begin():
                        session.execute(update(Restore).where(Restore.id == restore_id).values(**facts))
                    break
                except SQLAlchemyError as error:
                    log.warning("restore %s is done, and %s could not be noted: %s", restore_id, " and ".join(facts), error)
                if left:
                    time.sleep(1)
        finally:
            engine.dispose()

    def was_begun(self, restore_id: UUID) -> bool:
        return next(Journal(self.folder / str(restore_id)).steps(), None) is not None

    def recover(self) -> Sequence[Side]:
        with full_disk_said(), lost_database_said(), self.vault.one_operation():
            return self.recover_alone()

    def recover_alone(self) -> list[Side]:
        found: list[Side] = []
        for journal in journals(self.folder):
            if journal.ended:
                continue
            step, swapped = journal.last, self.row(journal.restore_id) is not None
            if swapped:
                self.conclude(journal.restore_id, journal, lambda percent, stage: None)
            else:
                self.swap.drop_stage(journal.restore_id)
                journal.step("failed", reason=f"its process died while {step}")
            found.append(Side(journal.restore_id, swapped, step))
        return found

    def row(self, restore_id: UUID) -> Restore | None:
        """The restore as the live data know it: it is there exactly if the swap came to be."""
        engine = make_brief_engine(self.url, LOOK_SECONDS)
        try:
            with read_only(), Session(engine, expire_on_commit=False) as session:
                return session.get(Restore, restore_id)
        finally:
            engine.dispose()

    def can_roll_back(self, restore_id: UUID) -> bool:
        with lost_database_said(), usable(self.folder):
            return self.swap.previous_url(restore_id) is not None

    def forget_old(self) -> Sequence[UUID]:
        with self.vault.one_operation():
            engine = make_brief_engine(self.url, LOOK_SECONDS)
            try:
                with read_only(), Session(engine) as session:
                    past = session.scalars(select(Restore.id).where((Restore.kept_until < now()) | Restore.kept_until.is_(None))).all()
                    unfinished = session.scalars(select(Job.id).where(Job.type == RESTORE.name, Job.status.in_(UNFINISHED))).all()
            finally:
                engine.dispose()
            forgotten = [restore_id for restore_id in past if self.can_roll_back(restore_id)]
            for restore_id in forgotten:
                self.swap.drop_previous(restore_id)
            self.forget_journals(unfinished)
            return forgotten

    def forget_journals(self, unfinished: Collection[UUID]) -> None:
        """Those that ended as long ago as replaced data are kept, but for one whose job may yet be handed to a worker: that it was begun
        is why the job is not run again."""
        remove_rests(self.folder)
        for journal in journals(self.folder):
            ended_at = journal.ended_at
            if ended_at is None or ended_at > now() - KEPT_FOR or journal.restore_id in unfinished:
                continue
            if not self.can_roll_back(journal.restore_id):
                journal.remove()


def order_facts(order: Order) -> dict[str, Any]:
    """For whoever ends it after a crash."""
    ids = {"backup_id": order.backup_id, "undone_id": order.undone_id}
    return {**{name: value and str(value) for name, value in ids.items()}, "uploads": order.uploads}


def check_schema(manifest: Manifest) -> None:
    if manifest.schema_revision not in migrations.revisions():
        raise SchemaNewer(
            f"The backup was made by version {manifest.app_version} of the portal, whose schema {manifest.schema_revision} this version "
            "does not know: install that version or a newer one, then restore."
        )


def compare_counts(manifest: Manifest, url: str) -> None:
    """Each table has as many rows as were backed up."""
    engine = plain_engine(url)
    try:
        with engine.connect() as connection:
            found = {table: connection.execute(text(f'SELECT count(*) FROM "{table}"')).scalar_one() for table in manifest.row_counts}
    except SQLAlchemyError as error:
        raise RestoreFailed(f"What was put together cannot be read: {type(error).__name__}.") from None
    finally:
        engine.dispose()
    wrong = sorted(table for table, rows in manifest.row_counts.items() if found[table] != rows)
    if wrong:
        raise RestoreFailed(f"These tables have not as many rows as were backed up: {', '.join(wrong)}.")


def check_whole(url: str) -> None:
    """What is about to become live opens as the portal opens it, has its schema, and each row has its parents."""
    engine = make_engine(url)
    try:
        with read_only(), engine.connect() as connection:
            revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
            if revision != migrations.newest():
                raise RestoreFailed(f"The restored data have the schema {revision} and not {migrations.newest()}.")
            if engine.dialect.name == "sqlite":
                orphans = connection.execute(text("PRAGMA foreign_key_check")).first()
                if orphans is not None:
                    raise RestoreFailed(f"Rows of {orphans[0]} have lost what they belong to in {orphans[2]}.")
                said = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
                if said != "ok":
                    raise RestoreFailed(f"The restored database is damaged: {said}")
    finally:
        engine.dispose()


def plain_engine(url: str) -> Engine:
    """For SQLite without changing anything of the file, which `make_engine` would."""
    return taking_time(create_engine(make_url(driver_url(url)), hide_parameters=True))


def taking_time(engine: Engine) -> Engine:
    """Tables may be large, and while one is read there is nothing to write."""
    if engine.dialect.name == "postgresql":
        event.listen(engine, "connect", take_time)
    return engine


def scaled(progress: Progress, first: float, last: float) -> Progress:
    return lambda percent, stage: progress(first + (last - first) * min(percent, 100) / 100, stage)
