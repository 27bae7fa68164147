"""What is asked for: which report, of which days, narrowed to what, as which kind of file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from domain.audit.queries import AuditFilters
from domain.db import now
from domain.errors import Invalid
from domain.marketplace.models import PayoutStatus
from domain.money import LARGEST
from domain.referrals.filters import ReferralFilters
from domain.referrals.risks import RiskCode
from domain.referrals.states import ReferralState
from domain.refunds.models import Priority, ProcessingState, RefundStatus
from domain.refunds.queries import SECOND_APPROVAL, Dated, RefundFilters

T = TypeVar("T", bound=StrEnum)
DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class ReportType(StrEnum):
    BOOKINGS = "bookings"
    PAYMENTS = "payments"
    REFUNDS = "refunds"
    REFERRALS = "referrals"
    AUDIT = "audit"


ANALYTICS = (ReportType.BOOKINGS, ReportType.PAYMENTS, ReportType.REFUNDS, ReportType.REFERRALS)
"""What an analytics_export is of; an audit_export is of the audit log."""


class Format(StrEnum):
    CSV = "csv"
    XLSX = "xlsx"


MEDIA_TYPES = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


@dataclass(frozen=True)
class ExportRequest:
    """`first` and `last` are days in UTC, both included. `refunds`, `referrals` and `entries` narrow the report as they narrow the list."""

    report_type: ReportType
    format: Format = Format.CSV
    first: date | None = None
    last: date | None = None
    refunds: RefundFilters = field(default_factory=RefundFilters)
    referrals: ReferralFilters = field(default_factory=ReferralFilters)
    entries: AuditFilters = field(default_factory=AuditFilters)

    @property
    def from_(self) -> datetime | None:
        return None if self.first is None else datetime.combine(self.first, time(), UTC)

    @property
    def before(self) -> datetime | None:
        """The first moment that is no longer included."""
        return None if self.last is None or self.last == date.max else datetime.combine(self.last + timedelta(days=1), time(), UTC)

    @property
    def file_name(self) -> str:
        """What a browser saves it as: "refunds-2025-10-01-to-2025-10-31.csv"."""
        first = f"-{self.first}" if self.first else ""
        return f"{self.report_type}{first}-to-{self.last or now().date()}.{self.format}"

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[self.format]


NARROWING = {
    ReportType.REFUNDS: tuple(
        "status q dated min_amount currency awaiting approver_id processing_state reason priority user_id vendor_id".split()
    ),
    ReportType.REFERRALS: tuple("status q min_amount currency payout_status risk referrer_id referred_id".split()),
}
"""By what a report may be narrowed: the filters of its list."""


def read_request(parameters: Mapping[str, Any]) -> ExportRequest:
    """The parameters of an analytics_export, checked. Raises Invalid, naming the field and saying what to write."""
    report_type = choice(parameters, "report_type", ReportType)
    if report_type is None or report_type not in ANALYTICS:
        raise Invalid(f"Write one of {', '.join(ANALYTICS)}.", field="report_type")
    first, last = days(parameters)
    refuse_foreign_filters(parameters, report_type)
    request = ExportRequest(report_type, choice(parameters, "format", Format) or Format.CSV, first, last)
    if report_type is ReportType.REFUNDS:
        return replace(request, refunds=refund_filters(parameters, request))
    if report_type is ReportType.REFERRALS:
        return replace(request, referrals=referral_filters(parameters, request))
    return request


def refuse_foreign_filters(parameters: Mapping[str, Any], report_type: ReportType) -> None:
    own = NARROWING.get(report_type, ())
    for name in dict.fromkeys(name for names in NARROWING.values() for name in names):
        if name not in own and parameters.get(name) not in (None, "", []):
            raise Invalid(f"An export of {report_type} is not narrowed by this: leave it out.", field=name)


def refund_filters(parameters: Mapping[str, Any], request: ExportRequest) -> RefundFilters:
    return RefundFilters(
        from_=request.from_,
        to=request.before,
        status=choices(parameters, "status", RefundStatus),
        processing_state=choices(parameters, "processing_state", ProcessingState),
        priority=choices(parameters, "priority", Priority),
        awaiting=awaiting(parameters),
        dated=choice(parameters, "dated", Dated),
        approver_id=identifier(parameters, "approver_id"),
        user_id=identifier(parameters, "user_id"),
        vendor_id=identifier(parameters, "vendor_id"),
        min_amount=amount(parameters, "min_amount"),
        currency=text(parameters, "currency", 3),
        reason=text(parameters, "reason", 100),
        q=text(parameters, "q", 200),
    )


def referral_filters(parameters: Mapping[str, Any], request: ExportRequest) -> ReferralFilters:
    return ReferralFilters(
        from_=request.from_,
        to=request.before,
        status=choices(parameters, "status", ReferralState),
        payout_status=choices(parameters, "payout_status", PayoutStatus),
        risk=choices(parameters, "risk", RiskCode),
        referrer_id=identifier(parameters, "referrer_id"),
        referred_id=identifier(parameters, "referred_id"),
        min_amount=amount(parameters, "min_amount"),
        currency=text(parameters, "currency", 3),
        q=text(parameters, "q", 200),
    )


def read_audit_request(parameters: Mapping[str, Any]) -> ExportRequest:
    """The parameters of an audit_export, checked in the same way."""
    first, last = days(parameters)
    request = ExportRequest(ReportType.AUDIT, choice(parameters, "format", Format) or Format.CSV, first, last)
    plain: dict[str, Any] = {name: text(parameters, name, longest) for name, longest in AUDIT_NARROWING.items()}
    return replace(request, entries=AuditFilters(from_=request.from_, to=request.before, action=names(parameters, "action"), **plain))


AUDIT_NARROWING = {"actor": 320, "object_type": 50, "object_id": 100, "request_id": 100, "ip": 64, "q": 200}


def days(parameters: Mapping[str, Any]) -> tuple[date | None, date | None]:
    first, last = day(parameters, "from"), day(parameters, "to")
    if first and last and first > last:
        raise Invalid("It is after to: swap the two.", field="from")
    return first, last


def names(parameters: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Words of any kind: a list, or with commas between them."""
    found = parameters.get(name) or []
    parts = found.split(",") if isinstance(found, str) else found
    if not isinstance(parts, list) or not all(isinstance(part, str) and len(part) <= 100 and not UNSTORABLE.search(part) for part in parts):
        raise Invalid("Write one or more words with commas between them.", field=name)
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def choice(parameters: Mapping[str, Any], name: str, known: type[T]) -> T | None:
    found = parameters.get(name)
    if found in (None, ""):
        return None
    if not isinstance(found, str) or found not in set(known):
        raise Invalid(f"Write one of {', '.join(known)}.", field=name)
    return known(found)


