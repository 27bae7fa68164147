"""Contents kept under their own hash: each once, however many files and backups have it.

`uploads/plain/ab/<sha256>.zst`, or `uploads/<fingerprint of the key>/ab/<name>.zst.age`, where the name is the hash keyed, so that it tells
nobody without the key which contents are there. A blob is never written to again; only `sweep` removes any.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, get_ident

from adapters.backups.catalog import sync
from adapters.backups.sealing import Hashing, Key, Readable, Writable, ending, seal, unseal
from domain.backups.errors import BackupCorrupt, BackupKeyMismatch
from domain.backups.manifest import StoredFile

DAMAGED, WAITING, INCOMING = ".damaged", "blobs", "incoming"

Tick = Callable[[int], None]


@dataclass(frozen=True)
class Blob:
    """`size` and `sha256` are of the content; `added` is what it takes up on disk, nothing where it was there before."""

    name: str
    size: int
    sha256: str
    added: int


class Blobs:
    def __init__(self, folder: Path, key: Key | None):
        self.folder, self.key = folder / "uploads", key
        self.adding = Lock()
        self.home = self.folder / (key.fingerprint if key else "plain")

    def name_of(self, sha256: str) -> str:
        return sha256 if self.key is None else hmac.new(self.key.signing, bytes.fromhex(sha256), hashlib.sha256).hexdigest()

    def path(self, name: str) -> Path:
        return self.within(self.home, name)

    def within(self, home: Path, name: str) -> Path:
        return home / name[:2] / f"{name}{ending(self.key)}"

    def has(self, name: str) -> bool:
        return self.path(name).exists()

    def add(self, content: Readable, draft: Path, tick: Tick) -> Blob:
        """Store the content in the draft, read it again, and answer what it is; `place` gives it its place. Several threads may."""
        sealed = seal(content, draft, f"{INCOMING}-{get_ident()}", self.key, tick)
        incoming, name = draft / sealed.stored.name, self.name_of(sealed.sha256)
        waiting = self.within(draft / WAITING, name)
        if not self.has(name) and not waiting.exists():
            check(incoming, sealed.sha256, sealed.size, self.key, tick)
        with self.adding:
            added = not self.has(name) and not waiting.exists()
            if added:
                waiting.parent.mkdir(parents=True, exist_ok=True)
                incoming.rename(waiting)
        incoming.unlink(missing_ok=True)
        return Blob(name, sealed.size, sealed.sha256, sealed.stored.bytes if added else 0)

    def drop(self, blob: Blob, draft: Path) -> None:
        """Take back what was just added."""
        if blob.added:
            self.within(draft / WAITING, blob.name).unlink()

    def drop_all(self, draft: Path) -> None:
        shutil.rmtree(draft / WAITING, ignore_errors=True)
        for rest in draft.glob(f"{INCOMING}-*"):
            rest.unlink(missing_ok=True)

    def place(self, draft: Path) -> None:
        """Give what was added its place: it is on disk when this returns. Then the backup that names it may be entered."""
        waiting = draft / WAITING
        if not waiting.exists():
            return
        for shard in waiting.iterdir():
            home = self.home / shard.name
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            for blob in shard.iterdir():
                blob.rename(home / blob.name)
            shard.rmdir()
            sync(home)
        waiting.rmdir()
        for folder in (self.home, self.folder, self.folder.parent):
            sync(folder)

    def check(self, name: str, sha256: str, size: int, tick: Tick) -> None:
        """Raise BackupCorrupt unless the content comes back as it was.

        A damaged one is put aside: the next backup of a file that has this content stores it anew, and with that mends every backup."""
        path = self.path(name)
        try:
            self.look_into(name, sha256, size, tick)
        except Spoilt:
            path.replace(path.with_name(path.name + DAMAGED))
            raise

    def look_into(self, name: str, sha256: str, size: int, tick: Tick) -> None:
        """The same, and a damaged one stays where it is."""
        check(self.path(name), sha256, size, self.key, tick)

    def write(self, name: str, target: Writable) -> None:
        open_blob(self.path(name), target, self.key)

    def sweep(self, named: Callable[[str], bool]) -> int:
        """Remove what is not named; answers how many. Call only while one operation runs."""
        removed = 0
        for path in list_blobs(self.home):
            if not named(path.name.split(".", 1)[0]) or (path.name.endswith(DAMAGED) and path.with_suffix("").exists()):
                path.unlink(missing_ok=True)
                removed += 1
        return removed


def check(path: Path, sha256: str, size: int, key: Key | None, tick: Tick) -> None:
    telling = Telling(tick)
    found = Hashing(telling)
    try:
        open_blob(path, found, key)
    except Exception as error:
        if telling.failure is not None:
            raise telling.failure from None
        if isinstance(error, FileNotFoundError):
            raise BackupCorrupt("its content is not there", file=path.name, expected=sha256, actual=None) from None
        if isinstance(error, OSError):
            raise BackupCorrupt(f"its content cannot be read: {error.strerror}", file=path.name) from None
        if isinstance(error, BackupCorrupt | BackupKeyMismatch):  # the key is the right one, or the manifest had not been believed
            raise Spoilt("its content cannot be opened", file=path.name, expected=sha256, actual=None) from None
        raise
    if (found.hash.hexdigest(), found.size) != (sha256, size):
        raise Spoilt("its content is not what was stored", file=path.name, expected=sha256, actual=found.hash.hexdigest())


class Spoilt(BackupCorrupt):
    """It was read, and is not what was stored."""


def open_blob(path: Path, target: Writable, key: Key | None) -> None:
    unseal(path.parent, StoredFile(path.name, 0, ""), target, key)


def list_blobs(home: Path) -> Iterator[Path]:
    if home.is_dir():
        for shard in sorted(home.iterdir()):
            with os.scandir(shard) as found:
                yield from (Path(entry.path) for entry in found)


class Telling:
    """Tells the size so far of what is written. What that raises is kept: age would make an error of its own of it."""

    def __init__(self, tick: Tick):
        self.tick, self.size = tick, 0
        self.failure: BaseException | None = None

    def write(self, piece: bytes) -> None:
        self.size += len(piece)
        try:
            self.tick(self.size)
        except BaseException as failure:
            self.failure = failure
            raise
