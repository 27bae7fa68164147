"""The archive of a SQLite database: any moment put together again, and what is refused."""

import random
import shutil
import signal
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pytest

from adapters.backups.archive.moments import micros_now
from adapters.backups.archive.watching import LostTrack, Watch, watching
from domain.backups.errors import BackupCorrupt, BackupKeyMismatch, PitrGap, PitrOutOfRange, TargetBeforeBackup
from tests.adapters.backups.conftest import FULL, INCREMENTAL, new_key, silent, vault_of, wish
from tests.archives import Writer, add_oracle, between, start_archiver, times_in
from tests.waiting import wait_until

pytestmark = pytest.mark.processes
with_a_key = pytest.mark.parametrize("key", ["with a key"], indirect=True)


@pytest.fixture
def database(sqlite_database) -> Path:
    file = Path(sqlite_database.renew().removeprefix("sqlite:///"))
    add_oracle(file)
    return file


@pytest.fixture
def vault(database, folder, key):
    return vault_of(f"sqlite:///{database}", folder, key)


@pytest.fixture
def archiver(database, folder, key, tmp_path, vault):
    """Starts the archiver, and waits until it watches."""
    started = []

    def start():
        before = vault.archiving().until
        started.append(start_archiver(database, folder, tmp_path / "backup.key" if key else None, tmp_path / "archiver.log"))
        wait_until(lambda: vault.archiving().running and vault.archiving().until != before, "it watches", seconds=30)
        return started[-1]

    yield start
    for process in started:
        process.kill_group()


@pytest.fixture
def restored(vault, tmp_path):
    """The rows in a database as it was at a moment, and the moment that was reached."""
    count = iter(range(1000))

    def at(manifest, moment):
        file = tmp_path / f"restored-{next(count)}.db"
        vault.check_moment(manifest, moment)
        reached = vault.stage(manifest, moment, f"sqlite:///{file}", silent)
        assert manifest.snapshot_at <= reached <= (moment or reached)
        return times_in(file), reached

    return at


