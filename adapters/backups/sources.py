"""The storage as backups see it: every file there is, whatever its name, and a way to put back one that is not there."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from adapters.backups.sealing import Readable
from adapters.storage import DRAFT, BucketStorage, FolderStorage
from domain.db import now
from domain.storage import Storage, StorageError

SETTLED = 2_000_000_000
"""Nanoseconds after which a change of a file is sure to show in its times."""


@dataclass(frozen=True)
class Entry:
    """A file of the storage. `stamp` differs whenever the content may; empty where that cannot be told. `version` names it in a bucket
    that keeps all versions."""

    path: str
    size: int
    mtime_ns: int
    stamp: str
    version: str | None = None


@dataclass(frozen=True)
class Opened:
    """A file while it is read. `now` answers what it is, once it has been read, and whether it changed meanwhile."""

    content: Readable
    now: Callable[[], tuple[Entry, bool]]


class Source(Protocol):
    at_once: int
    """How many files are best read at a time: waiting for a network is not work."""

    def versioned(self) -> bool:
        """Whether what is kept here stays as it is, by its version, so that a backup need not copy it. Raises StorageError."""

    def place(self) -> dict[str, str]:
        """Where versions are, for a restore that finds the portal's files elsewhere."""

    def there(self) -> bool:
        """Whether there is a place for files at all."""

    def entries(self, skip: Callable[[str], object]) -> Iterator[Entry]:
        """Every file, one at a time, in no order; `skip` hears of what is no plain file. Raises StorageError."""

    def opened(self, path: str) -> AbstractContextManager[Opened]:
        """Raises FileNotFoundError, StorageError; FileReplaced while it is read where it changed."""

    def check_version(self, path: str, version: str, place: dict[str, str]) -> None:
        """Raises FileNotFoundError, StorageError unless it can be read."""

    def put(self, path: str, mtime_ns: int, write: Callable[[IO[bytes]], None], work: Path) -> bool:
        """Make the file, unless there is one of that name; answers whether it was made. Raises StorageError."""

    def put_version(self, path: str, version: str, place: dict[str, str]) -> bool:
        """Make it the current version again, unless there is a current one. Raises FileNotFoundError, StorageError."""


def make_source(storage: Storage, left_out: Path) -> Source:
    """`left_out` is a folder that is no part of the storage, though it may lie in it."""
    if isinstance(storage, BucketStorage):
        return BucketSource(storage)
    assert isinstance(storage, FolderStorage)
    return FolderSource(storage.folder, left_out)


