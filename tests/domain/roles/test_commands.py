"""What holds for roles whoever asks, and when several ask at once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.access import Permission, operator
from domain.db import now
from domain.errors import DomainError, Forbidden, MfaRequired, NotFound
from domain.identity import admins
from domain.identity.models import Admin
from domain.roles import commands, queries
from domain.roles.models import Role
from tests.factories import actor_for, make_actor, make_admin, make_role

WISH = {"name": "Regional finance", "description": "", "permissions": ["refunds:list"]}


@pytest.fixture
def at_once(engine, session):
    """Runs each act in a transaction and a thread of its own, all starting together: the names of what came of them, sorted."""

    def run(*acts) -> list[str]:
        session.commit()
        start = Barrier(len(acts))

        def attempt(act) -> str:
            start.wait()
            with Session(engine) as own:
                try:
                    act(own)
                    own.commit()
                except DomainError as error:
                    return error.code
            return "done"

        with ThreadPoolExecutor(len(acts)) as pool:
            return sorted(pool.map(attempt, acts))

    return run


def test_each_act_takes_the_permission_and_a_fresh_second_step(session):
    role = make_role(session, "refunds:list")
    acts = [
        lambda actor: commands.create(session, actor, **WISH),
        lambda actor: commands.change(session, actor, role.id, description="x"),
        lambda actor: commands.delete(session, actor, role.id),
    ]
    for act in acts:
        with pytest.raises(Forbidden) as refused:
            act(make_actor(session, "roles:list"))
        assert refused.value.details["required_permission"] == "roles:manage"
        with pytest.raises(MfaRequired):
            act(actor_for(make_admin(session, "*")))
        act(make_actor(session, "*"))


def test_two_who_make_the_same_role_at_once_make_one(session, at_once):
    assert at_once(*[lambda own: commands.create(own, operator(), **WISH)] * 3) == ["ROLE_EXISTS", "ROLE_EXISTS", "done"]


def test_a_role_is_not_deleted_while_somebody_is_given_it(session, at_once, engine):
    role, admin = make_role(session, "refunds:list").id, make_admin(session, role="support_agent").id
    done = at_once(
        lambda own: commands.delete(own, operator(), role),
        lambda own: admins.give_role(own, operator(), admin, role),
    )
    assert done in (["ROLE_IN_USE", "done"], ["VALIDATION_ERROR", "done"])
    with Session(engine) as later:
        assert later.get(Role, later.get_one(Admin, admin).role_id) is not None


def test_two_super_admins_who_demote_each_other_at_once_leave_one(session, at_once):
    two = [make_admin(session, role="super_admin") for _ in range(2)]
    actors = [actor_for(each, mfa=True) for each in two]
    done = at_once(*(lambda own, n=n: admins.give_role(own, actors[n], two[1 - n].id, "support_agent") for n in range(2)))
    assert done == ["LAST_SUPER_ADMIN", "done"]
    assert session.scalar(select(func.count()).where(Admin.role_id == "super_admin", Admin.disabled_at.is_(None))) == 1


def test_a_disabled_super_admin_may_be_given_another_role_and_is_not_the_last(session):
    gone, last = make_admin(session, role="super_admin", disabled_at=now()), make_admin(session, role="super_admin")
    assert admins.give_role(session, operator(), gone.id, "support_agent").role_id == "support_agent"
    with pytest.raises(admins.LastSuperAdmin):
        admins.give_role(session, operator(), last.id, "support_agent")


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("Regional finance", "regional_finance"),
        ("  2nd line!  ", "role_2nd_line"),
        ("Compare", "role_compare"),
        ("X", "role_x"),
        ("夜勤", None),  # no letter of an id in it: any id will do
        ("a" * 100, "a" * 50),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_id_is_made_of_the_name(session, name, id):
    made = commands.create(session, operator(), **{**WISH, "name": name})
    assert made.id == (id or made.id)
    assert commands.ID.fullmatch(made.id) and made.id not in commands.RESERVED


def test_permissions_are_kept_once_each_in_the_catalogues_order(session):
    made = commands.create(session, operator(), **{**WISH, "permissions": ["refunds:approve", "users:list", "refunds:approve", "*"]})
    assert made.permissions == ["*", "users:list", "refunds:approve"]


class TestWhoCan:
    def test_it_counts_active_admins_through_every_role_that_allows_it(self, session):
        make_admin(session, role="super_admin")
        make_admin(session, "refunds:approve", totp_confirmed_at=now())
        make_admin(session, "refunds:approve", disabled_at=now())
        make_admin(session, "refunds:list")
        reader = make_actor(session, "roles:list", "admins:list")

        found = queries.who_can(session, reader, "refunds:approve")
        assert (found.user_count, len(found.admins)) == (2, 2)
        assert queries.count_approvers(session) == queries.Approvers(able=2, ready=1)
        assert queries.who_can(session, make_actor(session, "roles:list"), "refunds:approve").admins is None

    @pytest.mark.parametrize("asked", ["", "*", "refunds", "refunds:*", "REFUNDS:LIST", "\x00", "\ud800", "x" * 10_000])
    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_what_is_no_permission_is_not_found(self, session, asked):
        with pytest.raises(NotFound, match="There is no such permission"):
            queries.who_can(session, make_actor(session, "roles:list"), asked)


def test_every_permission_says_what_it_allows():
    assert all(permission.description and permission.value.count(":") == 1 for permission in Permission)
