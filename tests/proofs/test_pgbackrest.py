"""Backups by pgBackRest when something is gone, damaged, stopped or killed."""

import itertools
import random
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import NamedTuple
from uuid import uuid4

import pytest
from sqlalchemy import text

import config
from adapters.backups import make_vault
from adapters.backups.pgbackrest import live
from adapters.restores import make_restorer
from domain.backups.errors import BackupCorrupt, EngineUnavailable, PitrGap, PitrOutOfRange
from domain.backups.manifest import plain
from domain.restores.restorer import Order
from tests.adapters.backups.archived import Archived, StopHere, labels, newest_piece, rests, stopping_at
from tests.adapters.backups.conftest import FULL, INCREMENTAL, left_in, silent, wish
from tests.proofs import attempts
from tests.servers.pgbackrest import STANZA, ArchivedPostgres, DistantPostgres
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def portal(archived):
    portal = Archived(archived)
    yield portal
    portal.close()


@pytest.fixture
def vault(portal):
    return portal.new_vault()


def test_a_piece_of_the_log_that_is_missing_is_a_gap(portal, vault):
    """Named to the microsecond: what was last committed before it can be reached, and the next backup begins anew."""
    full = vault.create(wish(FULL), silent)
    before = portal.mark("before the gap")
    portal.server.pgbackrest("check")
    last = portal.mark("last before the gap")
    portal.server.pgbackrest("check")
    known = newest_piece(portal.server)
    lost = portal.mark("in the gap")
    portal.server.pgbackrest("check")
    missing = newest_piece(portal.server)
    assert missing > known
    after = vault.create(wish(FULL), silent)
    missing.unlink()

    first, second = vault.coverage()
    assert (first.start, second.start) == (full.snapshot_at, after.snapshot_at)
    assert before < first.end < last < lost < second.start
    vault.check_moment(full, first.end)
    with pytest.raises(PitrGap) as refused:
        vault.check_moment(full, lost)
    assert refused.value.details["nearest_backup"] == str(full.id)
    assert refused.value.details["ranges"][0] == {"from": plain(full.snapshot_at), "to": plain(first.end)}
    assert portal.staged(vault, full, first.end)[0] >= {"before the gap"}
    with pytest.raises(PitrGap):
        portal.staged(vault, full, lost)
    assert rests(vault) == []


def test_a_flipped_byte_in_the_repository_is_found_and_nothing_is_restored_from_it(portal, vault):
    full = vault.create(wish(FULL), silent)
    file = max((portal.server.repository / "backup" / STANZA / full.archive["label"]).rglob("*"), key=lambda path: path.stat().st_size)
    whole = file.read_bytes()
    at = len(whole) // 2
    file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(BackupCorrupt, match="damaged"):
        vault.verify(full.id, silent)
    assert not vault.get(full.id).verified.ok
    with pytest.raises(BackupCorrupt):
        portal.staged(vault, full)
    assert vault.create(wish(INCREMENTAL), silent).effective_type is FULL  # nothing new stands on what is damaged
    file.write_bytes(whole)
    assert vault.verify(full.id, silent).verified.ok
    assert rests(vault) == []


def test_stopped_anywhere_it_leaves_nothing_in_the_catalog_and_nothing_in_the_repository(portal, vault):
    stages = []
    vault.create(wish(FULL), lambda percent, stage: stages.append((stage, percent)))
    percents = [percent for _, percent in stages]
    assert percents == sorted(percents)
    stored = labels(vault)
    kept = left_in(vault.folder)
    for stage in ("Copying the cluster", "Archiving the log", "Replaying the log", "Looking through pages and indexes"):
        with pytest.raises(StopHere):
            vault.create(wish(INCREMENTAL), stopping_at(stage))
        assert left_in(vault.folder) == kept
        assert labels(vault) == stored
    assert vault.create(wish(INCREMENTAL), silent).effective_type is INCREMENTAL


def test_a_killed_process_leaves_a_server_and_programs_that_the_next_one_ends(portal, vault):
    """kill -9 in the middle of copying, and while the server on the restored data runs."""
    stored = labels(vault)
    for stage in ("Copying the cluster", "Looking through pages and indexes"):
        process = subprocess.Popen([sys.executable, "-c", HANG, vault.folder, portal.server.config, portal.url, stage, portal.key_file])
        try:
            wait_until((vault.folder / "hangs").exists, "it hangs", seconds=60)
        finally:
            process.kill()
            process.wait()
        (vault.folder / "hangs").unlink()
        assert rests(vault)
        made = vault.create(wish(FULL), silent)
        assert rests(vault) == []
        stored.append(made.archive["label"])
        assert labels(vault) == stored


TRIES = 8
"""Of our own process's steps so many, spread evenly: each takes seconds, and a whole backup follows it."""


