"""Where files that people download are kept: a local folder, or a bucket of S3 or of whatever speaks S3."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import IO, Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

from config import Config, ConfigError
from domain.storage import FileReplaced, Space, Storage, StorageError

log = logging.getLogger(__name__)

T = TypeVar("T")
PIECE = 256 * 1024
NAME = re.compile(r"[a-z]+/[A-Za-z0-9-]+(\.[a-z0-9]+)?")
DRAFT = re.compile(r"\.[A-Za-z0-9-]+(\.[a-z0-9]+)?\.[0-9]+")


def make_storage(config: Config) -> Storage:
    parts = urlsplit(config.storage_url)
    if parts.scheme == "s3":
        return BucketStorage(parts.netloc, unquote(parts.path).strip("/"), config.s3_endpoint_url)
    return FolderStorage(Path(unquote(parts.path)))


def checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise StorageError(f"{name!r} is no name of a stored file")
    return name


class FolderStorage:
    provider = "local"

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / checked(name)

    def save(self, name: str, source: Path) -> None:
        """By way of a draft beside it, since the folder may be another disk: whoever opens the name finds all of it."""
        path = self.path(name)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                source.rename(draft)
            except OSError:
                shutil.copyfile(source, draft)
            with draft.open("rb") as written:
                os.fsync(written.fileno())
            draft.replace(path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise StorageError(f"The file could not be kept: {error.strerror}") from None

    def open(self, name: str) -> tuple[Iterator[bytes], int]:
        try:
            file = self.path(name).open("rb")
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError(f"The file could not be read: {error.strerror}") from None

        return Pieces(file), os.fstat(file.fileno()).st_size

    def delete(self, name: str) -> None:
        try:
            path = self.path(name)
            for draft in path.parent.glob(f".{path.name}.*"):
                draft.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"The file could not be removed: {error.strerror}") from None

    def names(self, folder: str, before: datetime) -> Iterator[str]:
        for entry in self.entries(folder, before):
            if NAME.fullmatch(f"{folder}/{entry.name}"):
                yield f"{folder}/{entry.name}"

    def drop_unfinished(self, folder: str, before: datetime) -> int:
        drafts = [entry for entry in self.entries(folder, before) if DRAFT.fullmatch(entry.name)]
        for draft in drafts:
            with suppress(OSError):
                Path(draft).unlink()
        return len(drafts)

    def entries(self, folder: str, before: datetime) -> Iterator[os.DirEntry[str]]:
        """The plain files in it that were written before that moment."""
        try:
            with os.scandir(self.folder / folder) as found:
                for entry in found:
                    with suppress(FileNotFoundError):
                        changed = datetime.fromtimestamp(entry.stat(follow_symlinks=False).st_mtime, UTC)
                        if changed < before and entry.is_file(follow_symlinks=False):
                            yield entry
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"The files could not be listed: {error.strerror}") from None

    def check(self) -> None:
        """The folder is made with the first file, so it is the place for it that must be there."""
        if not self.standing().is_dir() or not os.access(self.standing(), os.W_OK | os.X_OK):
            raise StorageError("The files cannot be kept: the folder is not one that can be written.")

    def space(self) -> Space | None:
        try:
            found = shutil.disk_usage(self.standing())
        except OSError as error:
            raise StorageError(f"The disk cannot be asked: {error.strerror}") from None
        return Space(found.total - found.free, found.total)

    def standing(self) -> Path:
        """The folder, or what of the way to it is there."""
        return next(path for path in (self.folder, *self.folder.parents) if path.exists())

    def sizes(self) -> Iterator[int]:
        for place, _, names in os.walk(self.folder):
            for name in names:
                with suppress(OSError):
                    yield Path(place, name).lstat().st_size


class Pieces:
    """An open file, piece by piece; closed at its end, and by `close` where nobody reads that far."""

    def __init__(self, file: IO[bytes]):
        self.file = file

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if piece := self.file.read(PIECE):
            return piece
        self.close()
        raise StopIteration

    def close(self) -> None:
        self.file.close()


CONNECT_SECONDS, READ_SECONDS, TRIES = 5, 30, 4
CHECK_SECONDS = 2
MULTIPART_FROM = 8 * 1024 * 1024


class BucketStorage:
    """Keys come from where boto3 finds them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, the machine's own role."""

    provider = "s3"

    def __init__(self, bucket: str, prefix: str, endpoint: str | None):
        try:
            import boto3  # noqa: F401  -- an extra: only a portal that keeps its files in S3 needs it
        except ImportError:
            raise ConfigError(["STORAGE_URL: s3:// needs the package boto3; install it with pip install 'admin-portal[s3]'"]) from None
        self.bucket, self.prefix, self.endpoint = bucket, prefix, endpoint
        self.lock = Lock()

    def key(self, name: str) -> str:
        return f"{self.prefix}/{checked(name)}" if self.prefix else checked(name)

    def client(self) -> Any:
        """Made on first use, by one thread: making it is slow and not safe for several, using it is."""
        with self.lock:
            return self.patient_client

    @cached_property
    def patient_client(self) -> Any:
        return self.make_client(CONNECT_SECONDS, READ_SECONDS, TRIES)

    @property
    def quick_client(self) -> Any:
        with self.lock:
            return self.impatient_client

    @cached_property
    def impatient_client(self) -> Any:
        return self.make_client(CHECK_SECONDS, CHECK_SECONDS, 1)

    def make_client(self, connect_seconds: float, read_seconds: float, tries: int) -> Any:
        from boto3.session import Session
        from botocore.config import Config as ClientConfig

        return Session().client(
            "s3",
            endpoint_url=self.endpoint,
            config=ClientConfig(
                signature_version="s3v4",
                connect_timeout=connect_seconds,
                read_timeout=read_seconds,
                retries={"mode": "standard", "total_max_attempts": tries},
                s3={"addressing_style": "path" if self.endpoint else "auto"},  # other stores seldom have a name for each bucket
                request_checksum_calculation="when_required",  # the trailing checksums that are the default now, many stores refuse
                response_checksum_validation="when_required",
                user_agent_extra="admin-portal",
            ),
        )

    def save(self, name: str, source: Path) -> None:
        self.upload(self.key(name), source)
        with suppress(OSError):
            source.unlink()

    def upload(self, key: str, source: Path) -> None:
        """In parts where it is large; what was begun and failed is taken back by the client."""
        from boto3.s3.transfer import TransferConfig

        parts = TransferConfig(multipart_threshold=MULTIPART_FROM, multipart_chunksize=MULTIPART_FROM, max_concurrency=2)
        self.ask("keep", lambda: self.client().upload_file(str(source), self.bucket, key, Config=parts))

    def open(self, name: str) -> tuple[Iterator[bytes], int]:
        answer = self.ask("read", lambda: self.client().get_object(Bucket=self.bucket, Key=self.key(name)))
        return self.pieces(self.key(name), answer), int(answer["ContentLength"])

    def pieces(self, key: str, answer: Any) -> Generator[bytes]:
        """The content; where the connection breaks, it is asked for again from where it broke, as long as that brings something."""
        from botocore.exceptions import BotoCoreError

        size, at, tries = int(answer["ContentLength"]), 0, 0
        while at < size:
            try:
                for piece in answer["Body"].iter_chunks(PIECE):
                    at, tries = at + len(piece), 0
                    yield piece
            except (BotoCoreError, OSError) as error:
                log.warning("reading a stored file broke off (%s)", type(error).__name__)
            finally:
                answer["Body"].close()
            if at < size:
                tries += 1
                if tries == TRIES:
                    raise StorageError("The storage broke off while the file was read.")
                rest = {"Range": f"bytes={at}-", "IfMatch": answer["ETag"]}
                answer = self.ask("read", partial(self.client().get_object, Bucket=self.bucket, Key=key, **rest))

    def delete(self, name: str) -> None:
        self.ask("remove", lambda: self.client().delete_object(Bucket=self.bucket, Key=self.key(name)))

    def names(self, folder: str, before: datetime) -> Iterator[str]:
        for page in self.pages("list_objects_v2", folder):
            for found in page.get("Contents", ()):
                name = found["Key"].removeprefix(f"{self.prefix}/") if self.prefix else found["Key"]
                if found["LastModified"] < before and NAME.fullmatch(name):
                    yield name

    def check(self) -> None:
        """With little patience and one try: whoever asks after its health wants to know how it is now."""
        self.ask("list", lambda: self.quick_client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1))

    def space(self) -> Space | None:
        return None

    def sizes(self) -> Iterator[int]:
        for page in self.pages("list_objects_v2", ""):
            for found in page.get("Contents", ()):
                yield int(found["Size"])

    def drop_unfinished(self, folder: str, before: datetime) -> int:
        """Uploads in parts whose process died: they are paid for, and no list of files shows them."""
        old = [found for page in self.pages("list_multipart_uploads", folder) for found in page.get("Uploads", ())]
        old = [found for found in old if found["Initiated"] < before]
        for found in old:
            with suppress(FileNotFoundError):
                drop = partial(self.client().abort_multipart_upload, Bucket=self.bucket, Key=found["Key"], UploadId=found["UploadId"])
                self.ask("remove", drop)
        return len(old)

    def pages(self, operation: str, folder: str) -> Iterator[Any]:
        """What the store lists under the folder, page by page; all that is ours where none is named."""
        prefix = "".join(f"{part}/" for part in (self.prefix, folder) if part)
        found = iter(self.client().get_paginator(operation).paginate(Bucket=self.bucket, Prefix=prefix))
        while (page := self.ask("list", lambda: next(found, None))) is not None:
            yield page

    def ask(self, act: str, call: Callable[[], T]) -> T:
        """Ask the store, and put what goes wrong into words; the log has more. Raises FileNotFoundError, StorageError."""
        from boto3.exceptions import Boto3Error, S3UploadFailedError
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

        try:
            try:
                return call()
            except S3UploadFailedError as error:
                raise error.__context__ or error from None  # it hides what went wrong behind names of files and buckets
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in ("NoSuchKey", "NoSuchVersion", "NoSuchUpload", "404"):
                raise FileNotFoundError("It is not in the storage.") from None
            if code == "PreconditionFailed":
                raise FileReplaced("The file was written anew while it was read.") from None
            log.warning("the storage refused to %s: %s", act, error)
            raise StorageError(f"{FAILURES[act]}: {REFUSALS.get(code, f'the storage answered {code}')}.") from None
        except (NoCredentialsError, PartialCredentialsError):
            raise StorageError(f"{FAILURES[act]}: no keys for the storage are set.") from None
        except (BotoCoreError, Boto3Error, OSError) as error:
            log.warning("the storage could not %s: %s", act, error)
            raise StorageError(f"{FAILURES[act]}: the storage could not be reached.") from None


FAILURES = {
    "keep": "The file could not be kept",
    "read": "The file could not be read",
    "remove": "The file could not be removed",
    "list": "The files could not be listed",
}
REFUSALS = {
    "NoSuchBucket": "its bucket does not exist",
    "AccessDenied": "the storage denies access to it",
    "403": "the storage denies access to it",  # an answer without a body
    "InvalidAccessKeyId": "the storage does not know the access key",
    "SignatureDoesNotMatch": "the storage does not accept the secret key",
    "SlowDown": "the storage asks to be called less often",
    "InternalError": "the storage has an error of its own",
}
