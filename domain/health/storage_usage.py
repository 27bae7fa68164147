"""What the stored files, and those of the backups, amount to: counted by a worker once an hour, since counting means listing every one of
them."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, Session, mapped_column

from domain.db import Base, Timestamp, now
from domain.throttle import Limit, count_try, forgive

EVERY = timedelta(hours=1)
ONE_COUNTS = Limit("storage.count", tries=1, period=timedelta(minutes=50))


class StorageMeasurement(Base):
    """The newest count at one place; where the files are kept elsewhere from now on, the old count says nothing."""

    __tablename__ = "storage_measurements"

    place: Mapped[str] = mapped_column(String(64), primary_key=True)
    measured_at: Mapped[Timestamp]
    files: Mapped[int] = mapped_column(BigInteger())
    bytes: Mapped[int] = mapped_column(BigInteger())


def of_backups(folder: object, part: str = "") -> str:
    """The place of what is in BACKUP_DIR, or of a part of it."""
    return f"backups:{folder}:{part}"


def find(session: Session, url: str) -> StorageMeasurement | None:
    return session.get(StorageMeasurement, place_of(url))


def wanted(session: Session, url: str) -> bool:
    last = find(session, url)
    return last is None or last.measured_at < now() - EVERY


def claim(session: Session, url: str) -> bool:
    """Whether this worker is the one to count: of those who find it wanted at the same time, the first."""
    return count_try(session, ONE_COUNTS, url) is None


def give_up(session: Session, url: str) -> None:
    """The count came to nothing: whoever next finds it wanted may try."""
    forgive(session, ONE_COUNTS, url)


def note(session: Session, url: str, *, files: int, size: int) -> None:
    session.merge(StorageMeasurement(place=place_of(url), measured_at=now(), files=files, bytes=size))


def place_of(url: str) -> str:
    """A name of fixed length for STORAGE_URL."""
    return sha256(url.encode("utf-8", "surrogatepass")).hexdigest()
