"""What a referral counts as, what it lacks, what looks wrong about it, and what the summary adds up."""

from datetime import timedelta

import pytest

from domain.access import Permission
from domain.cache import Kept, NoCache
from domain.db import now
from domain.errors import Forbidden, NotFound
from domain.marketplace.models import PayoutStatus, ReferralStatus, User
from domain.referrals.detail import get_referral
from domain.referrals.filters import ReferralFilters
from domain.referrals.queries import list_referrals
from domain.referrals.rewards import rewards_of_booking
from domain.referrals.summary import LASTS, count_risks
from domain.refunds.models import ProcessingState
from tests.factories import make_actor, make_booking, make_payment, make_referral, make_refund, make_user

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def actor(session):
    return make_actor(session, Permission.REFERRALS_LIST)


@pytest.fixture
def listed(session, actor):
    """`listed(status=("paid",))`: the page under these filters, nothing of it from a cache unless one is given."""

    def read(cache=None, **filters):
        return list_referrals(session, actor, ReferralFilters(**filters), cache or NoCache(), "INR")

    return read


class Memory:
    """A cache that keeps what it is given and can be told that time has passed."""

    def __init__(self):
        self.kept, self.lasted = {}, []

    def get(self, name):
        return self.kept.get(name)

    def put(self, name, kept, lasts):
        self.kept[name] = kept
        self.lasted.append(lasts)

    def age(self, by):
        self.kept = {name: Kept(kept.value, kept.made_at - by) for name, kept in self.kept.items()}


def completed(session, payout=PayoutStatus.PAID, **fields):
    conditions = dict.fromkeys(("signup", "email_verified", "first_booking", "minimum_spend"), True)
    facts = {"status": ReferralStatus.COMPLETED, "payout_status": payout, "credited_at": now() - DAY}
    return make_referral(session, **{**conditions, **facts, **fields})


def rewarded(session, **refund):
    """A completed referral whose reward rests on one booking, and a refund of that booking."""
    friend = make_user(session)
    booking = make_booking(session, friend, created_at=now() - 5 * DAY)
    row = completed(session, referred_user_id=friend.id, created_at=now() - 8 * DAY, credited_at=now() - 4 * DAY)
    return row, make_refund(session, make_payment(session, booking), **refund)


def found(page):
    return {row.referral.id for row in page}


class TestStatus:
    def test_past_its_time_a_pending_one_shows_filters_and_counts_as_expired(self, session, listed):
        over = make_referral(session, expires_at=now() - HOUR)
        written = make_referral(session, status=ReferralStatus.EXPIRED, expires_at=now() - DAY)
        open_, endless = make_referral(session), make_referral(session, expires_at=None)

        assert found(listed(status=("expired",))) == {over.id, written.id}
        assert found(listed(status=("pending",))) == {open_.id, endless.id}
        assert {row.referral.id: row.status for row in listed()}[over.id] == "expired"
        assert (listed().summary["pending"], listed().summary["expired"]) == (2, 2)

    def test_paid_are_those_of_the_completed_whose_reward_was_paid_out(self, session, listed):
        paid = completed(session)
        due = completed(session, PayoutStatus.SCHEDULED)
        make_referral(session, payout_status=PayoutStatus.PAID)  # not completed: nothing was due

        assert found(listed(status=("paid",))) == {paid.id}
        assert found(listed(status=("completed",))) == {paid.id, due.id}
        assert found(listed(status=("paid", "pending"))) == found(listed()) - {due.id}
        assert {row.status for row in listed(status=("paid",))} == {"completed"}

    @pytest.mark.parametrize(("left", "days"), [(2 * DAY + HOUR, 3), (HOUR, 1), (-HOUR, None)])
    def test_it_says_what_is_missing_and_how_long_there_is(self, session, listed, left, days):
        make_referral(session, expires_at=now() + left, email_verified=True)
        [row] = listed()
        assert row.missing == ["first_booking", "minimum_spend"]
        assert row.days_left == days

    def test_no_time_runs_out_for_one_that_is_completed_or_never_expires(self, session, listed):
        completed(session)
        make_referral(session, expires_at=None)
        assert [row.days_left for row in listed()] == [None, None]


