"""The files of the storage as part of a backup.

Copied ones are blobs, each content once; where the bucket keeps all versions of its objects, their versions are noted instead. Either
way the backup has a list of them, one JSON object a line: path, size, time, hash. There may be a million, of which only a few are in
memory at a time.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from adapters.backups.blobs import Blob, Blobs, Tick
from adapters.backups.sealing import PIECE, Hashing, Key, Writable, check_stored, seal, unseal
from adapters.backups.sources import Entry, Source
from domain.backups.errors import BackupCorrupt, BackupKeyMismatch, UploadsUnreadable
from domain.backups.manifest import Manifest, StoredFile
from domain.backups.vault import Progress, UploadsReport
from domain.storage import FileReplaced, StorageError

LIST = "uploads"
TRIES = 3  # at a file that changes while it is read
AT_ONCE = 8  # questions to a bucket
NAMES = 20  # of each kind, in the report of a restore
BATCH = 200

COPIED, VERSIONS = "copied", "versions"

LookInto = Callable[[str, str, int, Tick], None]
"""Raises BackupCorrupt unless the blob of that name has the content of that hash and size."""


@dataclass(frozen=True)
class Kept(Entry):
    """A file as a backup has it: with the blob that holds its content, or a version of it that the bucket holds.

    `torn`: it changed whenever it was read, so its content may be partly of one moment and partly of another."""

    sha256: str | None = None
    blob: str | None = None
    torn: bool = False

    def line(self) -> bytes:
        return (
            json.dumps({name: value for name, value in asdict(self).items() if value is not None and value is not False}).encode() + b"\n"
        )


class Uploads:
    def __init__(self, source: Source, folder: Path, key: Key | None):
        self.source, self.key = source, key
        self.blobs = Blobs(folder, key)

    def look(self, draft: Path, earlier: tuple[Manifest, Path] | None) -> Look:
        """See what there is to be kept. `earlier` is the newest backup with uploads, and the folder of its files."""
        held = earlier[0].uploads if earlier is not None else None
        with said():
            if held and held["count"] and not self.source.there():
                raise StorageError("its folder is not there, and files were in it when the last backup was made: is its disk mounted?")
            look = Look(self, draft, VERSIONS if self.source.versioned() else COPIED)
            try:
                if earlier is not None:
                    with suppress(BackupCorrupt):  # then every file is read again
                        look.known.fill(self.listed(*earlier, draft))
                look.count()
            except BaseException:
                look.give_up()
                raise
        return look

    def sweep(self, kept: Iterable[tuple[Manifest, Path]], work: Path) -> int:
        """Remove the blobs that none of the backups names, which must be all there are. Call only while one operation runs."""
        with closing(Table(work / "named.db")) as named:
            for manifest, files in kept:
                for each in self.listed(manifest, files, work):
                    if each.blob is not None:
                        named.add(each.blob)
            return self.blobs.sweep(named.has)

    def listed(self, manifest: Manifest, files: Path, work: Path) -> Iterator[Kept]:
        """What the backup has, line by line. Raises BackupCorrupt."""
        stored = manifest.file(LIST)
        check_stored(files / stored.name, stored)
        plain = work / "listed.jsonl"
        try:
            with plain.open("wb") as file:
                unseal(files, stored, file, self.key)
            with plain.open("rb") as lines:
                for line in lines:
                    yield Kept(**json.loads(line))
        finally:
            plain.unlink(missing_ok=True)

    def check(self, manifest: Manifest, files: Path, work: Path, progress: Progress) -> str:
        """Read everything that the backup names again; answers what was compared. Raises BackupCorrupt."""
        assert manifest.uploads is not None
        self.read(self.listed(manifest, files, work), manifest.uploads, work, progress, self.blobs.check)
        return f"each of {manifest.uploads['count']} stored files read again"

    def check_lacking(self, manifest: Manifest, files: Path, work: Path, progress: Progress) -> None:
        """Read what a restore would bring back: what the backup names and the storage lacks. Nothing is changed, nor put aside.
        Raises BackupCorrupt, UploadsUnreadable."""
        assert manifest.uploads is not None
        with closing(Table(work / "there.db")) as there:
            with said():
                there.fill(self.source.entries(lambda path: None))
            lacking = (each for each in self.listed(manifest, files, work) if not there.has(each.path))
            self.read(lacking, manifest.uploads, work, progress, self.blobs.look_into)

    def read(self, wanted: Iterable[Kept], uploads: dict[str, Any], work: Path, progress: Progress, look_into: LookInto) -> None:
        """Each content once, each version asked for."""
        total, done = max(uploads["bytes"], 1), 0

        def told(size: int) -> None:
            progress(100 * min((done + size) / total, 1), "Reading stored files again")

        with closing(Table(work / "seen.db")) as seen, said():
            for batch in batches(wanted):
                self.check_versions([each for each in batch if each.version is not None], uploads)
                for each in batch:
                    if each.blob is not None and seen.add(each.blob):
                        check_blob(each, look_into, told)
                    done += each.size
                    told(0)

    def check_versions(self, wanted: Sequence[Kept], place: dict[str, Any]) -> None:
        """That each version can be read, several at a time."""
        if not wanted:
            return

        def check(each: Kept) -> None:
            assert each.version is not None
            try:
                self.source.check_version(each.path, each.version, place)
            except FileNotFoundError:
                raise BackupCorrupt(
                    f"The stored file {each.path}: the bucket no longer has this version of it.", path=each.path, file=LIST
                ) from None

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(check, wanted))

    def restore(self, manifest: Manifest, files: Path, work: Path, progress: Progress) -> UploadsReport:
        tally = Tally()
        assert manifest.uploads is not None
        try:
            with closing(Table(work / "there.db")) as there:
                there.fill(self.source.entries(lambda path: None))
                for each in self.listed(manifest, files, work):
                    progress(100 * tally.seen / max(manifest.uploads["count"], 1), "Bringing back stored files")
                    found = there.get(each.path)
                    if found is None:
                        self.bring_back(each, manifest.uploads, work, tally)
                    elif self.equal(each, Entry(**found)):
                        tally.same += 1
                    else:
                        tally.note_changed(each)
        except (BackupCorrupt, StorageError) as error:
            tally.problem = str(error)
        return tally.report()

    def bring_back(self, each: Kept, place: dict[str, Any], work: Path, tally: Tally) -> None:
        try:
            if each.version is not None:
                made = self.source.put_version(each.path, each.version, place)
            else:
                made = self.source.put(each.path, each.mtime_ns, lambda file: self.write(each, file), work)
        except FileNotFoundError:
            tally.note_missing(each, "the bucket no longer has this version of it")
        except (BackupCorrupt, StorageError) as error:
            tally.note_missing(each, str(error))
        else:
            if made:
                tally.added += 1
                tally.added_bytes += each.size
            else:  # it came to be a moment ago
                tally.note_changed(each)

    def write(self, each: Kept, target: Writable) -> None:
        assert each.blob is not None
        whole = Hashing(target)
        try:
            self.blobs.write(each.blob, whole)
        except FileNotFoundError:
            raise BackupCorrupt("its content is not there") from None
        except (BackupCorrupt, BackupKeyMismatch):
            raise BackupCorrupt("its content cannot be opened") from None
        if whole.hash.hexdigest() != each.sha256:
            raise BackupCorrupt("its content is not what was stored")

    def equal(self, each: Kept, found: Entry) -> bool:
        """Whether what is there is what the backup has: by its stamp where that says so, else by reading it."""
        if each.size != found.size:
            return False
        if each.stamp and each.stamp == found.stamp:
            return True
        if each.sha256 is None:
            return False
        whole = Hashing()
        try:
            with self.source.opened(each.path) as opened:
                while piece := opened.content.read(PIECE):
                    whole.write(piece)
        except FileNotFoundError:
            return False
        return whole.hash.hexdigest() == each.sha256


def check_blob(each: Kept, look_into: LookInto, tick: Tick) -> None:
    assert each.blob is not None and each.sha256 is not None
    try:
        look_into(each.blob, each.sha256, each.size, tick)
    except BackupCorrupt as error:
        raise BackupCorrupt(f"The stored file {each.path}: {error.message}.", path=each.path, **error.details) from None


class Look:
    """What there is in the storage, counted, and then kept."""

    def __init__(self, uploads: Uploads, draft: Path, kind: str):
        self.uploads, self.source, self.draft, self.kind = uploads, uploads.source, draft, kind
        self.known = Table(draft / "known.db")
        self.bytes = self.new_bytes = 0

    def count(self) -> None:
        """`new_bytes` is what will have to be copied, at most."""
        for entry in self.source.entries(lambda path: None):
            self.bytes += entry.size
            if self.kind == COPIED and self.known_as(entry) is None:
                self.new_bytes += entry.size

    def known_as(self, entry: Entry) -> Kept | None:
        """The file as the backup before has it, if it has not changed since and need not be kept again."""
        found = self.known.get(entry.path)
        if found is None or not entry.stamp:
            return None
        kept = Kept(**found)
        same = (kept.size, kept.stamp, kept.version) == (entry.size, entry.stamp, entry.version)
        return kept if same and (kept.blob is None or self.uploads.blobs.has(kept.blob)) else None

    def keep(self, progress: Progress) -> tuple[StoredFile, dict[str, Any]]:
        """Keep every file; answers the list of them, and what the manifest says of it."""
        tally, done = Counter[str](), 0
        plain = self.draft / "uploads.jsonl"

        def told(size: int) -> None:
            progress(100 * min((done + size) / max(self.bytes, 1), 1), "Keeping stored files")

        with said(), plain.open("wb") as listing:
            for batch in batches(self.source.entries(lambda path: tally.update(skipped=1))):
                made = self.versions(batch, tally) if self.kind == VERSIONS else self.copies(batch, tally, told)
                with closing(made):
                    for kept in made:
                        listing.write(kept.line())
                        tally.update(count=1, bytes=kept.size, torn=kept.torn)
                        done += kept.size
                        told(0)
        self.known.close()
        with plain.open("rb") as file:
            stored = seal(file, self.draft, LIST, self.uploads.key).stored
        plain.unlink()
        place = self.source.place() if self.kind == VERSIONS else {}
        return stored, {"kind": self.kind, **place, **{name: tally[name] for name in COUNTED}}

    def place(self) -> None:
        """Give what was kept its place. Only the backup's manifest is missing then."""
        self.uploads.blobs.place(self.draft)

    def give_up(self) -> None:
        """Leave nothing in the draft, which is to become a backup without files."""
        self.known.close()
        for rest in self.draft.glob(f"{LIST}*"):
            rest.unlink(missing_ok=True)
        self.uploads.blobs.drop_all(self.draft)

    def copies(self, batch: Sequence[Entry], tally: Counter[str], told: Tick) -> Generator[Kept]:
        known = {entry.path: self.known_as(entry) for entry in batch}
        with closing(in_order(self.copied, [path for path, kept in known.items() if kept is None], self.source.at_once, told)) as copied:
            for path, kept in known.items():
                if kept is None:
                    try:
                        kept, blob = next(copied)()
                    except FileNotFoundError:
                        tally["vanished"] += 1
                        continue
                    tally["stored_bytes"] += blob.added
                    if (self.known.get(path) or {}).get("sha256") != blob.sha256:
                        tally.update(new_count=1, new_bytes=blob.size)
                yield kept

    def copied(self, path: str, told: Tick) -> tuple[Kept, Blob]:
        """The content, stored. A file that changes while it is read is read again, and kept as it came the last time."""
        for last in (False,) * (TRIES - 1) + (True,):
            with self.source.opened(path) as opened:
                try:
                    blob = self.uploads.blobs.add(opened.content, self.draft, told)
                except FileReplaced:
                    if last:
                        raise
                    continue
                found, torn = opened.now()
            if torn and not last:
                self.uploads.blobs.drop(blob, self.draft)
                continue
            stamp = "" if torn else found.stamp
            return Kept(path, blob.size, found.mtime_ns, stamp, sha256=blob.sha256, blob=blob.name, torn=torn), blob
        raise AssertionError("the last try returns or raises")

    def versions(self, batch: Sequence[Entry], tally: Counter[str]) -> Generator[Kept]:
        """Those that are new are asked for, so that one that cannot be read is known now."""
        place = self.source.place()

        def there(entry: Entry) -> bool:
            assert entry.version is not None
            try:
                self.source.check_version(entry.path, entry.version, place)
            except FileNotFoundError:
                return False
            return True

        new = [entry for entry in batch if self.known_as(entry) is None]
        tally.update(new_count=len(new), new_bytes=sum(entry.size for entry in new))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            gone = {entry.path for entry, found in zip(new, pool.map(there, new), strict=True) if not found}
        tally["vanished"] += len(gone)
        yield from (Kept(**asdict(entry)) for entry in batch if entry.path not in gone)


