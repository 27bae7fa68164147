import re
import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyotp
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from adapters.gateways.sandbox import SandboxGateway
from domain.access import operator
from domain.audit.models import AuditEntry
from domain.db import make_engine, now
from domain.identity.mfa import Sealer
from domain.identity.models import Admin
from domain.identity.passwords import Passwords
from domain.marketplace import demo
from domain.marketplace.models import Payment, Referral, User, Vendor
from domain.refunds import reconcile, settlement
from domain.refunds.commands.request import next_number
from domain.refunds.models import Refund, RefundApproval, RefundAttempt
from domain.refunds.policy import APPROVAL_LASTS, RefundPolicy

SPECIAL = range(99_001, 99_007)
POLICY = RefundPolicy({"INR": 8_500_000, "USD": 100_000})


@dataclass(frozen=True)
class Loaded:
    """A database with the demo in it, to be copied by each test, and the sandbox's ledger that goes with it."""

    source: Path | str
    ledger: Path
    counts: dict[str, int]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def loaded_once(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    if request.param == "sqlite":
        source = Path(shutil.copy(request.getfixturevalue("sqlite_template"), folder / "portal.db"))
        url = f"sqlite:///{source}"
    else:
        source = "template_demo"
        url = request.getfixturevalue("postgres").new_database(request.getfixturevalue("postgres_template"), name=source)
    engine = make_engine(url)
    with Session(engine) as session:
        counts = demo.load(session, operator(), tools_in(folder), 500)
        session.commit()
    engine.dispose()
    yield Loaded(source, folder / "ledger.db", counts)
    if request.param == "postgresql":
        request.getfixturevalue("postgres").drop_database(url)


@pytest.fixture
def database_url(loaded_once, request, tmp_path):
    if isinstance(loaded_once.source, Path):
        yield f"sqlite:///{shutil.copy(loaded_once.source, tmp_path / 'portal.db')}"
    else:
        server = request.getfixturevalue("postgres")
        url = server.new_database(loaded_once.source)
        yield url
        server.drop_database(url)


@pytest.fixture
def tools(loaded_once, tmp_path):
    shutil.copy(loaded_once.ledger, tmp_path / "ledger.db")
    return tools_in(tmp_path)


@pytest.fixture
def loaded(loaded_once):
    return loaded_once.counts


def tools_in(folder):
    return demo.Tools(Passwords(memory_kib=8, time_cost=1), Sealer(bytes(32)), POLICY, SandboxGateway(folder / "ledger.db", 5))


def everything(session, model):
    return list(session.scalars(select(model)))


class TestLoad:
    def test_it_fills_every_corner(self, session, loaded):
        refunds = everything(session, Refund)
        assert loaded["refunds"] == len(refunds) == 500
        assert {refund.currency for refund in refunds} == {"INR", "USD", "JPY", "KWD"}
        states = Counter((str(refund.status), refund.processing_state) for refund in refunds)
        assert states["pending", None] == 45
        assert set(states) == {
            ("pending", None),
            ("rejected", None),
            ("processed", "done"),
            ("approved", "queued"),
            ("approved", "unknown"),
            ("approved", "accepted"),
            ("approved", "failed"),
        }
        assert {refund.requested_by for refund in refunds} == {"user", "vendor", "system", "admin"}
        assert max(Counter(refund.payment_id for refund in refunds).values()) > 1
        assert {str(row.status) for row in everything(session, Referral)} == {"pending", "completed", "expired"}

    def test_the_queue_has_ages_currencies_and_amounts_for_two(self, session, loaded):
        pending = [refund for refund in everything(session, Refund) if refund.status == "pending"]
        ages = sorted(now() - refund.requested_at for refund in pending)
        assert ages[0] < timedelta(minutes=10) < timedelta(days=5) < ages[-1]
        assert {refund.currency for refund in pending} == {"INR", "USD", "JPY", "KWD"}
        assert any(refund.currency == "INR" and refund.requested_amount_cents > 8_500_000 for refund in pending)
        begun = {approval.refund_id for approval in everything(session, RefundApproval)} & {refund.id for refund in pending}
        assert 3 <= len(begun) < len(pending)

    def test_the_special_amounts_of_the_sandbox_wait_once_each_and_appear_nowhere_else(self, session, loaded):
        refunds = everything(session, Refund)
        special = [refund for refund in refunds if {refund.requested_amount_cents, refund.approved_amount_cents} & set(SPECIAL)]
        assert sorted(refund.requested_amount_cents for refund in special) == list(SPECIAL)
        assert {(refund.status, refund.currency, refund.requested_by) for refund in special} == {("pending", "INR", "user")}

    def test_decisions_keep_the_rules_they_would_have_been_made_under(self, session, loaded):
        payments = {payment.id: payment for payment in everything(session, Payment)}
        approvals: dict[object, list[RefundApproval]] = {}
        for approval in everything(session, RefundApproval):
            approvals.setdefault(approval.refund_id, []).append(approval)
        approved = Counter()
        for refund in sorted(everything(session, Refund), key=lambda refund: refund.requested_at):
            given = approvals.get(refund.id, [])
            assert refund.requested_amount_cents <= payments[refund.payment_id].amount_cents
            assert len({approval.admin_id for approval in given}) == len(given)
            if refund.status in ("approved", "processed"):
                approved[refund.payment_id] += refund.approved_amount_cents
                assert len(given) == (2 if POLICY.needs_two(refund.currency, approved[refund.payment_id]) else 1)
                assert {approval.amount_cents for approval in given} == {refund.approved_amount_cents}
                assert max(approval.created_at for approval in given) == refund.approved_at
                assert max(given, key=lambda approval: approval.created_at).admin_id == refund.approved_by
            elif refund.status == "pending":
                assert all(approval.created_at > now() - APPROVAL_LASTS for approval in given)
            else:
                assert not given
        assert all(total <= payments[key].amount_cents for key, total in approved.items())

    def test_nothing_happened_before_what_led_to_it_or_in_the_future(self, session, loaded):
        users = {user.id: user for user in everything(session, User)}
        for refund in everything(session, Refund):
            moments = [users[refund.user_id].created_at, refund.requested_at, refund.approved_at or refund.rejected_at, refund.processed_at]
            moments = [moment for moment in [*moments, now()] if moment is not None]
            assert moments == sorted(moments), refund.refund_number

    def test_texts_are_many_and_hostile_ones_are_among_them(self, session, loaded):
        texts = {refund.description for refund in everything(session, Refund) if refund.description}
        assert len(texts) > 150
        for wanted in ("<script>", "\n\n", "\u202e", "😡", "[ऀ-ॿ]{3}", "[ぁ-ヿ]{3}", "[ء-ي]{3}"):
            assert any(re.search(wanted, text) for text in texts), wanted
        assert not any("{" in text for text in texts)

    def test_links_and_addresses_are_examples(self, session, loaded):
        links = [link["url"] for refund in everything(session, Refund) for link in refund.evidence]
        assert len(links) > 100
        assert all(link.startswith("https://evidence.example.com/") for link in links)
        addresses = [row.email for model in (User, Vendor, Admin) for row in everything(session, model)]
        assert all(address is None or address.endswith("@example.com") for address in addresses)
        assert None in addresses
        assert len(set(addresses)) > len(addresses) - 10

    def test_the_next_number_follows(self, session, loaded):
        highest = session.scalar(select(func.max(Refund.refund_number)))
        following = next_number(session)
        assert following > highest
        assert session.scalar(select(Refund.id).where(Refund.refund_number == following)) is None

    def test_it_is_told_apart_from_other_data_and_audited(self, session, loaded):
        assert demo.is_loaded(session)
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "data.demo_loaded")).one()
        assert entry.details["refunds"] == 500


