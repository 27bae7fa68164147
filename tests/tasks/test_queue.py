"""The bell where there is no Redis: a file that people and accidents can take away."""

import sqlite3
from contextlib import closing
from uuid import uuid4

import pytest

import config
from tasks.queue import Bell, make_queue


@pytest.fixture
def settings(tmp_path):
    return config.load({"APP_ENV": "test", "DATA_DIR": str(tmp_path)})


@pytest.fixture
def file(tmp_path):
    return tmp_path / "queue.db"


@pytest.fixture
def processes(settings):
    """What two processes have of the queue, both with something behind them."""
    storages = [make_queue(settings).storage for _ in range(2)]
    for storage in storages:
        storage.enqueue(b"old")
        storage.dequeue()
    yield storages
    for storage in storages:
        storage.close()


def delete(file):
    for path in file.parent.glob("queue.db*"):
        path.unlink()


def empty(file):
    file.write_bytes(b"")


def overwrite(file):
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file.write_bytes(b"no database at all" * 1000)


def drop_table(file):
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TABLE task")


def replace(file):
    """By a folder, for a while."""
    delete(file)
    file.mkdir()


@pytest.mark.parametrize("harm", [delete, empty, overwrite, drop_table])
def test_a_file_that_was_harmed_is_made_anew_for_all_processes(processes, settings, file, harm):
    harm(file)
    assert carried(processes)
    newcomer = make_queue(settings).storage
    assert carried([newcomer, processes[0]])
    assert carried([processes[1], newcomer])
    newcomer.close()


def test_a_file_that_could_not_be_opened_for_a_while_is_opened_again(processes, file):
    replace(file)
    with pytest.raises(sqlite3.OperationalError):
        processes[0].enqueue(b"lost")
    file.rmdir()
    assert carried(processes)


def carried(processes):
    """Whether what one puts in comes out at the other, after some tries: each process may have to find out for itself."""
    giver, taker = processes
    for number in range(4):
        message = f"ring {number}".encode()
        try:
            giver.enqueue(message)
            taken = taker.dequeue()
        except sqlite3.DatabaseError:
            continue
        if taken == message:
            return True
    return False


def test_a_locked_file_holds_up_one_ring_and_not_all(settings, file, caplog, monkeypatch):
    monkeypatch.setattr("tasks.queue.QUEUE_SECONDS", 0.6)
    bell = Bell(settings)
    bell.ring([uuid4()])
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for _ in range(3):
            bell.ring([uuid4()])
    assert caplog.text.count("could not be told") == 1
    assert "database is locked" in caplog.text
    bell.queue.storage.close()