class FolderSource:
    """Links are neither followed nor kept: nothing outside the folder is ever read or written."""

    at_once = 1

    def __init__(self, folder: Path, left_out: Path):
        self.folder, self.left_out = folder, left_out

    def versioned(self) -> bool:
        return False

    def place(self) -> dict[str, str]:
        return {}

    def there(self) -> bool:
        return self.folder.is_dir()

    def entries(self, skip: Callable[[str], object]) -> Iterator[Entry]:
        left_out = identity(self.left_out.stat()) if self.left_out.exists() else None
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            try:
                with folder_below(self.folder, folder) as descriptor, os.scandir(descriptor) as listed:
                    for each in listed:
                        path = joined(folder, each.name)
                        try:
                            found = each.stat(follow_symlinks=False)
                        except FileNotFoundError:  # removed a moment ago
                            continue
                        if stat.S_ISDIR(found.st_mode):
                            if identity(found) != left_out:
                                waiting.append(path)
                        elif not stat.S_ISREG(found.st_mode):
                            skip(path)
                        elif not DRAFT.fullmatch(each.name):
                            yield entry_of(path, found)
            except (FileNotFoundError, NotADirectoryError):  # as above, or a link by now
                continue
            except OSError as error:
                raise StorageError(f"{folder or 'The folder of the storage'} cannot be listed: {error.strerror}") from None

    @contextmanager
    def opened(self, path: str) -> Iterator[Opened]:
        descriptor = self.descriptor(path)
        try:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise FileNotFoundError(path)

            def now_() -> tuple[Entry, bool]:
                after = os.fstat(descriptor)
                return entry_of(path, after), times(before) != times(after)

            yield Opened(Reading(descriptor, path), now_)
        finally:
            os.close(descriptor)

    def descriptor(self, path: str) -> int:
        try:
            return below(self.folder, path, os.O_RDONLY | os.O_NONBLOCK)  # which keeps a pipe of that name from stopping us
        except NotADirectoryError:
            raise FileNotFoundError(path) from None
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno == errno.ELOOP:  # a link by now
                raise FileNotFoundError(path) from None
            raise StorageError(f"{path} cannot be read: {error.strerror}") from None

    def check_version(self, path: str, version: str, place: dict[str, str]) -> None:
        raise StorageError(ELSEWHERE.format(**place))

    def put(self, path: str, mtime_ns: int, write: Callable[[IO[bytes]], None], work: Path) -> bool:
        """By way of a draft beside it that is linked to its name, which fails where there is one: nothing is written over."""
        folder, _, name = path.rpartition("/")
        if any(step in ("", ".", "..") or "\0" in step for step in path.split("/")):
            raise StorageError(f"{path!r} is no name that a file can have in a folder")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with folder_below(self.folder, folder, make=True) as descriptor:
                return put_into(descriptor, name, mtime_ns, write)
        except OSError as error:
            raise StorageError(f"{path} cannot be put back: {error.strerror}") from None

    def put_version(self, path: str, version: str, place: dict[str, str]) -> bool:
        raise StorageError(ELSEWHERE.format(**place))


ELSEWHERE = "The files are versions in the bucket {bucket}, and the portal keeps its files in a folder now: set STORAGE_URL to the bucket."


class BucketSource:
    at_once = 8

    def __init__(self, storage: BucketStorage):
        self.storage = storage

    def versioned(self) -> bool:
        """A bucket whose versioning was suspended writes over what it has, as one without does."""
        ask = self.storage.ask
        found = ask("list", lambda: self.storage.client().get_bucket_versioning(Bucket=self.storage.bucket))
        return bool(found.get("Status") == "Enabled")

    def place(self) -> dict[str, str]:
        return {"bucket": self.storage.bucket, "prefix": self.storage.prefix}

    def there(self) -> bool:
        return True  # a bucket that is not there is an error of its own

    def entries(self, skip: Callable[[str], object]) -> Iterator[Entry]:
        if self.versioned():
            for page in self.storage.pages("list_object_versions", ""):
                yield from (self.entry(found, found["VersionId"]) for found in page.get("Versions", ()) if found["IsLatest"])
        else:
            for page in self.storage.pages("list_objects_v2", ""):
                yield from (self.entry(found) for found in page.get("Contents", ()))

    def entry(self, found: Any, version: str | None = None) -> Entry:
        path = found["Key"].removeprefix(f"{self.storage.prefix}/") if self.storage.prefix else found["Key"]
        return Entry(path, int(found["Size"]), int(found["LastModified"].timestamp() * 1e9), found["ETag"].strip('"'), version)

    def key(self, path: str) -> str:
        return f"{self.storage.prefix}/{path}" if self.storage.prefix else path

    @contextmanager
    def opened(self, path: str) -> Iterator[Opened]:
        """A call answers with one state of the object; where the reading has to be taken up again, the store is told which one."""
        key = self.key(path)
        answer = self.storage.ask("read", lambda: self.storage.client().get_object(Bucket=self.storage.bucket, Key=key))
        entry = self.entry({**answer, "Key": key, "Size": answer["ContentLength"]})
        with closing(self.storage.pieces(key, answer)) as pieces:
            yield Opened(Joined(pieces), lambda: (entry, False))

    def check_version(self, path: str, version: str, place: dict[str, str]) -> None:
        wanted = {"Bucket": place["bucket"], "Key": joined(place["prefix"], path), "VersionId": version}
        self.storage.ask("read", lambda: self.storage.client().head_object(**wanted))

    def put(self, path: str, mtime_ns: int, write: Callable[[IO[bytes]], None], work: Path) -> bool:
        if self.has(path):
            return False
        draft = work / "upload"
        with draft.open("wb") as file:
            write(file)
        try:
            self.storage.upload(self.key(path), draft)
        finally:
            draft.unlink(missing_ok=True)
        return True

    def put_version(self, path: str, version: str, place: dict[str, str]) -> bool:
        if self.has(path):
            return False
        from boto3.s3.transfer import TransferConfig

        source = {"Bucket": place["bucket"], "Key": joined(place["prefix"], path), "VersionId": version}
        parts = TransferConfig(multipart_threshold=COPIED_WHOLE, multipart_chunksize=COPIED_WHOLE)
        self.storage.ask("keep", lambda: self.storage.client().copy(source, self.storage.bucket, self.key(path), Config=parts))
        return True

    def has(self, path: str) -> bool:
        try:
            self.storage.ask("read", lambda: self.storage.client().head_object(Bucket=self.storage.bucket, Key=self.key(path)))
        except FileNotFoundError:
            return False
        return True


