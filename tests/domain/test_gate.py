"""The gate that keeps writers of a SQLite database out while its contents are exchanged."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from domain import db, gate
from domain.db import read_only
from tests.waiting import wait_until

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def file(engine):
    return engine.url.database


def write(engine):
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM cache_entries"))


def test_a_writer_waits_until_it_opens_and_readers_do_not(engine, file):
    done = threading.Event()
    writer = threading.Thread(target=lambda: (write(engine), done.set()))
    with gate.shut(file):
        writer.start()
        with read_only(), engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM roles")).scalar_one() > 0
        assert not done.wait(0.3)
    assert done.wait(10)
    writer.join()


def test_one_that_waits_too_long_is_told_that_the_database_is_away(engine, file, monkeypatch):
    monkeypatch.setattr(db, "SQLITE_GATE_SECONDS", 0.2)
    with gate.shut(file), pytest.raises(OperationalError, match="being replaced"):
        write(engine)
    write(engine)


def test_it_opens_when_whoever_shut_it_is_killed(engine, file):
    script = f"from domain import gate\nimport time\nwith gate.shut({file!r}):\n    print('shut', flush=True)\n    time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "."})
    assert holder.stdout.readline() == b"shut\n"
    assert gate.is_shut(file)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    wait_until(lambda: not gate.is_shut(file), "the gate is open")
    write(engine)


def test_whoever_may_write_the_database_may_look_at_it(engine, file):
    Path(file).chmod(0o660)
    if os.geteuid() == 0:
        os.chown(file, 1234, 2345)
    with gate.shut(file):
        there, beside = Path(file).stat(), Path(file + gate.ENDING).stat()
    assert (beside.st_mode & 0o777, beside.st_uid, beside.st_gid) == (0o660, there.st_uid, there.st_gid)
