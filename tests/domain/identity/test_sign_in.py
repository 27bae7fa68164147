from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from time import process_time

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from domain.audit.models import AuditEntry
from domain.db import now
from domain.errors import RateLimited
from domain.identity import sessions
from domain.identity.models import Admin, AdminSession, Door
from domain.identity.passwords import Passwords
from domain.identity.sign_in import InvalidCredentials, network, sign_in
from domain.throttle import ThrottleCounter
from tests.domain.identity.conftest import PASSWORD
from tests.factories import make_admin


@pytest.fixture
def enter(session, visitor, passwords, admin):
    """Signs in and commits, as a door does."""

    def enter(email="asha@example.com", password=PASSWORD, door=Door.API, ip=visitor.ip):
        opened = sign_in(session, sessions.visitor(ip, "tests", "request-1"), passwords, email, password, door)
        session.commit()
        return opened

    return enter


def audited(session) -> list[str]:
    found = list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.sequence)))
    session.rollback()
    return found


class TestTheRightPassword:
    def test_it_opens_a_session_of_twelve_hours(self, session, enter, admin):
        row = enter().signed_in.row

        assert row.admin_id == admin.id
        assert timedelta(hours=11, minutes=59) < row.expires_at - now() <= timedelta(hours=12)
        assert (row.ip, row.user_agent, row.mfa_at) == ("203.0.113.7", "tests", None)

    def test_it_gives_the_portal_a_secret_of_which_only_the_hash_is_kept(self, session, enter):
        opened = enter(door=Door.PORTAL)

        assert len(opened.secret) >= 43
        assert opened.secret not in {opened.signed_in.row.token_hash, str(opened.signed_in.row.id)}
        assert sessions.find_by_secret(session, opened.secret).row.id == opened.signed_in.row.id

    def test_an_address_is_the_same_in_capitals_and_with_spaces_around_it(self, enter):
        assert enter(email="  ASHA@Example.COM ").signed_in.admin.email == "asha@example.com"

    def test_it_is_audited_with_where_it_came_from(self, session, enter, admin):
        enter()

        entry = session.scalars(select(AuditEntry)).one()
        assert (entry.action, entry.actor_id, entry.ip, entry.request_id) == ("session.signed_in", admin.id, "203.0.113.7", "request-1")

    def test_it_is_hashed_anew_when_the_cost_has_changed(self, session, enter, admin):
        cheaper = Passwords(memory_kib=32, time_cost=1)
        session.execute(update(Admin).values(password_hash=cheaper.hash(PASSWORD)))
        session.commit()

        enter()

        stored = session.scalars(select(Admin.password_hash)).one()
        assert "m=64,t=1,p=1" in stored
        session.rollback()
        enter()


class TestARefusal:
    @pytest.mark.parametrize(
        ("email", "password"),
        [
            ("asha@example.com", "wrong"),
            ("nobody@example.com", PASSWORD),
            ("asha@example.com", ""),
            ("", ""),
            ("asha@example.com", PASSWORD + "x" * 5000),
            ("asha@example.com\x00", PASSWORD),
            ("\ud800@example.com", PASSWORD),
            ("asha@example.com", "\ud800"),
            ("asha@example.com", PASSWORD + "\x00"),
            ("x" * 10_000 + "@example.com", PASSWORD),
            ("' OR 1=1 --@x", PASSWORD),
        ],
    )
    def test_it_is_one_and_the_same_whatever_was_wrong(self, session, enter, email, password):
        with pytest.raises(InvalidCredentials, match="The e-mail address or the password is wrong"):
            enter(email, password)

        assert audited(session) == ["session.sign_in_refused"]

    def test_a_disabled_admin_gets_it_too(self, session, enter):
        session.execute(update(Admin).values(disabled_at=now()))
        session.commit()

        with pytest.raises(InvalidCredentials):
            enter()

    def test_an_admin_without_a_usable_password_gets_it_too(self, session, enter):
        make_admin(session, email="new@example.com")
        session.commit()

        with pytest.raises(InvalidCredentials):
            enter("new@example.com", "!")

    def test_it_keeps_of_an_unknown_address_only_a_hash(self, session, enter):
        with pytest.raises(InvalidCredentials):
            enter("ravi@example.com", "secret word")

        entry = session.scalars(select(AuditEntry)).one()
        everything = " ".join(str(getattr(entry, column.key)) for column in AuditEntry.__table__.columns)
        assert entry.object_type == "email_sha256"
        assert "ravi" not in everything
        assert "secret word" not in everything

    def test_it_takes_as_long_for_an_unknown_address_as_for_a_wrong_password(self, session, visitor, admin):
        passwords = Passwords(memory_kib=16384, time_cost=2)
        session.execute(update(Admin).values(password_hash=passwords.hash(PASSWORD)))
        session.commit()

        def seconds(email: str) -> float:
            began = process_time()
            with pytest.raises(InvalidCredentials):
                sign_in(session, visitor, passwords, email, "wrong password", Door.API)
            return process_time() - began

        known = sorted(seconds("asha@example.com") for _ in range(5))
        unknown = sorted(seconds("nobody@example.com") for _ in range(5))

        assert unknown[0] > known[0] / 2
        assert unknown[0] < known[0] * 2


