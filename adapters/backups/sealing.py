"""How the files of a backup are stored: compressed with zstd, then, where there is a key, encrypted with age.

Both are formats of their own that other programs read: `age -d -i key.txt db.zst.age | zstd -d > portal.db` needs nothing of ours.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import zstandard

from config import ConfigError
from domain.backups.errors import BackupCorrupt, BackupKeyMismatch
from domain.backups.manifest import StoredFile

LEVEL = 3
PIECE = 1 << 20
THREADS = min(os.cpu_count() or 1, 4)
"""That compress what is large. Small files are done before a thread has begun."""


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Writable(Protocol):
    def write(self, piece: bytes, /) -> object: ...


@dataclass(frozen=True)
class Key:
    """An age identity; `fingerprint` names it without giving it away, `signing` signs what is not secret."""

    identity: Any
    fingerprint: str
    signing: bytes

    @property
    def recipient(self) -> Any:
        return self.identity.to_public()


NO_KEY_SIGNING = b"portal backups without a key"
"""Whoever has no key still learns of a manifest that was damaged, though not of one that was forged."""


def read_key(file: Path | None) -> Key | None:
    if file is None:
        return None
    try:
        import pyrage  # here, since only backups need it

        lines = [line.strip() for line in file.read_text().splitlines()]
        secret = next(line for line in lines if line.startswith("AGE-SECRET-KEY-"))
        identity = pyrage.x25519.Identity.from_str(secret)
    except (OSError, StopIteration, UnicodeDecodeError, pyrage.IdentityError):
        mistake = "BACKUP_KEY_FILE: it holds no age identity; write one with `flask backup key FILE` or `age-keygen -o FILE`"
        raise ConfigError([mistake]) from None
    public = str(identity.to_public())
    return Key(identity, hashlib.sha256(public.encode()).hexdigest()[:16], hmac.new(secret.encode(), b"manifest", hashlib.sha256).digest())


def signing_key(key: Key | None) -> bytes:
    return NO_KEY_SIGNING if key is None else key.signing


def ending(key: Key | None) -> str:
    return ".zst" if key is None else ".zst.age"


class Hashing:
    """Passes on what is written, and knows its size and SHA-256."""

    def __init__(self, target: Writable | None = None):
        self.target = target
        self.hash, self.size = hashlib.sha256(), 0
        self.failure: BaseException | None = None

    def write(self, piece: bytes) -> int:
        self.hash.update(piece)
        self.size += len(piece)
        try:
            if self.target is not None:
                self.target.write(piece)
        except BaseException as failure:
            self.failure = failure  # age would make an error of its own of it
            raise
        return len(piece)

    def flush(self) -> None:
        pass


class Reading:
    """Passes on what is read, and knows its size and SHA-256. `tick` hears the size so far, and may raise to stop."""

    def __init__(self, source: Readable, tick: Callable[[int], None]):
        self.source, self.tick = source, tick
        self.hash, self.size = hashlib.sha256(), 0
        self.failure: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            self.tick(self.size)
            piece = self.source.read(size)
        except BaseException as failure:
            self.failure = failure  # age would make an error of its own of it
            raise
        self.hash.update(piece)
        self.size += len(piece)
        return piece


@dataclass(frozen=True)
class Sealed:
    """`sha256` and `size` are of what was read; `stored` says what is on disk."""

    stored: StoredFile
    sha256: str
    size: int


def seal(
    source: Readable, folder: Path, name: str, key: Key | None, tick: Callable[[int], None] = lambda size: None, *, threads: int = 0
) -> Sealed:
    """Store what the source yields as a file of the folder; it is whole and on disk when this returns, or not there."""
    path = folder / f"{name}{ending(key)}"
    reading, whole = Reading(source, tick), False
    stored = Hashing()
    try:
        with path.open("xb") as file:
            stored = Hashing(file)
            write_sealed(reading, stored, key, threads)
            file.flush()
            os.fsync(file.fileno())
        whole = True
    except Exception:  # of age, of zstd or of the disk: what stopped the reading or the writing is what the caller is to hear
        if failure := reading.failure or stored.failure:
            raise failure from None
        raise
    finally:
        if not whole:
            path.unlink(missing_ok=True)
    return Sealed(StoredFile(path.name, stored.size, stored.hash.hexdigest()), reading.hash.hexdigest(), reading.size)


def write_sealed(reading: Reading, target: Hashing, key: Key | None, threads: int) -> None:
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, threads=threads)
    compressed = compressor.stream_reader(reading, read_size=PIECE)  # type: ignore[arg-type]
    if key is None:
        while piece := compressed.read(PIECE):
            target.write(piece)
    else:
        import pyrage

        pyrage.encrypt_io(compressed, target, [key.recipient])


def unseal(folder: Path, stored: StoredFile, target: Writable, key: Key | None) -> None:
    """Write what was stored to the target. Ask `check_stored` first: zstd takes a file that was cut for a shorter one."""
    path = folder / stored.name
    opened = zstandard.ZstdDecompressor().stream_writer(target, closefd=False)  # type: ignore[arg-type]
    try:
        with path.open("rb") as file:
            if stored.name.endswith(".age"):
                if key is None:
                    raise BackupKeyMismatch("This backup is encrypted, and BACKUP_KEY_FILE is not set.")
                import pyrage

                try:
                    pyrage.decrypt_io(file, opened, [key.identity])
                except pyrage.DecryptError as error:
                    raise BackupKeyMismatch(f"{stored.name} was not encrypted for the key in BACKUP_KEY_FILE: {error}.") from None
            else:
                while piece := file.read(PIECE):
                    opened.write(piece)
            opened.flush()  # type: ignore[no-untyped-call]
    except (zstandard.ZstdError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # age's own have none: this is the disk's, or the target's
            raise
        raise BackupCorrupt(f"{stored.name} cannot be opened: {error}", file=stored.name) from None


def check_stored(path: Path, stored: StoredFile) -> None:
    """Raises BackupCorrupt unless the file is byte for byte what was stored."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                found.update(piece)
    except FileNotFoundError:
        raise BackupCorrupt(f"{stored.name} is not there.", file=stored.name, expected=stored.sha256, actual=None) from None
    except OSError as error:
        raise BackupCorrupt(f"{stored.name} cannot be read: {error.strerror}.", file=stored.name) from None
    if found.hexdigest() != stored.sha256:
        message = f"{stored.name} is not what was stored: a disk or somebody changed it."
        raise BackupCorrupt(message, file=stored.name, expected=stored.sha256, actual=found.hexdigest())