def add(database, *times):
    """Commit rows; answers a moment after that."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=30)) as connection:
        for at in times:
            connection.execute("INSERT INTO oracle (at, filler) VALUES (?, randomblob(3000))", (at,))
    return datetime.now(UTC)


def archived(vault, moment):
    """Wait until the archive goes as far; answers a moment at which all from before is in it."""
    return wait_until(lambda: (until := vault.archiving().until) > moment and until, "it is archived", seconds=30)


def segments(vault):
    return sorted((vault.folder / "wal").glob("*/*.wal.*"))


@with_a_key
def test_any_moment_since_the_backup_can_be_had_and_nothing_after_it(database, vault, archiver, restored):
    archiver()
    dice = random.Random(5)
    with Writer(database) as writer:
        wait_until(lambda: len(writer.committed) > 20, "it writes")
        manifest = vault.create(wish(), silent)
        count = len(writer.committed)
        wait_until(lambda: len(writer.committed) > count + 300, "it goes on", seconds=60)
        just_now = datetime.now(UTC)
        before = []
        for part in [1, *(dice.random() for _ in range(11))]:
            target = between(manifest.snapshot_at, just_now, part)
            rows, reached = restored(manifest, target)
            before.append((target - reached).total_seconds())
            assert writer.missing(target, rows) <= before[-1]
        assert median(before) < 5  # a busy machine may hold the archiver up now and then
        [span] = vault.coverage()
        assert span.start == manifest.snapshot_at
        assert span.end >= just_now


@with_a_key
def test_it_goes_on_from_incremental_backups_too_and_over_a_restore(database, vault, archiver, restored, tmp_path):
    archiver()
    full = vault.create(wish(FULL), silent)
    first = archived(vault, add(database, 1))
    incremental = vault.create(wish(INCREMENTAL), silent)
    assert incremental.parent_id == full.id
    second = archived(vault, add(database, 2))
    side = tmp_path / "side.db"
    vault.stage(full, first, f"sqlite:///{side}", silent)
    with closing(sqlite3.connect(side)) as source, closing(sqlite3.connect(database)) as live:
        source.backup(live)
    third = archived(vault, datetime.now(UTC))
    fourth = archived(vault, add(database, 4))
    with closing(sqlite3.connect(database)) as connection:  # one transaction that is copied in several pieces
        connection.executemany("INSERT INTO oracle (at, filler) VALUES (5, randomblob(3500))", [()] * 17_000)
        connection.commit()
    fifth = archived(vault, datetime.now(UTC))
    rows = [restored(full, moment)[0] for moment in (None, first, second, third, fourth)]
    assert rows == [[], [1], [1, 2], [1], [1, 4]]
    assert restored(incremental, fourth)[0] == [1, 4]
    assert restored(full, fifth)[0] == [1, 4, *[5] * 17_000]
    assert len(vault.coverage()) == 1


@with_a_key
def test_stopped_and_started_again_it_goes_on_where_it_ended(database, vault, archiver, restored, monkeypatch):
    """Nobody else has the database open then, so SQLite removes the log, and the next one is a new one."""
    monkeypatch.setattr("adapters.backups.archive.chain.LONGEST_LAG", 0)  # a test stops it for less than what passes for being late
    process = archiver()
    manifest = vault.create(wish(), silent)
    first = archived(vault, add(database, 1))
    assert process.stop() == 0
    assert not database.with_name(f"{database.name}-wal").exists()
    process = archiver()
    second = archived(vault, add(database, 2))
    assert [restored(manifest, moment)[0] for moment in (first, second)] == [[1], [1, 2]]
    process.stop()
    missed = add(database, 3)
    archiver()
    with pytest.raises((PitrGap, PitrOutOfRange)):
        restored(manifest, missed)
    later = vault.create(wish(INCREMENTAL), silent)
    fourth = archived(vault, add(database, 4))
    assert restored(later, fourth)[0] == [1, 2, 3, 4]
    with pytest.raises(PitrGap) as refused:
        restored(manifest, between(missed, later.snapshot_at, 0.5))
    assert len(refused.value.details["ranges"]) == 2
    assert refused.value.details["nearest_backup"] == str(later.id)
    assert len(vault.coverage()) == 2


@with_a_key
def test_moments_that_cannot_be_had_are_refused_with_what_can(database, vault, archiver):
    archiver()
    first, second = vault.create(wish(), silent), vault.create(wish(), silent)
    before = first.snapshot_at - timedelta(seconds=1)
    with pytest.raises(TargetBeforeBackup) as refused:
        vault.check_moment(second, between(first.snapshot_at, second.snapshot_at, 0.5))
    assert refused.value.details["use_backup_id"] == str(first.id)
    for moment in (before, datetime.now(UTC) + timedelta(hours=1)):
        with pytest.raises(PitrOutOfRange) as refused:
            vault.check_moment(first, moment)
        assert datetime.fromisoformat(refused.value.details["earliest"]) == first.snapshot_at


@with_a_key
def test_what_is_damaged_or_gone_is_refused_unless_there_is_a_way_around_it(database, vault, archiver, restored, tmp_path):
    process = archiver()
    manifest = vault.create(wish(), silent)
    archived(vault, add(database, 0))
    later = vault.create(wish(INCREMENTAL), silent)
    for number in range(1, 4):
        last = archived(vault, add(database, number))
    process.kill_group()
    files = segments(vault)
    assert len(files) > 3
    for number, spoil in enumerate((flip, cut, swap, Path.unlink)):
        kept = [file.read_bytes() for file in files]
        spoil(files[-2 - number % 2])
        with pytest.raises((BackupCorrupt, PitrGap, PitrOutOfRange)):
            restored(manifest, last)
        for file, content in zip(files, kept, strict=True):
            file.write_bytes(content)
    assert restored(manifest, last)[0] == [0, 1, 2, 3]
    spoilt = vault.catalog.files(later.id) / later.file("pages").name
    flip(spoilt)
    assert restored(manifest, last)[0] == [0, 1, 2, 3]
    with pytest.raises(BackupKeyMismatch):
        other = vault_of(f"sqlite:///{database}", vault.folder, new_key(tmp_path, "other.key"))
        other.check_moment(manifest, last)
    with pytest.raises(BackupKeyMismatch):
        other.stage(manifest, last, f"sqlite:///{tmp_path / 'other.db'}", silent)
    assert f"{len(files)} pieces of the archive go on from it" in vault.verify(manifest.id, silent).verified.what
    files[-1].write_bytes(b"")  # as a disk may leave it that lost its power; what cannot be opened at all passes for another key's
    with pytest.raises(BackupCorrupt):
        restored(manifest, last)
    assert "1 were damaged and are set aside" in vault.verify(manifest.id, silent).verified.what
    assert vault.coverage()[-1].end < last


@with_a_key
def test_whatever_takes_its_files_away_it_begins_again(database, vault, archiver, folder, key, tmp_path):
    """A new key, and a folder that is gone: what was kept is not gone on from, and nothing of the portal stands still."""
    process = archiver()
    vault.create(wish(), silent)
    process.kill_group()
    process = start_archiver(database, folder, None, tmp_path / "other.log")
    other = vault_of(f"sqlite:///{database}", folder, None)
    try:
        wait_until(lambda: other.archiving().running, "it archives without a key", seconds=30)
        shutil.rmtree(folder / "wal")
        add(database, 1)
        wait_until(lambda: other.lacks_base(), "it has begun again", seconds=30)
        made = other.create(wish(), silent)
        moment = archived(other, add(database, 2))
        other.check_moment(made, moment)
        assert process.alive
    finally:
        process.kill_group()


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(file):
    file.write_bytes(file.read_bytes()[:-20])


def swap(file):
    other = next(each for each in segments_beside(file) if each != file)
    file.write_bytes(other.read_bytes())


def segments_beside(file):
    return sorted(file.parent.glob("*.wal.*"))


@with_a_key
def test_it_leaves_the_last_of_the_disk_to_others(database, vault, monkeypatch):
    monkeypatch.setattr("adapters.backups.archive.watching.SPARED", 1 << 60)
    with watching(database, vault.archive.store) as watch:
        add(database, 1)
        with pytest.raises(OSError, match="of space are left"):
            watch.tick()
    assert segments(vault) == []


@with_a_key
def test_somebody_elses_checkpoints_do_no_harm_while_it_runs(database, vault, archiver, restored):
    archiver()
    with Writer(database) as writer:
        manifest = vault.create(wish(), silent)
        with closing(sqlite3.connect(database, timeout=5)) as other:
            for mode in ("TRUNCATE", "RESTART", "FULL", "TRUNCATE"):
                count = len(writer.committed)
                wait_until(lambda count=count: len(writer.committed) > count + 40, "it writes", seconds=60)
                other.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        target = datetime.now(UTC)
        rows, reached = restored(manifest, target)
        assert writer.missing(target, rows) <= (target - reached).total_seconds()
        assert len(vault.coverage()) == 1


@with_a_key
def test_while_it_stood_still_is_a_gap_and_what_it_finds_after_is_not(database, vault, archiver, restored, monkeypatch):
    for module in ("chain", "segments"):
        monkeypatch.setattr(f"adapters.backups.archive.{module}.LONGEST_LAG", 600_000)
    process = archiver()
    manifest = vault.create(wish(), silent)
    first = archived(vault, add(database, 1))
    process.send(signal.SIGSTOP)
    began = add(database, 2)
    wait_until(lambda: datetime.now(UTC) - began > timedelta(seconds=1.5), "time passes")
    missed = add(database, 3)
    process.send(signal.SIGCONT)
    after = archived(vault, datetime.now(UTC))
    assert [restored(manifest, moment)[0] for moment in (first, after)] == [[1], [1, 2, 3]]
    with pytest.raises(PitrGap):
        restored(manifest, missed)
    before, then = vault.coverage()
    assert (before.start, before.end < missed < then.start) == (manifest.snapshot_at, True)


@with_a_key
def test_what_no_backup_goes_on_from_is_removed_and_no_more(database, vault, archiver, restored, monkeypatch):
    monkeypatch.setattr("domain.backups.retention.KEPT_FULLS", 2)
    process = archiver()
    made = []
    for number in range(4):
        made.append(vault.create(wish(FULL), silent))
        last = archived(vault, add(database, *[number] * 400))
    before = segments(vault)
    newest = vault.create(wish(FULL), silent)
    assert {manifest.id for manifest in vault.list()} == {made[3].id, newest.id}
    assert before[0] not in segments(vault)
    assert len(restored(made[3], last)[0]) == 1600
    process.stop(signal.SIGKILL)
    archiver()
    vault.prune()
    assert len(restored(made[3], last)[0]) == 1600


@pytest.fixture
def left_behind(database, vault):
    """A backup, and an archive that ended as by a kill before the last row was in it. All of the log is in the file by then, and open
    elsewhere, so that whoever writes next begins it anew. Answers the backup."""
    with closing(sqlite3.connect(database)) as other:
        other.execute("SELECT count(*) FROM oracle").fetchone()
        with watching(database, vault.archive.store) as watch:
            watch.tick()
            manifest = vault.create(wish(), silent)
            add(database, 1)
            watch.tick()
        add(database, 2)
        busy, frames, taken_in = other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        assert (busy, frames > 0, taken_in) == (0, True, frames)
        yield manifest


@with_a_key
def test_nobody_begins_the_log_anew_before_its_rest_is_copied(database, vault, left_behind, restored, monkeypatch):
    refused = []

    def meanwhile(watch):
        piece = take(watch)
        with closing(sqlite3.connect(database, timeout=0)) as impatient, pytest.raises(sqlite3.OperationalError, match="locked"):
            impatient.execute("DELETE FROM oracle")
        refused.append(piece)
        return piece

    take = Watch.take
    monkeypatch.setattr(Watch, "take", meanwhile)
    with watching(database, vault.archive.store) as watch:
        watch.tick()
        assert refused
        monkeypatch.setattr(Watch, "take", take)
        add(database, 3)
        watch.tick()
        moment = datetime.now(UTC)
        watch.tick()
        assert restored(left_behind, moment)[0] == [1, 2, 3]
    assert len(vault.coverage()) == 1


@with_a_key
def test_what_it_found_and_could_not_copy_any_more_is_a_gap(database, vault, left_behind):
    with watching(database, vault.archive.store) as watch:
        add(database, 3)  # which begins the log anew: the row before it is in the file only
        with pytest.raises(LostTrack):
            watch.tick()
    with watching(database, vault.archive.store) as watch:
        watch.tick()
        moment = datetime.now(UTC)
        watch.tick()
    with pytest.raises((PitrGap, PitrOutOfRange)):
        vault.check_moment(left_behind, moment)


@with_a_key
def test_what_comes_between_a_look_and_its_time_is_not_promised(database, vault, monkeypatch):
    """On a busy machine that may be long."""
    look, written = Watch.look, []

    def kept_waiting(watch):
        index = look(watch)
        written.append(datetime.now(UTC))
        add(database, len(written))
        return index

    with watching(database, vault.archive.store) as watch:
        add(database, 0)
        watch.tick()
        monkeypatch.setattr(Watch, "look", kept_waiting)
        watch.observe()
        watch.beat()
        assert vault.archiving().until <= written[0]
        monkeypatch.setattr(Watch, "look", look)
        watch.tick()
        assert vault.archiving().until > written[0]


@with_a_key
def test_a_database_behind_a_link_is_archived_too(database, folder, vault, restored, tmp_path):
    """SQLite keeps the log beside the file itself."""
    link = tmp_path / "link.db"
    link.symlink_to(database)
    linked = vault_of(f"sqlite:///{link}", folder, vault.key)
    with watching(link, vault.archive.store) as watch:
        add(database, 1)
        watch.tick()
        manifest = linked.create(wish(), silent)
        add(database, 2)
        watch.tick()
        moment = datetime.now(UTC)
        watch.tick()
        assert restored(manifest, moment)[0] == [1, 2]


@with_a_key
def test_a_clock_that_was_ahead_hides_nothing_that_comes_after(database, vault, restored, monkeypatch):
    with closing(sqlite3.connect(database)) as portal:
        portal.execute("SELECT count(*) FROM oracle").fetchone()  # whoever has the database open keeps its log
        with monkeypatch.context() as ahead:
            ahead.setattr("adapters.backups.archive.watching.micros_now", lambda: micros_now() + 3_600_000_000)
            ahead.setattr("adapters.backups.archive.store.datetime", AnHourAhead)
            with watching(database, vault.archive.store) as watch:
                add(database, 1)
                watch.tick()
                ahead.undo()
                with pytest.raises(LostTrack):
                    watch.tick()
        with watching(database, vault.archive.store) as watch:
            watch.tick()
            manifest = vault.create(wish(), silent)
            add(database, 2)
            watch.tick()
            moment = datetime.now(UTC)
            watch.tick()
            assert restored(manifest, moment)[0] == [1, 2]
            assert vault.coverage()[-1].end < datetime.now(UTC) + timedelta(minutes=1)
            assert watch.generation.folder == vault.archive.store.newest().folder


class AnHourAhead(datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + timedelta(hours=1)
