"""The archive of a SQLite database under what may befall it: a moment is put together exactly, or refused; never is anything in it that
came later."""

import random
import resource
import sqlite3
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.backups.errors import PitrGap, PitrOutOfRange
from tests.adapters.backups.conftest import INCREMENTAL, new_key, silent, vault_of, wish
from tests.archives import Writer, add_oracle, between, start_archiver, times_in
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.processes]

TARGETS = 40


@pytest.fixture
def database(sqlite_database) -> Path:
    file = Path(sqlite_database.renew().removeprefix("sqlite:///"))
    add_oracle(file)
    return file


def test_an_archiver_that_is_killed_and_foreign_checkpoints_never_bring_back_what_came_later(database, tmp_path):
    dice = random.Random(11)
    key = new_key(tmp_path)
    vault = vault_of(f"sqlite:///{database}", tmp_path / "backups", key)

    def begin():
        return start_archiver(database, vault.folder, tmp_path / "backup.key", tmp_path / "archiver.log")

    def checkpoint():
        with closing(sqlite3.connect(database, timeout=5)) as other:
            return other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    archiver, bases, restarts = begin(), [], 0
    try:
        wait_until(lambda: vault.archiving().running, "it watches", seconds=30)
        with Writer(database) as writer:
            bases.append(vault.create(wish(), silent))
            for blow in dice.sample(["kill"] * 4 + ["checkpoint"] * 9, 13):
                time.sleep(dice.uniform(0.5, 3))
                if blow == "kill":
                    archiver.kill_group()
                    time.sleep(dice.uniform(0, 8))
                    if dice.random() < 0.5:
                        checkpoint()
                    archiver, restarts = begin(), restarts + 1
                else:
                    checkpoint()
                if dice.random() < 0.5:
                    bases.append(vault.create(wish(INCREMENTAL), silent))
            time.sleep(3)
            end = datetime.now(UTC)
            wait_until(lambda: vault.archiving().until > end, "it goes on", seconds=60)
            outcomes = Counter(
                outcome(vault, writer, bases[0], between(bases[0].snapshot_at, end, dice.random()), tmp_path) for _ in range(TARGETS)
            )
            spans = vault.coverage()
            inside = [between(span.start, span.end, dice.random()) for span in spans for _ in range(3)]
            assert {outcome(vault, writer, bases[0], moment, tmp_path) for moment in inside} == {"exact"}
    finally:
        archiver.kill_group()
    assert restarts == 4
    assert outcomes["exact"] >= TARGETS / 3
    assert outcomes["refused"] > 0
    assert sum(outcomes.values()) == TARGETS


def test_a_full_disk_of_backups_stops_the_archive_and_nothing_else(database, tmp_path):
    """No file of the archiver may grow for a while, as if there were no space."""
    vault = vault_of(f"sqlite:///{database}", tmp_path / "backups", None)
    archiver = start_archiver(database, vault.folder, None, tmp_path / "archiver.log")
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    try:
        wait_until(lambda: vault.archiving().running, "it watches", seconds=30)
        with Writer(database) as writer:
            manifest = vault.create(wish(), silent)
            resource.prlimit(archiver.pid, resource.RLIMIT_FSIZE, (2048, resource.RLIM_INFINITY))
            wait_until(lambda: not vault.archiving().running, "it archives nothing", seconds=60)
            stopped = datetime.now(UTC)
            with closing(sqlite3.connect(database, timeout=5)) as other:  # nobody holds the log
                assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
            count = len(writer.committed)
            wait_until(lambda: len(writer.committed) > count + 50, "writers go on", seconds=30)
            resource.prlimit(archiver.pid, resource.RLIMIT_FSIZE, unlimited)
            wait_until(vault.lacks_base, "it archives again", seconds=60)
            later = vault.create(wish(INCREMENTAL), silent)
            moment = wait_until(lambda: (until := vault.archiving().until) > later.snapshot_at and until, "it goes on", seconds=30)
            assert outcome(vault, writer, later, moment, tmp_path) == "exact"
            assert outcome(vault, writer, manifest, stopped, tmp_path) == "refused"
    finally:
        archiver.kill_group()
    assert "nothing is archived" in archiver.output()


def outcome(vault, writer, manifest, target, folder) -> str:
    file = folder / "restored.db"
    file.unlink(missing_ok=True)
    try:
        vault.check_moment(manifest, target)
        reached = vault.stage(manifest, target, f"sqlite:///{file}", silent)
    except (PitrGap, PitrOutOfRange):
        return "refused"
    missing = writer.missing(target, times_in(file))
    assert missing <= (target - reached).total_seconds() <= 5
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return "exact"
