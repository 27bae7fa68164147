"""`flask archiver` as a process; what it keeps is in tests/adapters/backups/test_archive.py."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.servers.processes import Process
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent

pytestmark = pytest.mark.processes


@pytest.fixture
def archiver(tmp_path):
    """Starts `flask archiver` with these settings."""
    started = []

    def start(**settings):
        environment = {"PATH": os.defpath, "APP_ENV": "test", "DATA_DIR": str(tmp_path / "data"), **settings}
        log = tmp_path / f"{len(started)}.log"
        started.append(Process([Path(sys.executable).parent / "flask", "archiver"], log, env=environment, cwd=ROOT))
        return started[-1]

    yield start
    for process in started:
        process.kill_group()


def says(process, words):
    wait_until(lambda: words in process.output(), words, seconds=60)


def test_on_postgresql_there_is_nothing_to_do_and_it_says_so_and_waits(archiver):
    process = archiver(DATABASE_URL="postgresql://nobody@127.0.0.1:9/nothing")
    says(process, "PostgreSQL keeps what changes by itself")
    assert process.stop() == 0


def test_it_waits_for_the_database_and_for_another_archiver(archiver, sqlite_template, tmp_path):
    first = archiver()
    says(first, "is not there yet")
    shutil.copy(sqlite_template, tmp_path / "data" / "portal.db")
    says(first, "a new archive begins")
    second = archiver()
    says(second, "another archiver runs: waiting")
    assert second.stop() == 0
    assert first.stop() == 0


def test_a_folder_that_cannot_be_written_stops_it_no_longer_than_that_lasts(archiver, sqlite_template, tmp_path):
    folder = tmp_path / "backups"
    folder.write_text("a file where the folder was to be")
    (tmp_path / "data").mkdir()
    shutil.copy(sqlite_template, tmp_path / "data" / "portal.db")
    process = archiver(BACKUP_DIR=str(folder))
    says(process, "nothing can be written in")
    folder.unlink()
    says(process, "a new archive begins")
    assert process.stop() == 0