def choices(parameters: Mapping[str, Any], name: str, known: type[StrEnum]) -> tuple[str, ...]:
    """One value or several: a list, or as in an address with commas between them."""
    found = parameters.get(name) or []
    parts = found.split(",") if isinstance(found, str) else found
    if not isinstance(parts, list) or not all(isinstance(part, str) and part in set(known) for part in parts):
        raise Invalid(f"Write one or more of {', '.join(known)}.", field=name)
    return tuple(str(known(part)) for part in parts)


def awaiting(parameters: Mapping[str, Any]) -> str | None:
    found = parameters.get("awaiting")
    if found not in (None, "", SECOND_APPROVAL):
        raise Invalid(f"Write {SECOND_APPROVAL}, or leave it out.", field="awaiting")
    return found or None


def day(parameters: Mapping[str, Any], name: str) -> date | None:
    found = parameters.get(name)
    if found in (None, ""):
        return None
    try:
        if not isinstance(found, str) or not DAY.fullmatch(found):
            raise ValueError
        return date.fromisoformat(found)
    except ValueError:
        raise Invalid("Write a date such as 2025-10-31.", field=name) from None


def identifier(parameters: Mapping[str, Any], name: str) -> UUID | None:
    found = parameters.get(name)
    if found in (None, ""):
        return None
    try:
        return UUID(str(found))
    except ValueError:
        raise Invalid("Write a UUID.", field=name) from None


def amount(parameters: Mapping[str, Any], name: str) -> int | None:
    found = parameters.get(name)
    if found in (None, ""):
        return None
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= LARGEST:
        raise Invalid("Write minor units as a whole number.", field=name)
    return found


def text(parameters: Mapping[str, Any], name: str, longest: int) -> str | None:
    found = parameters.get(name)
    if found in (None, ""):
        return None
    if not isinstance(found, str) or len(found) > longest or UNSTORABLE.search(found):
        raise Invalid(f"Write text of at most {longest} characters.", field=name)
    return found