COPIED_WHOLE = 1 << 30  # bytes; the store copies by itself, and larger ones in parts


class Reading:
    """A file that is read; what the disk refuses is the storage's error, and not one of the disk that the backup goes to."""

    def __init__(self, descriptor: int, path: str):
        self.descriptor, self.path = descriptor, path

    def read(self, size: int = -1) -> bytes:
        try:
            return os.read(self.descriptor, size if size >= 0 else 1 << 20)
        except OSError as error:
            raise StorageError(f"{self.path} cannot be read: {error.strerror}") from None


class Joined:
    """Pieces, read like a file."""

    def __init__(self, pieces: Iterator[bytes]):
        self.pieces, self.rest = pieces, b""

    def read(self, size: int = -1) -> bytes:
        if not self.rest:
            self.rest = next(self.pieces, b"")
        piece, self.rest = (self.rest, b"") if size < 0 else (self.rest[:size], self.rest[size:])
        return piece


def below(root: Path, path: str, flags: int, *, make: bool = False) -> int:
    """Open what is below the root, step by step and through no link. `make`: folders that are not there."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    steps = path.split("/") if path else []
    for place, step in enumerate(steps):
        last = place == len(steps) - 1
        how = (flags if last else os.O_RDONLY | os.O_DIRECTORY) | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(step, dir_fd=descriptor)
            following = os.open(step, how, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = following
    return descriptor


@contextmanager
def folder_below(root: Path, path: str, *, make: bool = False) -> Iterator[int]:
    descriptor = below(root, path, os.O_RDONLY | os.O_DIRECTORY, make=make)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def put_into(folder: int, name: str, mtime_ns: int, write: Callable[[IO[bytes]], None]) -> bool:
    draft = f".restored-{secrets.token_hex(4)}.{os.getpid()}"  # of the kind that storage removes where it was left behind
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder), "wb") as file:
            write(file)
            file.flush()
            os.utime(file.fileno(), ns=(mtime_ns, mtime_ns))
            os.fsync(file.fileno())
        os.link(draft, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        os.fsync(folder)
    except FileExistsError:
        return False
    finally:
        with suppress(OSError):
            os.unlink(draft, dir_fd=folder)
    return True


def entry_of(path: str, found: os.stat_result) -> Entry:
    settled = now().timestamp() * 1e9 - found.st_ctime_ns > SETTLED
    stamp = f"{found.st_mtime_ns}:{found.st_ctime_ns}:{found.st_ino}" if settled else ""
    return Entry(path, found.st_size, found.st_mtime_ns, stamp)


def times(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def joined(prefix: str, path: str) -> str:
    return f"{prefix}/{path}" if prefix else path