class TestSummary:
    def test_it_adds_up_the_rewards_issued_and_those_paid_in_each_currency_by_itself(self, session, listed):
        for payout in (PayoutStatus.PAID, PayoutStatus.PAID, PayoutStatus.SCHEDULED, PayoutStatus.REVERSED):
            completed(session, payout)
        completed(session, currency="JPY", reward_amount_cents=1_000)
        make_referral(session)

        assert listed().summary == {
            "pending": 1,
            "completed": 5,
            "paid": 3,
            "expired": 0,
            "payouts": {"not_due": 0, "scheduled": 1, "paid": 3, "failed": 0, "reversed": 1},
            "by_currency": {
                "INR": {"total_rewards_cents": 200_000, "total_paid_cents": 100_000},
                "JPY": {"total_rewards_cents": 1_000, "total_paid_cents": 1_000},
            },
            "total_rewards_cents": 200_000,
            "total_paid_cents": 100_000,
        }

    def test_it_is_kept_while_rows_and_their_number_are_live(self, session, listed):
        cache = Memory()
        completed(session)
        assert listed(cache).summary["completed"] == 1
        completed(session)
        cache.age(timedelta(minutes=4))

        page = listed(cache)

        assert (len(page.items), page.total_items) == (2, 2)
        assert page.summary["completed"] == 1
        assert page.meta["summary_age_seconds"] == 240
        assert cache.lasted == [LASTS] == [timedelta(minutes=5)]

    def test_it_follows_every_filter_but_the_status_and_the_page(self, session, listed):
        cache = Memory()
        completed(session, reward_amount_cents=10)
        completed(session, reward_amount_cents=99)
        listed(cache)

        assert listed(cache, status=("pending",), page=2, page_size=1).summary["completed"] == 2
        assert len(cache.kept) == 1
        assert listed(cache, min_amount=50).summary["completed"] == 1
        assert len(cache.kept) == 2


class TestTotals:
    def test_a_referrer_has_all_their_referrals_whatever_the_filter(self, session, listed):
        asha = make_user(session)
        completed(session, referrer_id=asha.id)
        completed(session, PayoutStatus.SCHEDULED, referrer_id=asha.id)
        completed(session, referrer_id=asha.id, currency="USD", reward_amount_cents=1_500)
        make_referral(session, referrer_id=asha.id)
        completed(session)

        totals = listed(status=("pending",)).items[0].referrer

        assert totals.count == 4
        assert totals.earned == {"INR": 100_000, "USD": 1_500}
        assert totals.paid == {"INR": 50_000, "USD": 1_500}


class TestRisks:
    def codes(self, page):
        return {row.referral.id: [risk.code for risk in row.risks] for row in page}

    @pytest.mark.parametrize(
        ("first", "second", "same"),
        [
            ("asha@example.com", "ASHA@Example.com", True),
            ("asha@example.com", "asha+free@example.com", True),
            ("a.sha+1@gmail.com", "asha@googlemail.com", True),
            ("a.sha@example.com", "asha@example.com", False),
            ("asha@example.com", "asha@example.org", False),
            ("+tag@example.com", "+other@example.com", False),
            ("", "", False),
            ("no address", "no address", True),
            ("no address", "@", False),
        ],
    )
    def test_two_accounts_with_one_mailbox(self, session, listed, first, second, same):
        people = [make_user(session, email=email) for email in (first, second)]
        make_referral(session, referrer_id=people[0].id, referred_user_id=people[1].id)

        assert list(self.codes(listed()).values()) == [["same_email"] if same else []]
        assert listed(risk=("same_email",)).total_items == same

    def test_two_accounts_with_one_name(self, session, listed):
        people = [make_user(session, name=name) for name in ("Asha  Rao", "asha rao", "Asha Raoo")]
        one = make_referral(session, referrer_id=people[0].id, referred_user_id=people[1].id)
        other = make_referral(session, referrer_id=people[0].id, referred_user_id=people[2].id)

        assert self.codes(listed()) == {one.id: ["same_name"], other.id: []}
        assert found(listed(risk=("same_name",))) == {one.id}

    def test_a_mark_follows_a_name_or_an_address_that_changes(self, session, listed):
        people = [make_user(session, name="Asha", email="asha@example.com"), make_user(session, name="Jane")]
        make_referral(session, referrer_id=people[0].id, referred_user_id=people[1].id)
        for changed, codes in (
            ({"email": "ASHA+1@example.com"}, ["same_email"]),
            ({"name": "asha"}, ["same_email", "same_name"]),
            ({"email": "jane@example.com"}, ["same_name"]),
        ):
            for name, value in changed.items():
                setattr(people[1], name, value)
            session.flush()
            assert list(self.codes(listed()).values()) == [codes]

    def test_many_by_one_referrer_in_a_short_time(self, session, listed):
        asha, moment = make_user(session), now() - 9 * DAY
        burst = [make_referral(session, referrer_id=asha.id, created_at=moment + place * 5 * HOUR) for place in range(5)]
        make_referral(session, referrer_id=asha.id, created_at=moment + 30 * DAY)
        slow = make_user(session)
        for place in range(6):
            make_referral(session, referrer_id=slow.id, created_at=moment + place * 13 * HOUR)

        assert found(listed(risk=("many_at_once",))) == {row.id for row in burst}
        reasons = {risk.reason for row in listed() for risk in row.risks}
        assert reasons == {"5 referrals of this referrer within 24 hours of this one."}

    def test_a_reward_followed_by_a_refund_of_what_earned_it(self, session, listed):
        row, refund = rewarded(session, status="processed", approved_at=now() - DAY)

        assert found(listed(risk=("refunded",))) == {row.id}
        [risk] = listed().items[0].risks
        assert risk.reason == f"What earned the reward was refunded after it: {refund.refund_number} (INR 1,000.00)."
        assert [one.refund_id for one in risk.refunds] == [refund.id]

    @pytest.mark.parametrize(
        "refund",
        [
            {},
            {"status": "rejected"},
            {"status": "processed", "approved_at": now() - 4 * DAY - HOUR},
            {"status": "approved", "processing_state": ProcessingState.FAILED},
        ],
        ids=["asked", "rejected", "before", "failed"],
    )
    def test_a_refund_that_gave_nothing_back_after_the_reward_is_no_risk(self, session, listed, refund):
        rewarded(session, **refund)
        assert listed(risk=("refunded",)).total_items == 0
        assert listed().items[0].risks == []

    def test_a_refund_of_a_booking_made_after_the_reward_is_no_risk(self, session, listed):
        row, _ = rewarded(session)
        later = make_booking(session, session.get_one(User, row.referred_user_id), created_at=now())
        make_refund(session, make_payment(session, later), status="processed")
        assert listed(risk=("refunded",)).total_items == 0

    def test_several_marks_are_any_of_them_and_each_is_counted(self, session, actor, listed):
        rewarded(session, status="processed", approved_at=now())
        twins = [make_user(session, name="Same") for _ in range(2)]
        make_referral(session, referrer_id=twins[0].id, referred_user_id=twins[1].id)
        make_referral(session)

        assert listed(risk=("refunded", "same_name")).total_items == 2
        counted = count_risks(session, actor, NoCache()).value
        assert counted == {"same_email": 0, "same_name": 1, "many_at_once": 0, "refunded": 1}


