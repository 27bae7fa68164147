from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from adapters.backups.catalog import UNFINISHED
from adapters.backups.pgbackrest import examining, live, side
from adapters.backups.pgbackrest.live import Pinned, Server
from adapters.backups.pgbackrest.moments import Moments
from adapters.backups.pgbackrest.programs import Account, Programs
from adapters.backups.pgbackrest.repository import Repository, Stored
from adapters.backups.pgbackrest.restoring import Restoring
from adapters.backups.pgbackrest.side import RecoveryEnded, server_programs
from adapters.backups.postgres import DumpVault, Tables, being_read, check_contents, connected
from adapters.backups.sealing import Key
from adapters.backups.vault import FolderVault
from domain.backups.errors import BackupCorrupt, BackupKeyMismatch, EngineMismatch, EngineUnavailable
from domain.backups.manifest import BackupType, Engine, Manifest
from domain.backups.retention import surplus
from domain.backups.vault import Archiving, Finding, Progress, Span, Wish
from domain.db import driver_url, now
from domain.errors import DomainError

log = logging.getLogger(__name__)

USUAL = (Path("/etc/pgbackrest/pgbackrest.conf"), Path("/etc/pgbackrest.conf"))
SILENT = "The database does not answer: look at DATABASE_URL."
OLDEST_MAJOR = 15  # the first with pg_backup_start and pg_checkpoint, which the setup grants
ARCHIVED_WITHIN = 60.0  # seconds that an operation waits for the archive
GONE = "It is not in pgBackRest's repository any more."
UNREAD = "pgbackrest"  # for the fingerprint of a passphrase that cannot be read here
NOT_READ_YET: dict[str, Any] = {"schema_revision": "", "audit_sequence": 0, "audit_hash": "", "row_counts": {}, "snapshot_sha256": ""}
STORED = 0.7  # of the cluster, at most, for what is kept
ROOM = 256_000_000  # for the write-ahead log that is replayed, and what a server makes of its own