def spread(steps):
    return steps[:: max(1, len(steps) // TRIES)]


@pytest.fixture
def own(portal):
    server = portal.server
    return attempts.Archived(portal.url, server.folder / f"backups-{uuid4()}", portal.key_file, server.folder, config=server.config)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fault", ["die_at", "cut_at"])
def test_killed_or_cut_off_at_a_step_a_backup_is_whole_or_not_there(own, fault):
    vault = own.open()
    vault.create(wish(FULL), silent)
    sides = []
    whole = attempts.attempt(own, "create", wish(INCREMENTAL))
    for step in spread(whole.asking() if fault == "cut_at" else whole.changing()):
        before, stored = vault.list(), labels(vault)
        outcome = attempts.attempt(own, "create", wish(INCREMENTAL), **{fault: step})
        if not outcome.struck:
            continue
        assert vault.damaged() == []
        new = [each for each in vault.list() if each not in before]
        assert outcome.died or (outcome.error in CUT_OFF if not new else outcome.error is None), (step, outcome.error)
        assert outcome.died or rests(vault) == []
        again = vault.create(wish(INCREMENTAL), silent)
        assert rests(vault) == []
        assert labels(vault) == [*stored, *(each.archive["label"] for each in [*new, again])]
        sides.append(bool(new))
    assert False in sides
    assert vault.verify(vault.list()[0].id, silent).verified.ok
    print(f"{fault} at {len(sides)} steps, after {sum(sides)} of them the backup had come to be")


CUT_OFF = ("BACKUP_ENGINE_UNAVAILABLE",)


@pytest.mark.timeout(1800)
def test_killed_at_a_step_of_staging_it_leaves_nothing_that_the_next_one_does_not_end(portal, own):
    vault = own.open()
    full = vault.create(wish(FULL), silent)
    kept = portal.mark(f"kept {uuid4()}")
    portal.mark(f"not this one {uuid4()}")
    expected = portal.staged(vault, full, kept)

    def staging():
        return full, kept, portal.server.own_database(f"staged_{uuid4().hex}")

    for step in spread(attempts.attempt(own, "stage", staging()).changing()):
        if attempts.attempt(own, "stage", staging(), die_at=step).died:
            vault.prune()
            assert rests(vault) == []
            assert portal.staged(vault, full, kept) == expected


def test_the_live_data_goes_back_to_a_moment_and_forth_again(portal, tmp_path):
    """By the settings and the parts that the portal itself uses; the moments after a restore are in the same archive."""
    settings = config.load(
        {
            "APP_ENV": "test",
            "DATA_DIR": str(tmp_path),
            "BACKUP_DIR": str(portal.server.folder / "restored-from"),
            "DATABASE_URL": portal.url,
            "PGBACKREST_STANZA": STANZA,
            "PGBACKREST_CONFIG": str(portal.server.config),
        }
    )
    vault = make_vault(settings)
    restorer = make_restorer(settings, vault)
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage/report.csv").write_text("id,amount\n")
    full = vault.create(replace(wish(FULL), uploads=True), silent)
    assert full.uploads["count"] == 1
    assert "stored files" in vault.verify(full.id, silent).verified.what
    kept = portal.mark("kept")
    later = portal.mark("taken back")

    def restore(moment):
        order = Order(uuid4(), "Asha Rao", backup_id=full.id, moment=moment)
        restorer.check(full, moment)
        portal.engine.dispose()
        restorer.restore(order, silent, lambda: None)
        return order

    first = restore(kept)
    assert {"kept"} <= portal.markers() and "taken back" not in portal.markers()
    portal.mark("after the restore")
    again = portal.mark("not this one")
    restore(again - timedelta(microseconds=1))
    assert "after the restore" in portal.markers()
    restore(later)
    assert {"kept", "taken back"} <= portal.markers() and "after the restore" not in portal.markers()
    assert restorer.can_roll_back(first.id)
    assert vault.create(wish(INCREMENTAL), silent).verified.ok


def test_all_of_it_goes_through_tls_where_the_repository_is_elsewhere():
    with DistantPostgres() as server:
        portal = Archived(server)
        vault = portal.new_vault(restore_config=server.restore_config)
        portal.mark("before")
        full = vault.create(wish(FULL), silent)
        kept = portal.mark("kept")
        portal.mark("not this one")
        assert vault.create(wish(INCREMENTAL), silent).parent_id == full.id
        assert portal.staged(vault, full, kept) == ({"before", "kept"}, kept)
        assert all(finding.ok for finding in vault.examine())
        assert rests(vault) == []
        portal.close()


def test_without_a_moment_between_two_changes_tables_are_read_and_not_compared(portal, vault, monkeypatch):
    monkeypatch.setattr(live, "TRIES", 2)
    with portal.engine.begin() as busy:
        busy.execute(text("INSERT INTO markers VALUES ('not committed')"))
        made = vault.create(wish(FULL), silent)
    assert made.verified.ok
    assert "not compared" in made.verified.what
    assert made.row_counts["refund_requests"] == 1
    assert made.contents
    assert "each table equal" in vault.verify(made.id, silent).verified.what


def test_retention_is_of_the_repository_and_of_the_log_too(vault, monkeypatch):
    monkeypatch.setattr("domain.backups.retention.KEPT_FULLS", 1)
    old = vault.create(wish(FULL), silent), vault.create(wish(INCREMENTAL), silent)
    made = vault.create(wish(FULL), silent)
    assert [each.id for each in vault.list()] == [made.id]
    assert not {each.archive["label"] for each in old} & set(labels(vault))
    [span] = vault.coverage()
    assert span.start == made.snapshot_at


def test_writers_go_on_and_each_moment_has_what_was_committed_until_then(portal, vault):
    """Each writer asks the database's clock before and after each of its commits: what ended before the moment is there, what began
    after it is not. And while they write, each backup is compared row by row with what was there."""
    stop, written = Event(), []
    writers = [Thread(target=write, args=(portal, number, stop, written)) for number in range(4)]
    for writer in writers:
        writer.start()
    try:
        full = vault.create(wish(FULL), silent)
        second = vault.create(wish(INCREMENTAL), silent)
        count = len(written)
        wait_until(lambda: len(written) > count + 100, "they write", seconds=60)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    for made in (full, second):
        assert "each table equal" in made.verified.what
    dice = random.Random(7)
    after_the_first = [each for each in written if each.before > full.snapshot_at]
    for moment in [full.snapshot_at, *(dice.choice(after_the_first).before for _ in range(3))]:
        found, reached = portal.staged(vault, full, moment)
        assert reached == moment
        assert {each.name for each in written if each.after <= moment} <= found
        assert not {each.name for each in written if each.before > moment} & found


def test_where_archiving_fails_nothing_is_promised_that_cannot_be_kept(portal, vault):
    full = vault.create(wish(FULL), silent)
    server, last = portal.server, portal.mark("archived")
    server.pgbackrest("check")
    server.execute("ALTER SYSTEM SET archive_command = 'false'")
    try:
        server.execute("SELECT pg_reload_conf()")
        lost = portal.mark("not archived")
        server.execute("SELECT pg_switch_wal()")
        wait_until(lambda: not finding(vault, "archive").ok, "it fails", seconds=60)
        assert "fails" in finding(vault, "archive").found
        with pytest.raises(EngineUnavailable, match="archive_command"):
            vault.create(wish(FULL), silent)
        assert not vault.archiving().running
        [span] = vault.coverage()
        assert full.snapshot_at < span.end < last < lost
        with pytest.raises(PitrOutOfRange):
            vault.check_moment(full, lost)
        vault.check_moment(full, span.end)
    finally:
        server.execute(f"ALTER SYSTEM SET archive_command = '{server.archive_command}'")
        server.execute("SELECT pg_reload_conf()")
    wait_until(lambda: finding(vault, "archive").ok, "it archives again", seconds=60)
    assert portal.staged(vault, full, lost)[1] == lost


def test_a_backup_from_before_the_cluster_was_taken_back_behind_it_is_still_what_it_was():
    """By an administrator with pgBackRest alone: the log goes on along another line, which the backup is not on."""
    with ArchivedPostgres() as server:
        portal = Archived(server)
        vault = portal.new_vault()
        vault.create(wish(FULL), silent)
        before = portal.mark("before")
        portal.mark("lost")
        lost = vault.create(wish(INCREMENTAL), silent)
        portal.engine.dispose()
        server.stop()
        server.pgbackrest("restore", "--delta", "--type=time", f"--target={before:%Y-%m-%d %H:%M:%S.%f}+00", "--target-action=promote")
        server.start()
        wait_until(lambda: in_recovery(server) is False, "it goes on", seconds=60)
        assert portal.markers() == {"before"}
        assert portal.staged(vault, lost)[0] == {"before", "lost"}
        portal.close()


def in_recovery(server):
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery()")
        return cursor.fetchone()[0]


def finding(vault, name):
    return next(each for each in vault.examine() if each.name == name)


class Written(NamedTuple):
    name: str
    before: datetime
    after: datetime


def write(portal, number, stop, written):
    clock = text("SELECT clock_timestamp()")
    with portal.engine.connect() as connection:
        for count in itertools.count():
            if stop.is_set():
                return
            name = f"writer {number}: {count}"
            with connection.begin():
                before = connection.execute(clock).scalar_one()
                connection.execute(text("INSERT INTO markers VALUES (:name)"), {"name": name})
            with connection.begin():
                written.append(Written(name, before, connection.execute(clock).scalar_one()))


HANG = """
import sys, time
from pathlib import Path
from uuid import uuid4
from adapters.backups.pgbackrest import PgBackRestVault
from adapters.backups.sealing import read_key
from domain.backups.manifest import BackupType
from domain.backups.vault import Wish
folder, config, url, stage, key = sys.argv[1:]
def told(percent, said):
    if said == stage and percent > 5:
        (Path(folder) / "hangs").touch()
        time.sleep(600)
vault = PgBackRestVault(Path(folder), read_key(Path(key)), "1.2.3", url, stanza="portal", config=Path(config))
vault.create(Wish(uuid4(), BackupType.FULL, None, "Asha Rao"), told)
"""