class TestAdmins:
    def test_each_may_sign_in_as_printed(self, session, tools, loaded):
        admins = {admin.email: admin for admin in everything(session, Admin)}
        for known in demo.SIGN_INS:
            admin = admins[known.email]
            assert tools.passwords.matches(known.password, admin.password_hash)
            assert admin.role_id == known.role_id
            assert admin.mfa_enrolled is (known.totp_secret is not None)
            if known.totp_secret:
                assert tools.sealer.open(admin.totp_secret, admin.id) == known.totp_secret
                assert len(pyotp.TOTP(known.totp_secret).now()) == 6

    def test_two_of_those_who_may_approve_have_a_second_factor(self):
        assert [known.role_id for known in demo.SIGN_INS if known.totp_secret] == ["super_admin", "finance_admin"]


class TestWhatIsUnderWay:
    """Whatever the demo shows as under way comes to its end at the sandbox gateway."""

    def test_queued_and_unknown_refunds_are_paid(self, engine, session, tools, loaded):
        transactions = sessionmaker(engine).begin
        under_way = [r.id for r in everything(session, Refund) if r.processing_state in ("queued", "unknown")]
        session.commit()

        for refund_id in under_way:
            settlement.settle(transactions, {"sandbox": tools.gateway}, refund_id)

        for refund_id in under_way:
            refund = session.get_one(Refund, refund_id, populate_existing=True)
            assert (refund.status, refund.processing_state) == ("processed", "done")
            assert refund.transaction_id

    def test_accepted_refunds_are_final_at_the_next_look(self, engine, session, tools, loaded):
        taken = [attempt for attempt in everything(session, RefundAttempt) if attempt.state == "accepted"]
        assert len(taken) >= 5
        for attempt in taken:
            attempt.next_check_at = now()
        session.commit()

        reconcile.reconcile(sessionmaker(engine).begin, {"sandbox": tools.gateway})

        for attempt in taken:
            refund = session.get_one(Refund, attempt.refund_id, populate_existing=True)
            assert (refund.status, refund.transaction_id) == ("processed", attempt.gateway_refund_id)
