"""What an export holds: which rows, in which order, and what stands in each column."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from domain.access import Permission
from domain.db import now
from domain.errors import Forbidden, Invalid
from domain.exports.cells import major, masked
from domain.exports.making import prepare
from domain.exports.request import NARROWING, read_request
from domain.jobs.commands import retry, start
from domain.jobs.models import JobStatus
from domain.marketplace.models import PayoutStatus, ReferralStatus
from domain.refunds.models import ExternalRefund, ProcessingState, RefundStatus
from domain.refunds.policy import RefundPolicy
from domain.refunds.queries import list_refunds
from domain.roles.models import Role
from tests.factories import (
    actor_of,
    make_actor,
    make_admin,
    make_booking,
    make_payment,
    make_referral,
    make_refund,
    make_user,
    make_vendor,
)

EVERY_FILTER = sorted({name for names in NARROWING.values() for name in names})
EXPORTS = (Permission.ANALYTICS_VIEW, Permission.REFUNDS_LIST, Permission.REFERRALS_LIST)


@pytest.fixture
def export(session):
    """The rows of an export as dictionaries, as its file would hold them."""

    def make(report_type, *more_permissions, **parameters):
        actor = make_actor(session, *EXPORTS, *more_permissions)
        job = start(session, actor, "analytics_export", {"report_type": report_type, **parameters})
        made = prepare(session, job)
        session.flush()
        ids = [id for part in made.keys(session) for id in part]
        return [dict(zip(made.header, row, strict=True)) for row in made.rows(session, ids)]

    return make


def at(day, hour=12):
    return datetime(2025, 10, day, hour, tzinfo=UTC)


def test_bookings_come_with_the_money_that_came_in(session, export):
    booking = make_booking(session, created_at=at(3), scheduled_at=None)
    make_payment(session, booking, amount_cents=98_450)
    make_payment(session, booking, amount_cents=1_550)
    make_payment(session, booking, amount_cents=7, status="failed")

    [row] = export("bookings")

    assert (row["booking_number"], row["created_at"], row["scheduled_at"]) == (booking.booking_number, at(3), None)
    assert (row["payments"], row["paid_minor"], row["paid"], row["currency"]) == (2, 100_000, Decimal("1000.00"), "INR")
    assert (row["user_name"], row["vendor_name"]) == (booking.user.name, booking.vendor.name)


def test_a_booking_paid_in_two_currencies_has_no_sum(session, export):
    booking = make_booking(session)
    for currency in ("USD", "INR"):
        make_payment(session, booking, currency=currency)

    [row] = export("bookings")

    assert (row["payments"], row["paid_minor"], row["paid"], row["currency"]) == (2, None, None, "INR + USD")


def test_a_booking_without_payment_is_there(session, export):
    make_booking(session)
    [row] = export("bookings")
    assert (row["payments"], row["paid_minor"], row["currency"]) == (0, 0, None)


def test_payments_come_with_what_was_given_back(session, export):
    payment = make_payment(session, amount_cents=100_000, paid_at=at(3))
    make_refund(session, payment, status=RefundStatus.PROCESSED, requested_amount_cents=30_000)
    make_refund(session, payment, status=RefundStatus.APPROVED, requested_amount_cents=5_000)
    make_refund(session, payment, status=RefundStatus.APPROVED, requested_amount_cents=60_000, processing_state=ProcessingState.FAILED)
    make_refund(session, payment, requested_amount_cents=1_000)
    for amount, failed in ((250, False), (9_000, True)):
        fields = {"gateway": "sandbox", "gateway_refund_id": uuid4().hex, "currency": "INR"}
        session.add(ExternalRefund(payment_id=payment.id, amount_cents=amount, failed=failed, **fields))

    [row] = export("payments")

    assert (row["amount_minor"], row["refunded_minor"], row["net_minor"]) == (100_000, 35_250, 64_750)
    assert (row["amount"], row["refunded"], row["net"]) == (Decimal("1000.00"), Decimal("352.50"), Decimal("647.50"))
    assert (row["provider_payment_id"], row["booking_number"]) == (payment.provider_payment_id, payment.booking.booking_number)


def test_payments_never_paid_are_last_and_on_no_day(session, export):
    make_payment(session, paid_at=None, status="failed")
    paid = make_payment(session, paid_at=at(3))
    assert [row["status"] for row in export("payments")] == ["captured", "failed"]
    assert [row["payment_id"] for row in export("payments", **{"from": "2025-10-03"})] == [str(paid.id)]


def test_refunds_say_who_decided_and_what_became_of_it(session, export):
    approver, rejecter = make_admin(session), make_admin(session)
    done = make_refund(session, status="processed", approved_by=approver.id, transaction_id="re_1", requested_at=at(4), currency="JPY")
    gone = make_refund(session, status="rejected", rejected_by=rejecter.id, decision_reason="Too late", requested_at=at(3))

    first, second = export("refunds")

    assert (first["refund_number"], second["refund_number"]) == (done.refund_number, gone.refund_number)
    assert (first["approved_by"], first["transaction_id"], first["processing_state"]) == (approver.name, "re_1", "done")
    assert (first["requested_minor"], first["requested"], first["currency"]) == (100_000, Decimal(100_000), "JPY")
    assert (second["rejected_by"], second["decision_reason"], second["approved"]) == (rejecter.name, "Too late", None)


def test_a_pending_referral_past_its_time_is_expired(session, export):
    make_referral(session, created_at=at(5), expires_at=now() - timedelta(hours=1))
    make_referral(session, created_at=at(4), status=ReferralStatus.COMPLETED, payout_status=PayoutStatus.PAID, expires_at=at(5))

    first, second = export("referrals")

    assert (first["status"], second["status"], second["payout_status"]) == ("expired", "completed", "paid")
    assert (first["reward_minor"], first["reward"], first["signup"], first["first_booking"]) == (50_000, Decimal("500.00"), True, False)
    assert first["referrer_id"] != first["referred_user_id"]


@pytest.mark.parametrize("report_type", ["bookings", "payments", "refunds", "referrals"])
def test_both_days_are_included_and_the_newest_comes_first(session, export, report_type):
    make = {
        "bookings": lambda moment: make_booking(session, created_at=moment),
        "payments": lambda moment: make_payment(session, make_booking(session), paid_at=moment),
        "refunds": lambda moment: make_refund(session, requested_at=moment),
        "referrals": lambda moment: make_referral(session, created_at=moment),
    }[report_type]
    moments = [at(1, 0) - timedelta(microseconds=1), at(1, 0), at(2), at(4, 0) - timedelta(microseconds=1), at(4, 0)]
    ids = [str(make(moment).id) for moment in moments]
    key = f"{report_type.removesuffix('s')}_id"

    inside = [row[key] for row in export(report_type, **{"from": "2025-10-01", "to": "2025-10-03"})]

    assert inside == [ids[3], ids[2], ids[1]]
    assert [row[key] for row in export(report_type) if row[key] in ids] == ids[::-1]
    assert [row[key] for row in export(report_type, to="9999-12-31") if row[key] in ids] == ids[::-1]


def test_refunds_are_narrowed_as_the_queue_is(session, export):
    user, vendor = make_user(session, name="Asha % _ Rao"), make_vendor(session)
    booking = make_booking(session, user, vendor)
    wanted = make_refund(session, make_payment(session, booking), priority="high", reason="fraud", requested_at=at(3))
    make_refund(session, status="processed")
    make_refund(session, currency="USD", requested_amount_cents=5)
    reader = make_actor(session, Permission.REFUNDS_LIST)
    for parameters in (
        {"q": "% _ rao"},
        {"user_id": str(user.id)},
        {"vendor_id": str(vendor.id)},
        {"priority": ["high"], "status": "pending,approved"},
        {"reason": "fraud", "min_amount": 100_000, "currency": "INR"},
        {"status": ["processed"], "processing_state": ["done"]},
        {"awaiting": "second_approval"},
        {"to": "2025-10-03"},
    ):
        filters = read_request({"report_type": "refunds", **parameters}).refunds
        listed = [
            row.refund.refund_number for row in list_refunds(session, reader, replace(filters, page_size=100), RefundPolicy({}, "INR"))
        ]
        assert [row["refund_number"] for row in export("refunds", **parameters)] == listed
        assert (wanted.refund_number in listed) == ("processing_state" not in parameters and "awaiting" not in parameters)


def test_a_refund_that_no_longer_fits_when_it_is_read_is_left_out(session):
    job = start(session, make_actor(session, *EXPORTS), "analytics_export", {"report_type": "refunds", "status": ["pending"]})
    refund, decided = make_refund(session), make_refund(session)
    made = prepare(session, job)
    [ids] = made.keys(session)
    decided.status, decided.rejected_at = RefundStatus.REJECTED, now()
    session.flush()

    assert [row[1] for row in made.rows(session, ids)] == [refund.refund_number]


def test_addresses_are_masked_unless_the_creator_may_see_them(session, export):
    user, vendor = make_user(session, email="jaya@example.com"), make_vendor(session, email=None)
    make_refund(session, make_payment(session, make_booking(session, user, vendor)))
    make_referral(session, referrer_id=user.id)
    for report_type, column in (
        ("bookings", "user_email"),
        ("payments", "user_email"),
        ("refunds", "user_email"),
        ("referrals", "referrer_email"),
    ):
        assert [row[column] for row in export(report_type)] == ["j***@e***.com"]
        assert [row[column] for row in export(report_type, Permission.USERS_VIEW_PII)] == ["jaya@example.com"]
    assert [row["vendor_email"] for row in export("bookings", Permission.USERS_VIEW_PII)] == [None]


@pytest.mark.parametrize(
    ("email", "shown"),
    [
        ("jaya@example.com", "j***@e***.com"),
        ("j@example.co.in", "j***@e***.in"),
        ("root@localhost", "r***@***"),
        ("no address", "***"),
        ("@", "***"),
        ("", ""),
        (None, None),
        ('"a@b"@c.example', '"***@c***.example'),
    ],
)
def test_a_masked_address_tells_two_apart_and_no_more(email, shown):
    assert masked(email) == shown


@pytest.mark.parametrize(
    ("cents", "currency", "amount"),
    [(98_450, "INR", "984.50"), (5, "JPY", "5"), (84_250, "KWD", "84.250"), (2**63 - 1, "USD", "92233720368547758.07")],
)
def test_the_major_amount_is_exact(cents, currency, amount):
    assert f"{major(cents, currency):f}" == amount


def test_referrals_are_narrowed_as_their_list_is(session, export):
    paid = make_referral(session, status=ReferralStatus.COMPLETED, payout_status=PayoutStatus.PAID)
    due = make_referral(session, status=ReferralStatus.COMPLETED, payout_status=PayoutStatus.SCHEDULED, reward_amount_cents=900)
    over = make_referral(session, expires_at=now() - timedelta(hours=1))

    def found(**narrowed):
        return {row["referral_id"] for row in export("referrals", **narrowed)}

    assert found(status=["paid"]) == {str(paid.id)}
    assert found(status="expired") == {str(over.id)}
    assert found(payout_status=["scheduled"], min_amount=900) == {str(due.id)}
    assert found(referrer_id=str(over.referrer_id)) == {str(over.id)}
    assert found(risk=["same_email", "refunded"]) == set()


@pytest.mark.parametrize("report_type", ["bookings", "payments", "refunds", "referrals"])
def test_any_text_comes_through_as_it_is(session, export, report_type):
    hostile = "=cmd|'/c calc'!A1 \u202e<script>\r\n\t\"; DROP TABLE users; -- 😀" + "x" * 10_000
    user, vendor = make_user(session, name=hostile, email=hostile), make_vendor(session, name=hostile)
    booking = make_booking(session, user, vendor)
    make_refund(session, make_payment(session, booking, method="=1+1"), description=hostile, decision_reason=hostile)
    make_referral(session, referrer_id=user.id, referred_user_id=user.id)

    [row] = export(report_type, Permission.USERS_VIEW_PII)

    assert hostile in row.values()


class TestWhoMay:
    @pytest.mark.parametrize(("report_type", "wanting"), [("refunds", "refunds:list"), ("referrals", "referrals:list"), ("payments", None)])
    def test_nobody_exports_what_they_may_not_list(self, session, report_type, wanting):
        actor = make_actor(session, Permission.ANALYTICS_VIEW)
        if wanting is None:
            start(session, actor, "analytics_export", {"report_type": report_type})
            return
        with pytest.raises(Forbidden) as refusal:
            start(session, actor, "analytics_export", {"report_type": report_type})
        assert refusal.value.details["required_permission"] == wanting

    def test_listing_alone_is_not_exporting(self, session):
        with pytest.raises(Forbidden):
            start(session, make_actor(session, Permission.REFUNDS_LIST), "analytics_export", {"report_type": "refunds"})

    def test_a_failed_one_is_run_again_only_by_who_may_start_it(self, session):
        creator = make_admin(session, *EXPORTS)
        job = start(session, actor_of(creator), "analytics_export", {"report_type": "refunds"})
        job.status, job.finished_at = JobStatus.FAILED, now()
        session.get_one(Role, creator.role_id).permissions = ["analytics:view"]
        session.flush()
        with pytest.raises(Forbidden):
            retry(session, actor_of(creator), job.id)

    @pytest.mark.parametrize("gone", ["permission", "account"])
    def test_the_role_counts_as_it_is_when_the_export_runs(self, session, gone):
        creator = make_admin(session, *EXPORTS)
        job = start(session, actor_of(creator), "analytics_export", {"report_type": "refunds"})
        prepare(session, job)
        if gone == "permission":
            session.get_one(Role, creator.role_id).permissions = ["analytics:view"]
        else:
            creator.disabled_at = now()
        session.flush()
        with pytest.raises(Forbidden):
            prepare(session, job)


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "report_type"),
        ({"report_type": "users"}, "report_type"),
        ({"report_type": ["refunds"]}, "report_type"),
        ({"report_type": "refunds", "format": "exe"}, "format"),
        ({"report_type": "refunds", "from": "31.10.2025"}, "from"),
        ({"report_type": "refunds", "to": "2025-02-30"}, "to"),
        ({"report_type": "refunds", "to": 20251031}, "to"),
        ({"report_type": "refunds", "from": "2025-10-02", "to": "2025-10-01"}, "from"),
        ({"report_type": "refunds", "status": "gone"}, "status"),
        ({"report_type": "refunds", "status": {"a": 1}}, "status"),
        ({"report_type": "refunds", "min_amount": True}, "min_amount"),
        ({"report_type": "refunds", "min_amount": 1.5}, "min_amount"),
        ({"report_type": "refunds", "user_id": "me"}, "user_id"),
        ({"report_type": "refunds", "awaiting": "rain"}, "awaiting"),
        ({"report_type": "refunds", "q": "a\0b"}, "q"),
        ({"report_type": "refunds", "q": "\ud800"}, "q"),
        ({"report_type": "refunds", "q": "x" * 201}, "q"),
        ({"report_type": "referrals", "status": "processed"}, "status"),
        ({"report_type": "referrals", "risk": "rain"}, "risk"),
        *(({"report_type": "payments", name: "1"}, name) for name in EVERY_FILTER),
        *(({"report_type": "refunds", name: "1"}, name) for name in EVERY_FILTER if name not in NARROWING["refunds"]),
        *(({"report_type": "referrals", name: "1"}, name) for name in EVERY_FILTER if name not in NARROWING["referrals"]),
    ],
)
def test_what_cannot_be_exported_is_refused_by_the_name_of_its_field(parameters, field):
    with pytest.raises(Invalid) as refusal:
        read_request(parameters)
    assert refusal.value.details["details"][0]["field"] == field


@pytest.mark.parametrize(
    ("days", "name"),
    [
        ({"from": "2025-10-01", "to": "2025-10-31"}, "refunds-2025-10-01-to-2025-10-31.xlsx"),
        ({"to": "2025-10-31"}, "refunds-to-2025-10-31.xlsx"),
        ({"from": "2025-10-01"}, f"refunds-2025-10-01-to-{date.today()}.xlsx"),
        ({"from": None, "to": None}, f"refunds-to-{date.today()}.xlsx"),
    ],
)
def test_the_file_is_named_after_its_days(days, name):
    assert read_request({"report_type": "refunds", "format": "xlsx", **days}).file_name == name