class TestReading:
    def test_filters_narrow_rows_and_their_number_alike(self, session, listed):
        asha = make_user(session, name="Asha 100%_", email="asha@example.com")
        row = make_referral(session, referrer_id=asha.id, reward_amount_cents=700, currency="USD", created_at=now() - 3 * DAY)
        other = make_referral(session, created_at=now() - 9 * DAY)

        for filters in (
            {"referrer_id": asha.id},
            {"referred_id": row.referred_user_id},
            {"currency": "USD"},
            {"min_amount": 700, "currency": "USD"},
            {"from_": now() - 4 * DAY},
            {"q": "100%_"},
            {"q": "ASHA@"},
            {"q": row.referral_code},
        ):
            page = listed(**filters)
            assert (found(page), page.total_items, page.summary["pending"]) == ({row.id}, 1, 1), filters
        assert found(listed(to=now() - 4 * DAY)) == {other.id}
        assert listed(min_amount=50_001).total_items == 0

    def test_a_cursor_reads_on_where_the_page_ended(self, session, listed):
        moment = now()
        rows = [make_referral(session, created_at=moment - place // 2 * HOUR) for place in range(7)]
        seen, cursor = [], None
        for _ in range(4):
            page = listed(page_size=2, cursor=cursor)
            seen += [row.referral.id for row in page]
            cursor = page.next_cursor
        assert cursor is None
        assert len(seen) == 7 and set(seen) == {row.id for row in rows}

    def test_the_detail_tells_what_counts_and_what_was_spent(self, session, actor):
        row, refund = rewarded(session, status="processed", requested_amount_cents=30_000)
        make_payment(session, make_booking(session, session.get_one(User, row.referred_user_id), created_at=now()))

        found = get_referral(session, actor, row.id)

        assert [purchase.counts for purchase in found.purchases] == [True, False]
        assert [one.id for one in found.purchases[0].refunds] == [refund.id]
        assert {currency: (cents.paid_cents, cents.refunded_cents) for currency, cents in found.spent.items()} == {"INR": (100_000, 30_000)}

    def test_nobody_reads_them_without_the_permission(self, session, listed):
        stranger = make_actor(session, Permission.REFUNDS_LIST)
        row = make_referral(session)
        for read in (
            lambda: list_referrals(session, stranger, ReferralFilters(), NoCache(), "INR"),
            lambda: get_referral(session, stranger, row.id),
            lambda: count_risks(session, stranger, NoCache()),
        ):
            with pytest.raises(Forbidden):
                read()

    def test_one_that_is_not_there(self, session, actor):
        with pytest.raises(NotFound):
            get_referral(session, actor, actor.admin_id)


class TestRewards:
    def test_a_booking_knows_the_reward_it_helped_to_earn(self, session, actor):
        row, refund = rewarded(session)
        [reward] = rewards_of_booking(session, actor, refund.booking_id)
        assert (reward.referral_id, reward.referrer.id) == (row.id, row.referrer_id)
        assert (reward.amount_cents, reward.currency, reward.payout_status) == (50_000, "INR", "paid")

    def test_whose_reward_it_is_is_for_those_who_may_see_referrals(self, session):
        _, refund = rewarded(session)
        [reward] = rewards_of_booking(session, make_actor(session, Permission.REFUNDS_LIST), refund.booking_id)
        assert reward.referrer is None

    def test_a_booking_after_the_reward_or_for_one_not_issued_earned_nothing(self, session, actor):
        friend = make_user(session)
        booking = make_booking(session, friend, created_at=now())
        completed(session, referred_user_id=friend.id)
        make_referral(session, referred_user_id=friend.id)
        assert rewards_of_booking(session, actor, booking.id) == []
