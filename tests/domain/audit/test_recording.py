from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from domain import audit
from domain.access import SYSTEM, operator
from domain.audit.models import AuditEntry
from domain.audit.verification import verify
from tests.factories import actor_for, make_admin


class TestAnEntry:
    def test_it_says_who_did_what_to_which_and_from_where(self, session):
        admin = make_admin(session)
        actor = actor_for(admin)
        audit.record(session, actor, "thing.changed", admin, before={"a": 1}, after={"a": 2}, why="a test")
        session.commit()

        entry = session.scalars(select(AuditEntry)).one()
        assert (entry.sequence, entry.action, entry.actor_id, entry.actor_name) == (1, "thing.changed", admin.id, admin.name)
        assert (entry.object_type, entry.object_id) == ("admin_users", str(admin.id))
        assert (entry.before, entry.after, entry.details) == ({"a": 1}, {"a": 2}, {"why": "a test"})
        assert (entry.ip, entry.user_agent, entry.request_id) == (actor.ip, actor.user_agent, actor.request_id)

    def test_it_is_gone_with_the_act_that_failed(self, session):
        audit.record(session, SYSTEM, "thing.changed")
        session.rollback()
        audit.record(session, SYSTEM, "thing.kept")
        session.commit()

        assert session.scalars(select(AuditEntry.action)).all() == ["thing.kept"]

    def test_it_is_gone_with_a_session_that_was_closed(self, session):
        audit.record(session, SYSTEM, "thing.changed")
        session.close()
        session.execute(text("SELECT 1"))
        session.commit()

        assert session.scalars(select(AuditEntry.action)).all() == []

    def test_a_savepoint_is_not_its_commit(self, session):
        with session.begin_nested():
            audit.record(session, SYSTEM, "thing.changed")
        session.commit()

        assert session.scalars(select(AuditEntry.sequence)).all() == [1]

    def test_it_is_gone_with_the_savepoint_that_was_taken_back(self, session):
        audit.record(session, SYSTEM, "before")
        with pytest.raises(ZeroDivisionError), session.begin_nested():
            audit.record(session, SYSTEM, "in the savepoint")
            with session.begin_nested():
                audit.record(session, SYSTEM, "deeper")
            raise ZeroDivisionError
        audit.record(session, SYSTEM, "after")
        session.commit()

        assert session.scalars(select(AuditEntry.action).order_by(AuditEntry.sequence)).all() == ["before", "after"]

    @pytest.mark.parametrize(
        "hostile",
        [
            "\x00",
            "a\x00b",
            "\ud800",
            "<script>alert(1)</script>",
            "\u202e",
            "x" * 10_000,
            "\U0001f4a3",
            "\u2028",
            1e308,
            0.1,
            10**30,
            float("nan"),
        ],
    )
    def test_whatever_it_quotes_reads_back_as_it_was_hashed(self, session, hostile):
        audit.record(session, SYSTEM, "thing.changed", after={"value": hostile, str(hostile): [hostile, {"deep": (hostile,)}]})
        session.commit()
        session.expire_all()

        assert verify(session, operator()).whole

    @pytest.mark.parametrize(
        "forbidden",
        [
            update(AuditEntry).values(action="nothing"),
            delete(AuditEntry),
            update(AuditEntry).where(AuditEntry.sequence == 1).values(ip="x"),
        ],
    )
    def test_the_database_lets_nobody_change_or_delete_one(self, session, forbidden):
        audit.record(session, SYSTEM, "thing.changed")
        session.commit()

        with pytest.raises(DBAPIError, match="append-only"):
            session.execute(forbidden)

    def test_sixteen_writers_at_once_leave_one_whole_chain(self, engine, session):
        def write(number: int) -> None:
            for turn in range(10):
                with Session(engine) as own:
                    audit.record(own, SYSTEM, "thing.changed", writer=number, turn=turn)
                    if turn % 3 == 0:
                        audit.record(own, SYSTEM, "thing.followed")
                    own.commit()

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(write, range(16)))

        finding = verify(session, operator())
        assert finding.whole and finding.entries == 16 * 14
        assert session.scalar(select(func.count()).select_from(AuditEntry)) == 16 * 14

    def test_a_writer_that_dies_before_its_commit_leaves_no_gap(self, engine, session):
        with Session(engine) as own:
            audit.record(own, SYSTEM, "thing.changed")
            own.flush()
            own.execute(text("SELECT 1"))
        audit.record(session, SYSTEM, "thing.kept")
        session.commit()

        assert verify(session, operator()).whole