class TestThrottling:
    def test_the_eleventh_wrong_try_waits_although_it_would_be_right(self, session, enter):
        for number in range(10):
            with pytest.raises(InvalidCredentials):
                enter(password="wrong", ip=f"203.0.113.{number}")

        with pytest.raises(RateLimited, match="Try again in 5 minutes") as refused:
            enter(ip="203.0.113.99")

        assert 290 <= refused.value.retry_after <= 300
        assert audited(session)[-1] == "session.sign_in_throttled"

    def test_one_address_may_not_try_many_accounts(self, enter):
        for number in range(10):
            with pytest.raises(InvalidCredentials):
                enter(email=f"nobody{number}@example.com")

        with pytest.raises(RateLimited):
            enter()

    def test_a_flood_from_one_address_does_not_use_up_the_account(self, enter):
        for number in range(10):
            with pytest.raises(InvalidCredentials):
                enter(email=f"nobody{number}@example.com")
        for _ in range(15):
            with pytest.raises(RateLimited):
                enter(password="wrong")

        assert enter(ip="198.51.100.1")

    def test_a_whole_ipv6_network_is_one_address(self, enter):
        for number in range(10):
            with pytest.raises(InvalidCredentials):
                enter(email=f"nobody{number}@example.com", ip=f"2001:db8:1:2::{number + 1:x}")

        with pytest.raises(RateLimited):
            enter(ip="2001:db8:1:2:ffff::1")
        assert enter(ip="2001:db8:1:3::1")

    def test_a_success_clears_the_accounts_tries(self, enter):
        for _ in range(3):
            for number in range(9):
                with pytest.raises(InvalidCredentials):
                    enter(password="wrong", ip=f"203.0.113.{number}")
            enter(ip="198.51.100.1")
            enter(ip="198.51.100.1")

    def test_good_sign_ins_never_run_into_it(self, enter):
        for _ in range(25):
            enter()

    def test_it_ends_when_the_window_has_passed(self, session, enter):
        for number in range(11):
            with pytest.raises((InvalidCredentials, RateLimited)):
                enter(password="wrong", ip=f"203.0.113.{number}")
        session.execute(update(ThrottleCounter).values(window_start=now() - timedelta(minutes=5)))
        session.commit()

        assert enter()

    def test_it_keeps_no_address_in_the_clear(self, session, enter):
        with pytest.raises(InvalidCredentials):
            enter(password="wrong")

        assert all(len(row.subject) == 64 for row in session.scalars(select(ThrottleCounter)))

    def test_tries_at_the_same_moment_are_each_counted(self, engine, session, admin, passwords):
        def attempt(number: int) -> str:
            with Session(engine) as own:
                try:
                    sign_in(own, sessions.visitor(f"203.0.113.{number}"), passwords, "asha@example.com", "wrong", Door.API)
                except (InvalidCredentials, RateLimited) as error:
                    return error.code
            return "in"

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(attempt, range(20)))

        assert sorted(answers) == ["INVALID_CREDENTIALS"] * 10 + ["RATE_LIMITED"] * 10

    @pytest.mark.parametrize(
        ("address", "one"),
        [
            ("203.0.113.7", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("2001:db8::1", "2001:db8::/64"),
            (None, "unknown"),
            ("not an address", "unknown"),
        ],
    )
    def test_an_address_is_counted_as(self, address, one):
        assert network(address) == one


class TestASession:
    def test_it_knows_its_admin_and_role_in_one_query(self, session, enter, admin, visitor):
        opened = enter()

        actor = sessions.find_by_id(session, opened.signed_in.row.id, Door.API).actor(visitor)

        assert (actor.admin_id, actor.role_id, actor.session_id) == (admin.id, "finance_admin", opened.signed_in.row.id)
        assert "refunds:approve" in actor.permissions

    @pytest.mark.parametrize(
        "end",
        [
            update(AdminSession).values(revoked_at=now()),
            update(AdminSession).values(expires_at=now() - timedelta(seconds=1)),
            update(AdminSession).values(last_seen_at=now() - timedelta(minutes=31)),
            update(Admin).values(disabled_at=now()),
        ],
        ids=["revoked", "twelve hours old", "idle for half an hour", "its admin disabled"],
    )
    def test_it_is_over_once_it_is(self, session, enter, end):
        opened = enter(door=Door.PORTAL)
        assert sessions.find_by_secret(session, opened.secret)

        session.execute(end)

        assert sessions.find_by_secret(session, opened.secret) is None

    def test_a_changed_role_acts_at_the_next_look(self, session, enter, visitor):
        opened = enter()
        session.execute(update(Admin).values(role_id="content_moderator"))

        actor = sessions.find_by_id(session, opened.signed_in.row.id, Door.API).actor(visitor)

        assert "refunds:approve" not in actor.permissions

    def test_one_of_the_api_opens_no_page_and_the_other_way_round(self, session, enter):
        for_program, for_person = enter().signed_in.row, enter(door=Door.PORTAL).signed_in.row

        assert sessions.find_by_id(session, for_program.id, Door.PORTAL) is None
        assert sessions.find_by_id(session, for_person.id, Door.API) is None

    def test_signing_out_ends_it_and_leaves_the_others(self, session, enter, visitor):
        first, second = enter(door=Door.PORTAL), enter(door=Door.PORTAL)

        sessions.sign_out(session, first.signed_in.actor(visitor))
        session.commit()

        assert sessions.find_by_secret(session, first.secret) is None
        assert sessions.find_by_secret(session, second.secret)
        session.rollback()
        assert audited(session)[-1] == "session.signed_out"

    def test_signing_out_everywhere_ends_them_all(self, session, enter, visitor):
        opened = [enter(door=Door.PORTAL) for _ in range(3)]

        assert sessions.sign_out_everywhere(session, opened[0].signed_in.actor(visitor)) == 3

        assert [sessions.find_by_secret(session, each.secret) for each in opened] == [None] * 3
