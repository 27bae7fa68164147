"""What never goes back in time, whatever is restored."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session, sessionmaker

from domain import audit
from domain.access import SYSTEM, operator
from domain.audit.models import AuditEntry
from domain.audit.verification import verify
from domain.db import make_engine, now
from domain.idempotency import Answer
from domain.identity.models import Admin, AdminSession, Door, Invitation, RecoveryCode
from domain.jobs import counts
from domain.jobs.commands import enqueue
from domain.jobs.models import Job
from domain.marketplace.models import User
from domain.models import metadata
from domain.refunds import commands
from domain.refunds.commands.decision import NotPending
from domain.refunds.models import Refund, RefundAttempt
from domain.refunds.policy import RefundPolicy
from domain.refunds.settlement import settle
from domain.restores.carrying import carry, carry_again, prepare
from domain.restores.ways import WAYS
from tests.domain.gateways import ScriptedGateway
from tests.factories import actor_of, make_admin, make_booking, make_invitation, make_payment, make_refund, make_role

POLICY = RefundPolicy(dual_limits={"INR": 8_500_000, "USD": 100_000})


def test_every_table_has_its_way():
    assert set(WAYS) == set(metadata.tables)


@pytest.fixture
def back_up(engine, session, request, tmp_path):
    """Copies the database as it is now; answers an engine for the copy."""
    copies = []

    def copy():
        session.commit()
        if engine.dialect.name == "sqlite":
            file = tmp_path / f"staged-{len(copies)}.db"
            with closing(sqlite3.connect(engine.url.database)) as source, closing(sqlite3.connect(file)) as target:
                source.backup(target)
            url = f"sqlite:///{file}"
        else:
            engine.dispose()
            url = request.getfixturevalue("postgres").new_database(engine.url.database)
        copies.append(make_engine(url))
        return copies[-1]

    yield copy
    for made in copies:
        made.dispose()


@pytest.fixture
def restore(engine, session):
    """Carries what is live into the copy; answers what was carried, and leaves a session on the copy to look at it."""

    def carried_into(staged):
        session.commit()
        with staged.begin() as into:
            prepare(into)
        with engine.connect() as live, staged.begin() as into:
            return carry(live, into)

    return carried_into


def pay(session, engine, refund, admin, gateway):
    commands.approve(session, actor_of(admin), POLICY, refund.id, reason="Nobody came")
    session.commit()
    settle(sessionmaker(engine, expire_on_commit=False).begin, {"sandbox": gateway}, refund.id)


def rows_of(engine, table):
    with engine.connect() as connection:
        return sorted((tuple(row) for row in connection.execute(select(metadata.tables[table]))), key=repr)


def sound(staged):
    """The log is whole, each row has its parents, and the counts are those of the rows."""
    with Session(staged) as session:
        assert verify(session, operator()).whole
        if staged.dialect.name == "sqlite":
            assert session.execute(text("PRAGMA foreign_key_check")).all() == []
        counted = dict(session.execute(select(Job.status, func.count()).where(Job.deleted_at.is_(None)).group_by(Job.status)).all())
        assert {status: count for status, count in counts.by_status(session).items() if count} == counted
    return True


def test_money_that_moved_since_has_moved_and_does_not_move_again(session, engine, back_up, restore):
    refunds = [make_refund(session, requested_amount_cents=5000) for _ in range(20)]
    admin = make_admin(session)
    staged = back_up()
    gateway = ScriptedGateway()
    for refund in refunds:
        pay(session, engine, refund, admin, gateway)
    asked = list(gateway.calls)

    carried = restore(staged)

    assert carried.left_out == []
    assert rows_of(staged, "refund_requests") == rows_of(engine, "refund_requests")
    assert rows_of(staged, "refund_attempts") == rows_of(engine, "refund_attempts")
    with Session(staged, expire_on_commit=False) as after:
        for refund in refunds:
            assert after.get_one(Refund, refund.id).status == "processed"
            with pytest.raises(NotPending):
                commands.approve(after, actor_of(admin), POLICY, refund.id, reason="Once more")
            after.rollback()
            settle(sessionmaker(staged, expire_on_commit=False).begin, {"sandbox": gateway}, refund.id)
    assert gateway.calls == asked
    assert sound(staged)


@pytest.mark.parametrize("answer", ["lost", "pending", "declined"])
def test_an_open_payout_goes_on_where_it_stands(session, engine, back_up, restore, answer):
    refund, admin = make_refund(session), make_admin(session)
    staged = back_up()
    pay(session, engine, refund, admin, ScriptedGateway(answer))
    restore(staged)
    for table in ("refund_requests", "refund_attempts", "background_jobs", "refund_approvals"):
        assert rows_of(staged, table) == rows_of(engine, table)
    assert sound(staged)


def test_a_refund_of_what_the_backup_does_not_know_brings_it_along(session, engine, back_up, restore):
    admin = make_admin(session)
    staged = back_up()
    refund = make_refund(session, make_payment(session, make_booking(session)))
    stranger = make_refund(session)
    session.commit()
    pay(session, engine, refund, admin, ScriptedGateway())
    restore(staged)
    with Session(staged) as after:
        assert after.get_one(Refund, refund.id).status == "processed"
        assert after.get_one(User, refund.user_id)
        assert after.get(Refund, stranger.id) is None
        assert after.get(User, stranger.user_id) is None
    assert sound(staged)


def test_records_come_back_as_they_were(session, engine, back_up, restore):
    admin = make_admin(session)
    refund = make_refund(session)
    name = session.get_one(User, refund.user_id).name
    staged = back_up()
    session.get_one(User, refund.user_id).name = "Somebody else"
    commands.reject(session, actor_of(admin), refund.id, reason="Too late")
    restore(staged)
    with Session(staged) as after:
        assert after.get_one(User, refund.user_id).name == name
        assert after.get_one(Refund, refund.id).status == "pending"
        assert "refund.rejected" in after.scalars(select(AuditEntry.action)).all()  # what was done is still known
    assert sound(staged)


def test_who_may_come_in_is_as_it_is_now(session, engine, back_up, restore):
    role = make_role(session, "refunds:list")
    leaver, changer = make_admin(session, role=role), make_admin(session, role=role)
    ended = AdminSession(admin_id=changer.id, door=Door.API, expires_at=now() + timedelta(hours=1))
    forgotten = AdminSession(admin_id=changer.id, door=Door.API, expires_at=now() + timedelta(hours=1))
    used = RecoveryCode(admin_id=changer.id, code_hash="a" * 64)
    replaced = RecoveryCode(admin_id=changer.id, code_hash="b" * 64)
    session.add_all((ended, forgotten, used, replaced))
    staged = back_up()

    leaver.disabled_at, changer.password_hash, changer.totp_last_step = now(), "another", 77
    role.permissions = ["jobs:list"]
    ended.revoked_at, used.used_at = now(), now()
    session.delete(replaced)
    session.execute(delete(AdminSession).where(AdminSession.id == forgotten.id))
    newcomer = make_admin(session, role=role)
    restore(staged)

    for table in ("admin_users", "roles", "admin_sessions", "recovery_codes"):
        assert rows_of(staged, table) == rows_of(engine, table)
    with Session(staged) as after:
        assert after.get_one(Admin, newcomer.id)
    assert sound(staged)


def test_jobs_are_those_of_now_and_what_only_the_backup_has_ends(session, engine, back_up, restore):
    finished, purged = enqueue(session, "cleanup"), enqueue(session, "notification")
    staged = back_up()
    session.execute(update(Job).where(Job.id == finished.id).values(status="succeeded", finished_at=now()))
    session.execute(delete(Job).where(Job.id == purged.id))
    waiting = enqueue(session, "notification")
    restore(staged)
    with Session(staged) as after:
        assert after.get_one(Job, finished.id).status == "succeeded"
        assert after.get_one(Job, waiting.id).status == "pending"
        ended = after.get_one(Job, purged.id)
        assert (ended.status, ended.error["code"]) == ("cancelled", "SUPERSEDED_BY_RESTORE")
    assert sound(staged)


def test_to_carry_again_carries_what_came_since_and_changes_nothing_else(session, engine, back_up, restore):
    refund, admin = make_refund(session), make_admin(session)
    enqueue(session, "cleanup")
    staged = back_up()
    pay(session, engine, refund, admin, ScriptedGateway("pending"))
    restore(staged)
    tables = [name for name in WAYS if name != "job_count_changes"]
    once = {table: rows_of(staged, table) for table in tables}
    restore(staged)
    assert {table: rows_of(staged, table) for table in tables} == once

    audit.record(session, SYSTEM, "test.happened")
    restore(staged)
    with Session(staged) as after:
        assert after.scalars(select(AuditEntry.action).order_by(AuditEntry.sequence.desc())).first() == "test.happened"
    assert sound(staged)


def test_a_backup_brought_to_a_new_machine_keeps_its_admins_and_its_log(session, engine, back_up, restore, sqlite_template):
    """The live database is a new one then, in which somebody has just made an admin and asked for the restore."""
    old = make_admin(session, email="asha@example.com")
    refund = make_refund(session)
    pay(session, engine, refund, old, ScriptedGateway())
    staged = back_up()
    for table in reversed(metadata.sorted_tables):
        if table.name not in ("audit_entries", "audit_head", "roles", "job_count_changes"):
            session.execute(delete(table))
    forget_the_log(session)
    twin = make_admin(session, email="asha@example.com")
    newcomer = make_admin(session, email="new@example.com")
    for number in range(3):
        audit.record(session, operator(), "test.happened", number=number)

    carried = restore(staged)

    assert [(out.table, out.row["id"]) for out in carried.left_out] == [("admin_users", twin.id)]
    with Session(staged) as after:
        assert {admin.id for admin in after.scalars(select(Admin))} == {old.id, newcomer.id}
        assert after.get_one(Refund, refund.id).status == "processed"
        assert after.scalars(select(RefundAttempt)).one().state == "done"
        last = after.scalars(select(AuditEntry).order_by(AuditEntry.sequence.desc()).limit(3)).all()
        assert [entry.details["number"] for entry in last] == [2, 1, 0]
        assert all("carried_from" in entry.details for entry in last)
    assert sound(staged)
    restore(staged)
    assert sound(staged)


def test_a_key_and_an_invitation_that_were_made_anew_are_carried(session, engine, back_up, restore):
    """Those of the backup are over, and whoever is live has forgotten them."""
    admin, long_ago = make_admin(session), now() - timedelta(days=40)
    scope = {"admin_id": admin.id, "method": "POST", "path": "/api/v1/admin/refunds", "key": "daily", "fingerprint": "f" * 64}
    session.add(Answer(**scope, created_at=long_ago, status=200))
    make_invitation(session, email="asha@example.com", expires_at=long_ago)
    staged = back_up()
    for table in (Answer, Invitation):
        session.execute(delete(table))
    session.add(Answer(**scope, status=201))
    make_invitation(session, email="asha@example.com")

    carried = restore(staged)

    assert carried.left_out == []
    for table in ("idempotency_keys", "admin_invitations"):
        assert rows_of(staged, table) == rows_of(engine, table)
    assert sound(staged)


def test_rows_that_stand_in_each_others_way_are_carried_in_whichever_order_they_are_read(session, engine, back_up, restore):
    """A job that has ended makes room for the next about the same subject; the next is read first where the one before was written last."""
    first = enqueue(session, "refund_processing", subject_id=uuid4())
    staged = back_up()
    carried = restore(staged)
    session.execute(update(Job).where(Job.id == first.id).values(status="succeeded", finished_at=now()))
    following = enqueue(session, "refund_processing", subject_id=first.subject_id)
    session.flush()
    session.execute(update(Job).where(Job.id == first.id).values(stage="written last"))
    session.commit()

    with engine.connect() as live, staged.begin() as into:
        assert carry_again(live, into, carried).left_out == []
    with Session(staged) as after:
        assert after.get_one(Job, following.id).status == "pending"
    assert sound(staged)


def test_a_row_whose_changes_do_not_fit_stays_named(session, engine, back_up, restore):
    """It is in the restored data as it was, which must not look as if it had been carried."""
    heir = make_admin(session, email="heir@example.com")
    other = make_admin(session, email="desk@example.com")
    staged = back_up()
    session.delete(other)
    session.flush()
    heir.email, heir.disabled_at = "desk@example.com", now()
    carried = restore(staged)

    with engine.connect() as live, staged.begin() as into:
        for changes in (None, NothingSince(), NothingSince()):
            carried = carry_again(live, into, carried, changes)
            assert [(out.table, out.row["id"]) for out in carried.left_out] == [("admin_users", heir.id)]
        into.execute(delete(Admin).where(Admin.id == other.id))
        assert carry_again(live, into, carried, NothingSince()).left_out == []
    assert rows_of(staged, "admin_users") == rows_of(engine, "admin_users")


class NothingSince:
    def of(self, table):
        return []


def forget_the_log(session):
    """As nobody can but who owns the database."""
    triggers = {
        "sqlite": ("DROP TRIGGER audit_entries_no_delete",),
        "postgresql": ("ALTER TABLE audit_entries DISABLE TRIGGER audit_entries_append_only",),
    }
    for statement in triggers[session.get_bind().dialect.name]:
        session.execute(text(statement))
    session.execute(text("DELETE FROM audit_entries"))
    session.execute(text(f"UPDATE audit_head SET sequence = 0, hash = '{'0' * 64}'"))
    session.commit()
