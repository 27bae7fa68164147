"""What is stored comes back as it was, or says what is wrong, and with what."""

import errno
import io
import os
from pathlib import Path

import pytest

from adapters.backups.sealing import seal, unseal
from domain.backups.errors import BackupCorrupt, BackupKeyMismatch
from tests.adapters.backups.conftest import new_key

CONTENT = os.urandom(300_000)


@pytest.fixture
def sealed(tmp_path, key):
    return seal(io.BytesIO(CONTENT), tmp_path, "database", key)


class Full:
    """A file on a disk that has no room."""

    def write(self, piece):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def flush(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def test_it_comes_back_as_it_was(sealed, tmp_path, key):
    target = io.BytesIO()
    unseal(tmp_path, sealed.stored, target, key)
    assert target.getvalue() == CONTENT
    assert sealed.size == len(CONTENT)


def test_a_disk_without_room_is_not_taken_for_a_damaged_backup(sealed, tmp_path, key):
    with pytest.raises(OSError) as error:
        unseal(tmp_path, sealed.stored, Full(), key)
    assert error.value.errno == errno.ENOSPC


def test_a_file_that_takes_no_more_is_said_as_what_it_is(tmp_path, key, monkeypatch):
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode="r": Full() if mode == "xb" else opened(path, mode))
    with pytest.raises(OSError) as error:
        seal(io.BytesIO(CONTENT), tmp_path, "database", key)
    assert error.value.errno == errno.ENOSPC


@pytest.mark.parametrize("key", ["with a key"], indirect=True)
def test_another_key_opens_nothing(sealed, tmp_path, key):
    for other in (None, new_key(tmp_path, "other.key")):
        with pytest.raises(BackupKeyMismatch):
            unseal(tmp_path, sealed.stored, io.BytesIO(), other)


@pytest.mark.parametrize("key", ["with a key"], indirect=True)  # without one only the hash tells
def test_what_was_cut_cannot_be_opened(sealed, tmp_path, key):
    file = tmp_path / sealed.stored.name
    file.write_bytes(file.read_bytes()[:-20_000])
    with pytest.raises(BackupCorrupt, match="cannot be opened"):
        unseal(tmp_path, sealed.stored, io.BytesIO(), key)


def test_what_stops_the_reading_is_what_the_caller_hears(tmp_path, key):
    class Stopped(Exception):
        pass

    def tick(size):
        raise Stopped

    with pytest.raises(Stopped):
        seal(io.BytesIO(CONTENT), tmp_path, "stopped", key, tick)
    assert not list(tmp_path.glob("stopped*"))