COUNTED = ("count", "bytes", "new_count", "new_bytes", "stored_bytes", "vanished", "skipped", "torn")


@dataclass
class Tally:
    added: int = 0
    added_bytes: int = 0
    same: int = 0
    changed: list[str] = field(default_factory=list)
    changed_count: int = 0
    missing: list[str] = field(default_factory=list)
    missing_count: int = 0
    problem: str | None = None

    @property
    def seen(self) -> int:
        return self.added + self.same + self.changed_count + self.missing_count

    def note_changed(self, each: Kept) -> None:
        self.changed_count += 1
        if len(self.changed) < NAMES:
            self.changed.append(each.path)

    def note_missing(self, each: Kept, problem: str) -> None:
        self.missing_count += 1
        if len(self.missing) < NAMES:
            self.missing.append(each.path)
        self.problem = self.problem or f"{each.path}: {problem}"

    def report(self) -> UploadsReport:
        return UploadsReport(
            added=self.added,
            added_bytes=self.added_bytes,
            same=self.same,
            changed=self.changed_count,
            missing=self.missing_count,
            changed_names=tuple(self.changed),
            missing_names=tuple(self.missing),
            problem=self.problem,
        )


class Table:
    """Entries by path, or names, on disk while there are too many for memory. The file is gone when it is closed: the names of files are
    nothing to leave unencrypted in a backup."""

    def __init__(self, file: Path):
        self.file = file
        self.connection = sqlite3.connect(file, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=OFF")
        self.connection.execute("PRAGMA synchronous=OFF")
        self.connection.execute("CREATE TABLE found (name BLOB PRIMARY KEY, facts BLOB) WITHOUT ROWID")

    def fill(self, entries: Iterable[Entry]) -> None:
        rows = ((packed(entry.path), json.dumps(asdict(entry))) for entry in entries)
        self.connection.execute("BEGIN")
        self.connection.executemany("INSERT OR REPLACE INTO found VALUES (?, ?)", rows)
        self.connection.execute("COMMIT")

    def add(self, name: str) -> bool:
        """Whether it is new."""
        return self.connection.execute("INSERT OR IGNORE INTO found VALUES (?, NULL)", (packed(name),)).rowcount == 1

    def has(self, name: str) -> bool:
        return self.connection.execute("SELECT 1 FROM found WHERE name = ?", (packed(name),)).fetchone() is not None

    def get(self, name: str) -> dict[str, Any] | None:
        row = self.connection.execute("SELECT facts FROM found WHERE name = ?", (packed(name),)).fetchone()
        return None if row is None else json.loads(row[0])

    def close(self) -> None:
        self.connection.close()
        self.file.unlink(missing_ok=True)


def packed(name: str) -> bytes:
    """File names may be no text at all."""
    return name.encode("utf-8", "surrogatepass")


T = TypeVar("T")


def batches(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def in_order(act: Callable[[str, Tick], T], items: Sequence[str], at_once: int, told: Tick) -> Generator[Callable[[], T]]:
    """What the act makes of each, in their order; some are under way at a time. It is told to the caller's thread alone how many bytes
    they have come to, and what that raises stops them all."""
    if at_once == 1:
        yield from (partial(act, item, told) for item in items)
        return
    sizes: dict[str, int] = {}
    stopping = Event()

    def run(item: str) -> T:
        def tick(size: int) -> None:
            if stopping.is_set():
                raise CancelledError
            sizes[item] = size

        return act(item, tick)

    pool = ThreadPoolExecutor(at_once)
    try:
        for item, future in [(item, pool.submit(run, item)) for item in items]:
            while not wait([future], TICK_SECONDS).done:
                told(sum(list(sizes.values())))
            sizes.pop(item, None)
            yield future.result
    finally:
        stopping.set()
        pool.shutdown(cancel_futures=True)


TICK_SECONDS = 0.2


@contextmanager
def said() -> Iterator[None]:
    """What the storage refuses, as what speaks against the backup."""
    try:
        yield
    except StorageError as error:
        raise UploadsUnreadable(f"The files of the storage cannot be read: {error}") from None
