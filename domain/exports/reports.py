"""What every report has: which rows it takes, in which order, and how they become the cells of a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from sqlalchemy import Select
from sqlalchemy.orm import Session

from domain.exports.audit import Entries
from domain.exports.bookings import Bookings
from domain.exports.cells import Row
from domain.exports.payments import Payments
from domain.exports.referrals import Referrals
from domain.exports.refunds import Refunds
from domain.exports.request import ExportRequest, ReportType


class Report(Protocol):
    header: tuple[str, ...]

    def keys(self, request: ExportRequest) -> Select[UUID]:
        """The ids of the rows, newest first."""
        ...

    def rows(self, session: Session, request: ExportRequest, ids: Sequence[UUID], emails: bool) -> dict[UUID, Row]:
        """These rows as they are now; one that no longer fits what was asked for is left out. `emails`: unmasked."""
        ...


REPORTS: dict[ReportType, Report] = {
    ReportType.BOOKINGS: Bookings(),
    ReportType.PAYMENTS: Payments(),
    ReportType.REFUNDS: Refunds(),
    ReportType.REFERRALS: Referrals(),
    ReportType.AUDIT: Entries(),
}
