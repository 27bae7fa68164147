from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.access import Permission, operator
from domain.audit.models import AuditEntry
from domain.db import now
from domain.errors import Forbidden, Invalid, MfaRequired, NotFound
from domain.identity import admins, directory, mfa, sessions
from domain.identity.admins import EmailTaken, LastSuperAdmin
from domain.identity.models import Admin, Door
from tests.domain.identity.conftest import PASSWORD
from tests.factories import actor_for, make_admin, make_role

ON_ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def create(session, passwords):
    def create(actor=None, **fields):
        facts = {"email": "new@example.com", "name": "New", "role_id": "support_agent", "password": PASSWORD}
        return admins.create(session, actor or operator(), passwords, **{**facts, **fields})

    return create


class TestWhoMay:
    @pytest.mark.parametrize(
        "act",
        [
            lambda session, actor, admin, passwords: admins.disable(session, actor, admin.id),
            lambda session, actor, admin, passwords: admins.enable(session, actor, admin.id),
            lambda session, actor, admin, passwords: admins.reset_mfa(session, actor, admin.id),
            lambda session, actor, admin, passwords: admins.set_password(session, actor, passwords, admin.id, PASSWORD),
            lambda session, actor, admin, passwords: admins.create(
                session, actor, passwords, email="x@example.com", name="X", role_id="support_agent", password=PASSWORD
            ),
        ],
        ids=["disable", "enable", "reset_mfa", "set_password", "create"],
    )
    def test_it_takes_the_permission_and_a_fresh_second_factor(self, session, admin, passwords, act):
        with pytest.raises(Forbidden) as refused:
            act(session, actor_for(make_admin(session, "admins:list"), mfa=True), admin, passwords)
        assert refused.value.details["required_permission"] == "admins:manage"

        manager = make_admin(session, "*")
        with pytest.raises(MfaRequired):
            act(session, actor_for(manager), admin, passwords)
        act(session, actor_for(manager, mfa=True), admin, passwords)

    def test_the_list_takes_its_own(self, session, admin):
        with pytest.raises(Forbidden):
            directory.list_everybody(session, actor_for(make_admin(session, "refunds:list")))

        assert admin in directory.list_everybody(session, actor_for(make_admin(session, "admins:list")))


class TestCreate:
    def test_nobody_gives_a_role_that_may_do_more_than_they_may(self, session, create):
        manager = actor_for(make_admin(session, "admins:manage", "refunds:list"), mfa=True)
        less, more = make_role(session, "refunds:list"), make_role(session, "refunds:list", "refunds:approve")

        with pytest.raises(Forbidden, match="more than you may"):
            create(manager, role_id=more.id)
        with pytest.raises(Forbidden):
            create(manager, role_id="super_admin")
        assert create(manager, role_id=less.id).role_id == less.id

    def test_a_role_that_may_not_be_given_is_as_good_as_none(self, session, create):
        retired = make_role(session, can_be_assigned=False)

        with pytest.raises(Invalid, match="There is no such role"):
            create(role_id=retired.id)

    def test_two_at_once_with_one_address_are_one_admin(self, engine, session, passwords):
        session.rollback()

        def attempt(_: int) -> str:
            with Session(engine) as own:
                try:
                    admins.create(
                        own, operator(), passwords, email="new@example.com", name="New", role_id="support_agent", password=PASSWORD
                    )
                    own.commit()
                except EmailTaken as error:
                    return error.code
            return "made"

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(attempt, range(4))) == ["EMAIL_TAKEN"] * 3 + ["made"]

    def test_the_audit_holds_what_was_made_and_not_the_password(self, session, create):
        create()
        session.commit()

        entry = session.scalars(select(AuditEntry)).one()
        assert entry.after == {"email": "new@example.com", "name": "New", "role_id": "support_agent"}
        assert PASSWORD not in str(vars(entry))

    @pytest.mark.parametrize("name", ["", "   ", "x" * 201, "a\x00b", "line\nbreak", "\ud800"])
    @ON_ONE_DATABASE
    def test_a_name_is_one_line_that_can_be_kept(self, create, name):
        with pytest.raises(Invalid, match="Write a name"):
            create(name=name)

    @pytest.mark.parametrize("email", ["", "x", "@", "a@", "@b", "a b@c", "a@b@c", "a@\x00", "x" * 330 + "@y", "\ud800@y"])
    @ON_ONE_DATABASE
    def test_an_address_is_one(self, create, email):
        with pytest.raises(Invalid, match="e-mail address"):
            create(email=email)


class TestTheLastSuperAdmin:
    def test_two_who_disable_each_other_at_once_leave_one(self, engine, session):
        two = [make_admin(session, role="super_admin") for _ in range(2)]
        actors = [actor_for(each, mfa=True) for each in two]
        session.commit()

        def attempt(number: int) -> str:
            with Session(engine) as own:
                try:
                    admins.disable(own, actors[number], two[1 - number].id)
                    own.commit()
                except LastSuperAdmin as error:
                    return error.code
            return "disabled"

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(attempt, range(2))) == ["LAST_SUPER_ADMIN", "disabled"]
        assert session.scalar(select(func.count()).where(Admin.disabled_at.is_(None))) == 1

    def test_one_already_disabled_does_not_count(self, session):
        gone, last = make_admin(session, role="super_admin", disabled_at=now()), make_admin(session, role="super_admin")

        assert not admins.disable(session, operator(), gone.id).active
        with pytest.raises(LastSuperAdmin):
            admins.disable(session, operator(), last.id)


class TestHelpingSomebodyBackIn:
    def test_a_reset_takes_factor_and_recovery_codes_and_ends_every_session(self, session, admin, sealer, visitor):
        admins.enrol(session, operator(), sealer, admin)
        mfa.replace_recovery_codes(session, admin.id)
        _, secret = sessions.open_session(session, admin.id, Door.PORTAL, visitor, mfa_at=now())
        session.commit()

        admins.reset_mfa(session, operator(), admin.id)
        session.commit()

        assert (admin.mfa_enrolled, admin.totp_secret) == (False, None)
        assert mfa.recovery_codes_left(session, admin.id) == 0
        assert sessions.find_by_secret(session, secret) is None

    def test_an_unknown_id_is_not_found(self, session):
        with pytest.raises(NotFound):
            admins.reset_mfa(session, operator(), uuid4())

    def test_an_unknown_address_is_not_found(self, session):
        with pytest.raises(NotFound):
            admins.get_by_email(session, operator(), "nobody@example.com")


def test_the_operator_may_do_everything():
    assert all(operator().can(permission) for permission in Permission)
    assert operator().has_fresh_mfa
