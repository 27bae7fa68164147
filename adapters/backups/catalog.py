"""The folder of backups: one folder of files and one manifest each. What is being made is under a name of its own until it is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from domain.backups import manifest as manifests
from domain.backups.errors import BackupCorrupt, BackupKeyMismatch, BackupNotFound
from domain.backups.manifest import Manifest

UNFINISHED = ".unfinished"
COPY = "manifest.json"
ID = "????????-????-????-????-????????????"
Mark = tuple[int, int, int]
"""What a file is known again by: a manifest is always written as a new file."""


class Catalog:
    """`folder/<id>/` has a backup's files, `folder/<id>.json` its manifest, written last: without it there is no backup.

    The files have a copy of it among them: from that a manifest that was lost is entered again.
    """

    def __init__(self, folder: Path, signing: bytes, fingerprint: str | None):
        self.folder, self.signing, self.fingerprint = folder, signing, fingerprint
        self.seen: dict[Path, tuple[Mark, Manifest]] = {}

    def list(self) -> Sequence[Manifest]:
        found = []
        for path in self.documents():
            with suppress(BackupCorrupt, BackupKeyMismatch, BackupNotFound):
                found.append(self.glance(path))
        return sorted(found, key=lambda manifest: (manifest.snapshot_at, str(manifest.id)), reverse=True)

    def damaged(self) -> Sequence[str]:
        names = []
        for path in self.documents():
            try:
                self.glance(path)
            except (BackupCorrupt, BackupKeyMismatch):
                names.append(path.stem)
            except BackupNotFound:  # removed a moment ago
                pass
        return sorted([*names, *(path.name for path in self.lost())])

    def lost(self) -> Sequence[Path]:
        """The folders of backups whose manifest is gone."""
        return [path for path in self.folder.glob(ID) if (path / COPY).exists() and not path.with_name(f"{path.name}.json").exists()]

    def get(self, backup_id: UUID) -> Manifest:
        return self.read(self.document(backup_id))

    def glance(self, path: Path) -> Manifest:
        """The same for a list, which is looked at often: read again only where the file is another one than it was."""
        try:
            facts = path.stat()
        except FileNotFoundError:
            self.seen.pop(path, None)
            raise BackupNotFound from None
        except OSError:
            return self.read(path)
        mark = facts.st_ino, facts.st_mtime_ns, facts.st_size
        known = self.seen.get(path)
        if known is None or known[0] != mark:
            known = self.seen[path] = mark, self.read(path)
        return known[1]

    def read(self, path: Path) -> Manifest:
        try:
            manifest = manifests.read(path.read_bytes(), self.signing, self.fingerprint)
        except FileNotFoundError:
            raise BackupNotFound from None
        except OSError as error:
            raise BackupCorrupt(f"The manifest of backup {path.stem} cannot be read: {error.strerror}.") from None
        if str(manifest.id) != path.stem:
            raise BackupCorrupt(f"The manifest of backup {path.stem} is another backup's.")
        return manifest

    def documents(self) -> Iterator[Path]:
        yield from self.folder.glob(f"{ID}.json")

    def document(self, backup_id: UUID) -> Path:
        return self.folder / f"{backup_id}.json"

    def files(self, backup_id: UUID) -> Path:
        return self.folder / str(backup_id)

    @contextmanager
    def unfinished(self, backup_id: UUID) -> Iterator[Path]:
        """A folder for the files of a backup that is being made; it is gone at the end unless `keep` has taken it."""
        draft = self.folder / f"{backup_id}{UNFINISHED}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True, mode=0o700)
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def keep(self, draft: Path, manifest: Manifest) -> None:
        """The files in their place first, then the manifest; where that cannot be written, nothing of it stays."""
        draft.rename(self.files(manifest.id))
        try:
            sync(self.folder)
            self.write(manifest)
        except BaseException:
            with suppress(OSError):
                self.remove(manifest.id)
            raise

    def write(self, manifest: Manifest) -> None:
        document = manifests.write(manifest, self.signing)
        write_whole(self.document(manifest.id), document)
        if self.files(manifest.id).is_dir():
            write_whole(self.files(manifest.id) / COPY, document)

    def read_copy(self, backup_id: UUID) -> Manifest:
        """The manifest as the backup's own folder has it. Raises BackupNotFound, BackupCorrupt, BackupKeyMismatch."""
        try:
            manifest = manifests.read((self.files(backup_id) / COPY).read_bytes(), self.signing, self.fingerprint)
        except FileNotFoundError:
            raise BackupNotFound from None
        except OSError as error:
            raise BackupCorrupt(f"The copy of the manifest cannot be read: {error.strerror}.") from None
        if manifest.id != backup_id:
            raise BackupCorrupt("The manifest in the backup's folder is another backup's.")
        return manifest

    def remove(self, backup_id: UUID) -> None:
        """The manifest first: a backup without its files must never be listed. Its copy before that, or it would pass for a lost one."""
        (self.files(backup_id) / COPY).unlink(missing_ok=True)
        self.document(backup_id).unlink(missing_ok=True)
        sync(self.folder)
        shutil.rmtree(self.files(backup_id), ignore_errors=True)

    def remove_rests(self) -> bool:
        """What a process that died left behind; answers whether one died in the middle of its work. Call only while no operation runs."""
        unfinished = list(self.folder.glob(f"*{UNFINISHED}"))
        for path in unfinished:
            shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.glob("*.part"):
            unfinished.append(path)
            path.unlink(missing_ok=True)
        for path in self.folder.glob(ID):
            if path.is_dir() and not path.with_name(f"{path.name}.json").exists() and not (path / COPY).exists():
                unfinished.append(path)
                shutil.rmtree(path, ignore_errors=True)
        return bool(unfinished)


def write_whole(path: Path, content: bytes) -> None:
    draft = path.with_suffix(f".{os.getpid()}.part")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(folder: Path) -> None:
    """A new name is on disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
