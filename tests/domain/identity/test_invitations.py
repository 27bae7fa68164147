"""What holds for invitations beyond what the doors show."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.audit.models import AuditEntry
from domain.identity import admins, invitations
from domain.identity.invitations import InvitationLinks, InvitationOver
from domain.identity.models import Admin, AdminSession, Invitation
from tests.domain.identity.conftest import PASSWORD
from tests.factories import actor_of, make_admin, make_role

LINKS = InvitationLinks(b"k" * 32, "https://portal.example.com")
RAVI = {"email": "ravi@example.com", "name": "Ravi Menon"}


@pytest.fixture
def manager(session):
    return make_admin(session, "admins:manage", "refunds:list")


@pytest.fixture
def token(session, manager):
    """Of an invitation to see refunds, sent by somebody who may do little more; committed."""
    role = make_role(session, "refunds:list")
    invitation = invitations.invite(session, actor_of(manager), LINKS, **RAVI, role_id=role.id)
    session.commit()
    return LINKS.token(invitation)


def test_two_who_accept_at_once_are_one_admin_with_one_session(engine, session, token, passwords, visitor):
    start = Barrier(3)

    def attempt(number: int) -> str:
        start.wait()
        with Session(engine) as own:
            try:
                invitations.accept(own, visitor, passwords, token, f"{PASSWORD} {number}")
                own.commit()
            except InvitationOver as error:
                return error.code
        return "in"

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(attempt, range(3))) == ["INVITATION_OVER", "INVITATION_OVER", "in"]
    assert session.scalar(select(func.count()).where(Admin.email == "ravi@example.com")) == 1
    assert session.scalar(select(func.count()).select_from(AdminSession)) == 1


def test_what_is_kept_opens_nothing_without_the_key(session, token):
    row = session.scalars(select(Invitation)).one()
    assert token not in (row.nonce, row.token_hash)
    assert LINKS.token(row) == token != InvitationLinks(b"x" * 32, "").token(row)


@pytest.mark.parametrize(
    "change", ["the sender is disabled", "the sender may invite no more", "the role may more by now", "the role is retired"]
)
def test_it_opens_nothing_once_its_sender_could_not_send_it_any_more(session, manager, token, passwords, visitor, change):
    assert invitations.open_with(session, token).invitation.name == "Ravi Menon"
    role = invitations.open_with(session, token).role
    if change == "the sender is disabled":
        manager.disabled_at = manager.created_at
    elif change == "the sender may invite no more":
        manager.role_id = "support_agent"
    elif change == "the role may more by now":
        role.permissions = [*role.permissions, "refunds:approve"]
    else:
        role.can_be_assigned = False
    session.flush()

    with pytest.raises(InvitationOver):
        invitations.accept(session, visitor, passwords, token, PASSWORD)


def test_who_came_in_and_who_asked_is_in_the_audit_log(session, token, passwords, visitor):
    invitations.accept(session, visitor, passwords, token, PASSWORD)
    session.commit()

    entries = session.scalars(select(AuditEntry).order_by(AuditEntry.sequence)).all()
    assert [entry.action for entry in entries] == ["admin.invited", "admin.invitation_accepted", "admin.created", "session.signed_in"]
    assert entries[2].details["message"].startswith("Invited by Admin")
    assert {entry.actor_name for entry in entries[1:]} == {"Ravi Menon"}
    assert not any(token in str(vars(entry)) or PASSWORD in str(vars(entry)) for entry in entries)


def test_an_address_that_became_an_admin_meanwhile_is_said_to_be_one(session, manager, token, passwords, visitor):
    make_admin(session, email="ravi@example.com")
    with pytest.raises(admins.EmailTaken):
        invitations.accept(session, visitor, passwords, token, PASSWORD)