class PgBackRestVault(FolderVault):
    """Backups that pg_dump made before are listed, verified and restored as such."""

    engine = Engine.POSTGRESQL
    safety = BackupType.INCREMENTAL  # a full one copies the whole cluster

    def __init__(
        self,
        folder: Path,
        key: Key | None,
        app_version: str,
        database_url: str,
        *,
        stanza: str,
        config: Path | None = None,
        restore_config: Path | None = None,
        user: str | None = None,
    ):
        super().__init__(folder, key, app_version)
        self.dumps = DumpVault(folder, key, app_version, database_url)
        self.url = self.dumps.url
        self.stanza, self.config, self.restore_config, self.user = stanza, config, restore_config, user

    @cached_property
    def programs(self) -> Programs:
        return Programs(Account.named(self.user), self.folder)

    @cached_property
    def repository(self) -> Repository:
        return Repository(self.programs, self.stanza, self.config, self.restore_config)

    @cached_property
    def restoring(self) -> Restoring:
        return Restoring(self.programs, self.repository, self.dumps)

    @cached_property
    def moments(self) -> Moments:
        return Moments(self.repository, self.catalog, self.url)

    @cached_property
    def passphrase_fingerprint(self) -> str | None:
        """Of what pgBackRest encrypts with, where it can be read here; slow to guess from."""
        found = self.option("repo1-cipher-pass")
        return found and hashlib.pbkdf2_hmac("sha256", found.encode(), b"portal backups", 100_000).hex()[:16]

    def option(self, name: str) -> str | None:
        """Of pgBackRest's own, where it says it."""
        if found := os.environ.get(f"PGBACKREST_{name.replace('-', '_').upper()}"):
            return found
        for file in (self.config, self.restore_config) if self.config else USUAL:
            with suppress(OSError):
                if file and (match := re.search(rf"^\s*{name}\s*=\s*(\S.*?)\s*$", file.read_text(), re.MULTILINE)):
                    return match[1]
        return None

    def database_bytes(self) -> int:
        return self.dumps.database_bytes()

    def bytes_needed(self) -> int:
        """What is restored to be tried, and, where the repository is on the same disk, what is stored."""
        try:
            cluster = live.cluster_bytes(self.url)
        except SQLAlchemyError:
            raise EngineUnavailable(SILENT) from None
        beside = self.option("repo1-path")
        with suppress(OSError):
            if beside and Path(beside).stat().st_dev == self.folder.stat().st_dev:
                return int(cluster * (1 + STORED)) + ROOM
        return cluster + ROOM

    def check_wish(self, wish: Wish) -> None:
        self.check_archives(self.server())
        self.repository.contents()
        super().check_wish(wish)

    def server(self) -> Server:
        """The live one, and the programs to run one like it are here. Raises EngineUnavailable."""
        try:
            server = live.examine(self.url)
        except SQLAlchemyError:
            raise EngineUnavailable(SILENT) from None
        if server.major < OLDEST_MAJOR:
            needed = f"This needs PostgreSQL {OLDEST_MAJOR} or newer, and the server is {server.version}"
            raise EngineUnavailable(f"{needed}: unset PGBACKREST_STANZA.")
        server_programs(server.major)
        return server

    def check_archives(self, server: Server) -> None:
        if not server.archives:
            raise EngineUnavailable("The server does not archive: set archive_mode=on and archive_command, and restart it once.")
        if server.failing:
            raise EngineUnavailable("The server's archive_command fails, and no backup is whole without the log: see the server's own log.")

    def remove_rests(self) -> None:
        """Processes first; then what the repository has of backups that were never finished; then the folders."""
        unfinished = [folder for folder in self.folder.glob(f"*{UNFINISHED}") if folder.is_dir()]
        if unfinished:
            self.programs.end_rests()
            side.end_rests(self.programs, unfinished)
            with suppress(DomainError):
                for folder in unfinished:
                    self.forget(UUID(folder.name.removesuffix(UNFINISHED)))
        super().remove_rests()

    def forget(self, backup_id: UUID) -> None:
        """Take a backup that is not in the catalog out of the repository."""
        found = self.repository.contents().made_for(backup_id)
        if found is not None and not self.catalog.document(backup_id).exists():
            self.repository.expire(found.label)

    def make(self, wish: Wish, parent: Manifest | None, draft: Path, progress: Progress) -> Manifest:
        server = self.server()
        self.check_archives(server)
        started_at = now()
        try:
            self.repository.back_up(
                BackupType.FULL if parent is None else BackupType.INCREMENTAL,
                wish.id,
                lambda percent: progress(5 + 0.5 * percent, "Copying the cluster"),
            )
            made = self.repository.contents().made_for(wish.id)
            if made is None:
                raise EngineUnavailable("pgBackRest said that it was done, and has no such backup.")
            with live.pinned(self.url, progress) as moment, being_read(moment.connection) as read:

                def with_contents(manifest: Manifest) -> Manifest:
                    tables = read(lambda: progress(91, "Reading what is there"))
                    return replace(manifest, **facts(moment.connection, tables if moment.exact else {}))

                self.archive_until_now(progress)
                manifest = self.described(wish, parent, server, made, moment, started_at)
                return replace(self.prove(manifest, draft, progress, with_contents), finished_at=now())
        except BaseException:
            with suppress(DomainError):
                self.forget(wish.id)
            raise

    def described(self, wish: Wish, parent: Manifest | None, server: Server, made: Stored, at: Pinned, started_at: datetime) -> Manifest:
        """All but what is in it, which is still being read."""
        return Manifest(
            id=wish.id,
            type=wish.type,
            effective_type=made.type,
            engine=self.engine,
            started_at=started_at,
            snapshot_at=at.moment,
            finished_at=now(),
            app_version=self.app_version,
            engine_version=server.version,
            database_bytes=self.database_bytes(),
            files=(),
            parent_id=None if parent is None else parent.id,
            description=wish.description,
            created_by=wish.created_by,
            job_id=wish.job_id,
            key_fingerprint=self.fingerprint,
            archive={
                "tool": "pgbackrest",
                "stanza": self.stanza,
                "label": made.label,
                "archive_id": made.archive_id,
                "system_id": made.system_id,
                "major": server.major,
                "piece_bytes": server.piece_bytes,
                "lsn": at.lsn,
                "exact": at.exact,
                "superuser": server.superuser,
                "bytes": made.bytes,
                "cluster_bytes": made.cluster_bytes,
            },
            **NOT_READ_YET,
        )

    def check(self, manifest: Manifest, work: Path, progress: Progress) -> str:
        if manifest.archive is None:
            return self.dumps.check(manifest, work, progress)
        self.check_stored(manifest)
        damage = self.repository.verify(lambda line: progress(5, "Reading all that is stored"))
        for each in self.chain(manifest):
            label = (each.archive or {}).get("label", "")
            if label in damage:
                raise BackupCorrupt(f"What is stored of {label} is damaged: {damage[label]}.", file=label)
        checked = self.prove(manifest, work, progress).verified
        assert checked is not None
        log_damage = damage.get(manifest.archive["archive_id"])
        return checked.what + (f"; but what the archive has of the log is damaged ({log_damage})" if log_damage else "")

    def prove(
        self, manifest: Manifest, work: Path, progress: Progress, with_contents: Callable[[Manifest], Manifest] = lambda manifest: manifest
    ) -> Manifest:
        """Restore it aside, as of its own moment, and let a server show each table. The manifest then says what was seen.

        `with_contents` says at the end what the tables should hold, where the manifest does not know it from the beginning.
        """
        try:
            with (
                self.restoring.restored(manifest, own_moment(manifest), work, progress) as url,
                connected(url) as connection,
                being_read(connection) as read,
            ):
                sound = self.restoring.look_through(url, manifest, progress)
                found = read(lambda: progress(90, "Comparing"))
                manifest = with_contents(manifest)
                if manifest.contents:
                    check_contents(manifest, found)
                    seen = "each table equal to what was there, row by row"
                else:
                    manifest = replace(manifest, **facts(connection, found))
                    seen = "each table read, though not compared, since there was no moment without a writer"
        except RecoveryEnded:
            raise BackupCorrupt("The archive does not have all of the log up to the backup's own moment.") from None
        return manifest.with_verification(True, f"restored into a server of its own: {seen}; {sound}", now())

    def archive_until_now(self, progress: Progress) -> None:
        """Whatever was committed until now is in the archive when this returns, with something later to stop at."""
        live.commit_something(self.url)
        self.repository.check(ARCHIVED_WITHIN, lambda line: progress(70, "Archiving the log"))

    def stage(self, manifest: Manifest, moment: datetime | None, url: str, progress: Progress) -> datetime:
        if manifest.archive is None:
            return self.dumps.stage(manifest, moment, url, progress)
        self.check_stored(manifest)
        later = None if moment == manifest.snapshot_at else moment
        base = self.moments.base_for(manifest, later) if later else manifest
        self.check_space()
        if later:
            with suppress(EngineUnavailable):  # what was archived long ago can be reached all the same
                self.archive_until_now(progress)
        with self.catalog.unfinished(uuid4()) as work:
            try:
                with self.restoring.restored(base, moment_of(later) if later else own_moment(manifest), work, progress) as source:
                    self.restoring.look_through(source, base, progress)
                    self.copy(None if later else manifest, base, source, make_url(driver_url(url)), progress)
            except RecoveryEnded:
                if later is None:
                    raise BackupCorrupt("The archive does not have all of the log up to the backup's own moment.") from None
                raise self.moments.gap(later) from None
        return later or manifest.snapshot_at

    def copy(self, manifest: Manifest | None, base: Manifest, source: URL, target: URL, progress: Progress) -> None:
        """Then compare: with the manifest where there is one, else with what was copied."""
        with connected(source) as connection, being_read(connection) as read:
            self.restoring.copy(source, target, base, progress)
            before = read(lambda: progress(95, "Reading what is there"))
        with connected(target) as connection, being_read(connection) as read:
            after = read(lambda: progress(97, "Comparing"))
        if manifest is not None:
            check_contents(manifest, after)
        elif before != after:
            raise BackupCorrupt("Copied into the new database, the tables are not what they were.")

    def coverage(self) -> Sequence[Span]:
        """Empty where pgBackRest cannot be asked: nothing could be restored by it either."""
        with suppress(EngineUnavailable, BackupKeyMismatch):
            return self.moments.coverage()
        return []

    def archiving(self) -> Archiving:
        with suppress(EngineUnavailable, BackupKeyMismatch):
            return self.moments.archiving()
        return Archiving(False, None)

    def check_moment(self, manifest: Manifest, moment: datetime | None) -> None:
        if manifest.archive is None:
            self.dumps.check_moment(manifest, moment)
            return
        self.check_fit(manifest)
        server = self.server()
        if server.major != manifest.archive["major"]:
            raise EngineMismatch(f"This is a backup of PostgreSQL {manifest.archive['major']}, and the server is {server.version}.")
        self.moments.check(manifest, moment, server)

    @property
    def fingerprint(self) -> str | None:
        if not self.repository.contents().encrypted:
            return None
        return self.passphrase_fingerprint or UNREAD

    def check_stored(self, manifest: Manifest) -> None:
        if manifest.archive is None:
            self.dumps.check_stored(manifest)
        else:
            super().check_stored(manifest)

    def check_fit(self, manifest: Manifest) -> None:
        if manifest.archive is None or manifest.engine is not self.engine:
            self.dumps.check_fit(manifest)
            return
        if None not in (fingerprints := {manifest.key_fingerprint, self.passphrase_fingerprint}) and len(fingerprints - {UNREAD}) > 1:
            raise BackupKeyMismatch(
                "The backup was made with another passphrase than pgBackRest has here: set repo1-cipher-pass to the one "
                f"whose fingerprint is {manifest.key_fingerprint}."
            )
        label = manifest.archive["label"]
        found = self.repository.contents().labelled(label)
        if found is None or found.backup_id != str(manifest.id):
            raise BackupCorrupt(GONE, file=label)
        if found.damaged:
            raise BackupCorrupt(f"{label}: pgBackRest found damaged pages when it copied them.", file=label)

    def trusted_chain(self, manifest: Manifest) -> Sequence[Manifest]:
        return super().trusted_chain(manifest) if manifest.archive else ()

    def parent_for(self, wish: Wish) -> tuple[Manifest | None, str | None]:
        """pgBackRest lets each incremental backup stand on the newest in the repository, whoever made that."""
        parent, note = super().parent_for(wish)
        if parent is None or parent.archive is None:
            return None, note
        if self.repository.contents().backups[-1].label != parent.archive["label"]:
            return None, "The newest backup in the repository is none that the portal verified: this one begins anew."
        return parent, None

    def remove_surplus(self) -> Sequence[Manifest]:
        """From the repository first, then from the list. What somebody else took out of the repository is listed as that."""
        removed = []
        try:
            for manifest in surplus(self.list()):
                if manifest.archive and self.repository.contents().labelled(manifest.archive["label"]):
                    self.repository.expire(manifest.archive["label"])
                self.catalog.remove(manifest.id)
                removed.append(manifest)
            stored = self.repository.contents()
            for manifest in self.list():
                if manifest.verified and manifest.verified.ok and manifest.archive and not stored.labelled(manifest.archive["label"]):
                    self.catalog.write(manifest.with_verification(False, GONE, now()))
            self.repository.trim(max(1, sum(1 for each in stored.backups if each.type is BackupType.FULL)))
        except DomainError as error:  # the backup that was just made is no worse for it
            log.warning("old backups stay for now: %s", error.message)
        return removed

    def examine_engine(self) -> Sequence[Finding]:
        try:
            server = self.server()
            stored = self.repository.contents()
        except DomainError as error:
            return [Finding("backup engine", False, error.message, "See docs/backups-postgresql.md")]
        known = {str(manifest.id) for manifest in self.list()}
        return [examining.stanza(self.stanza, server, stored, known), examining.archive(self.stanza, server, stored)]

    def examine_key(self) -> Finding:
        try:
            encrypted = self.repository.contents().encrypted
        except DomainError as error:
            return Finding("backup key", False, error.message, "Correct repo1-cipher-pass")
        return examining.key(encrypted, self.passphrase_fingerprint, self.key.fingerprint if self.key else None)

    def examine_space(self) -> Finding:
        try:
            return super().examine_space()
        except EngineUnavailable as error:
            return Finding("backup space", False, error.message, "Look at DATABASE_URL")


def own_moment(manifest: Manifest) -> Sequence[str]:
    """By its place in the log: the clock could not tell two changes of one microsecond apart. Along the time line that it was made on:
    that the cluster was taken back behind it since, and goes on along another, changes nothing of it."""
    assert manifest.archive is not None
    return ["--type=lsn", f"--target={manifest.archive['lsn']}", "--target-exclusive", "--target-timeline=current"]


def moment_of(moment: datetime) -> Sequence[str]:
    return ["--type=time", f"--target={moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00"]


def facts(connection: Connection, found: Tables) -> dict[str, Any]:
    """What a manifest says of what is in a backup, as a server on it shows it."""
    (revision,) = connection.execute(text("SELECT version_num FROM alembic_version")).one()
    sequence, head = connection.execute(text("SELECT sequence, hash FROM audit_head")).one()
    digests = {table: digest for table, (_, digest) in found.items()}
    return {
        "schema_revision": revision,
        "audit_sequence": sequence,
        "audit_hash": head,
        "row_counts": {table: rows for table, (rows, _) in found.items()},
        "contents": digests,
        "snapshot_sha256": hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest(),
    }
