"""Tampering as somebody with the database's password would: the triggers dropped first."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import delete, insert, select, text, update

from domain import audit
from domain.access import SYSTEM, operator
from domain.audit import verification
from domain.audit.models import AuditEntry, AuditHead
from domain.audit.recording import digest
from domain.audit.verification import Break, Link, check_link, get_head, verify
from domain.errors import Forbidden
from tests.factories import actor_for, make_admin

ENTRIES = 12
DROP_TRIGGERS = {
    "sqlite": ["DROP TRIGGER audit_entries_no_update", "DROP TRIGGER audit_entries_no_delete"],
    "postgresql": ["DROP TRIGGER audit_entries_append_only ON audit_entries"],
}


@pytest.fixture
def chain(session):
    """A chain of a dozen entries that nothing protects any more."""
    for number in range(ENTRIES):
        audit.record(
            session, SYSTEM, "thing.changed", object_type="things", object_id=number, before={"n": number}, after={"n": number + 1}
        )
        session.commit()
    for statement in DROP_TRIGGERS[session.get_bind().dialect.name]:
        session.execute(text(statement))
    session.commit()
    return session


def tamper(session, *statements) -> None:
    for statement in statements:
        session.execute(statement)
    session.commit()
    session.expunge_all()


def fields(entry: AuditEntry) -> dict[str, object]:
    return {column.key: getattr(entry, column.key) for column in AuditEntry.__table__.columns}


def at(session, sequence: int) -> AuditEntry:
    return session.scalars(select(AuditEntry).where(AuditEntry.sequence == sequence)).one()


class TestAWholeChain:
    def test_it_is_found_whole(self, chain):
        finding = verify(chain, operator())

        assert finding.whole
        assert (finding.entries, finding.head) == (ENTRIES, Link(ENTRIES, at(chain, ENTRIES).hash))

    def test_so_is_an_empty_one(self, session):
        finding = verify(session, operator())

        assert (finding.whole, finding.entries) == (True, 0)

    def test_it_holds_what_was_noted_of_it(self, chain):
        noted = Link(5, at(chain, 5).hash)

        assert verify(chain, operator(), noted).whole

    def test_only_readers_of_the_log_may_ask(self, session):
        with pytest.raises(Forbidden):
            verify(session, actor_for(make_admin(session, "refunds:list")))


class TestAChange:
    @pytest.mark.parametrize("sequence", [1, 6, ENTRIES])
    @pytest.mark.parametrize(
        "changed",
        [
            {"action": "thing.unchanged"},
            {"actor_name": "Somebody else"},
            {"actor_id": "00000000-0000-4000-8000-000000000000"},
            {"object_id": "77"},
            {"object_type": None},
            {"before": {"n": 99}},
            {"after": None},
            {"details": {"note": "added"}},
            {"ip": "203.0.113.9"},
            {"user_agent": "another"},
            {"request_id": "another"},
            {"id": "00000000-0000-4000-8000-000000000000"},
            {"hash": "0" * 64},
        ],
        ids=lambda changed: next(iter(changed)),
    )
    def test_it_is_named(self, chain, sequence, changed):
        values = {name: UUID(value) if name in ("actor_id", "id") else value for name, value in changed.items()}
        tamper(chain, update(AuditEntry).where(AuditEntry.sequence == sequence).values(**values))

        broken = verify(chain, operator()).broken
        assert (broken.sequence, broken.what) == (sequence, "it was changed")

    def test_so_is_a_time_moved_by_a_microsecond(self, chain):
        entry = at(chain, 6)
        tamper(chain, update(AuditEntry).where(AuditEntry.sequence == 6).values(created_at=entry.created_at + timedelta(microseconds=1)))

        assert verify(chain, operator()).broken.sequence == 6

    def test_one_whose_hash_was_made_to_fit_shows_at_the_next(self, chain):
        entry = at(chain, 6)
        entry.action = "thing.unchanged"
        fitting = digest(entry)
        chain.rollback()
        tamper(chain, update(AuditEntry).where(AuditEntry.sequence == 6).values(action="thing.unchanged", hash=fitting))

        broken = verify(chain, operator()).broken
        assert broken.sequence == 7
        assert "does not follow" in broken.what

    @pytest.mark.parametrize("column", ["before", "details", "created_at", "actor_id", "ip"])
    def test_one_that_cannot_be_read_any_more_is_named_too(self, chain, column):
        """SQLite takes anything into any column."""
        if chain.get_bind().dialect.name != "sqlite":
            nonsense = {"created_at": "'-infinity'", "ip": "'x'"}.get(column, "'[]'" if column != "actor_id" else "gen_random_uuid()")
        else:
            nonsense = "x'00ff'"
        tamper(chain, text(f"UPDATE audit_entries SET {column} = {nonsense} WHERE sequence = 6"))

        finding = verify(chain, operator())
        assert finding.broken.sequence == 6
        assert finding.broken.what.startswith("it was changed")
        assert finding.entries == 5


class TestTheHead:
    def test_one_that_is_gone_or_doubled_is_told(self, chain):
        tamper(chain, insert(AuditHead).values(id=2, sequence=ENTRIES, hash="0" * 64))
        assert "more than once" in verify(chain, operator()).broken.what
        chain.rollback()
        tamper(chain, delete(AuditHead))
        assert verify(chain, operator()).broken == Break(ENTRIES + 1, "the row that says where the chain ends is gone")

    @pytest.mark.parametrize(
        ("values", "sequence", "words"),
        [
            ({"hash": "0" * 64}, ENTRIES, "the head knows"),
            ({"sequence": 9}, 10, "the head was set back"),
            ({"sequence": 20}, ENTRIES + 1, "its head says 20"),
        ],
    )
    def test_one_that_was_changed_is_told(self, chain, values, sequence, words):
        tamper(chain, update(AuditHead).values(**values))

        broken = verify(chain, operator()).broken
        assert (broken.sequence, words in broken.what) == (sequence, True)

    def test_it_is_what_is_noted(self, chain):
        assert str(get_head(chain)) == f"{ENTRIES}:{at(chain, ENTRIES).hash}"


class TestWalking:
    def test_it_goes_a_few_at_a_time_and_tells_how_far_it_is(self, chain, monkeypatch):
        monkeypatch.setattr(verification, "AT_ONCE", 5)
        told = []

        assert verify(chain, operator(), tell=lambda done, of: told.append((done, of))).whole
        assert told == [(5, ENTRIES), (10, ENTRIES), (12, ENTRIES)]

    def test_each_link_is_checked_on_its_own_too(self, chain):
        tamper(
            chain,
            update(AuditEntry).where(AuditEntry.sequence == 6).values(ip="203.0.113.9"),
            delete(AuditEntry).where(AuditEntry.sequence == 9),
        )

        found = {number: check_link(chain, operator(), at(chain, number)) for number in (1, 5, 6, 7, 10)}
        assert {number for number, wrong in found.items() if wrong} == {6, 10}
        assert (found[6].what, found[10]) == ("it was changed", Break(9, "it was removed"))


class TestARemoval:
    @pytest.mark.parametrize("sequence", [1, 2, 6, ENTRIES - 1])
    def test_it_is_named(self, chain, sequence):
        tamper(chain, delete(AuditEntry).where(AuditEntry.sequence == sequence))

        broken = verify(chain, operator()).broken
        assert (broken.sequence, broken.what) == (sequence, "it was removed")

    def test_so_is_one_that_was_closed_up(self, chain):
        statements = [delete(AuditEntry).where(AuditEntry.sequence == 6)]
        statements += [update(AuditEntry).where(AuditEntry.sequence == n).values(sequence=n - 1) for n in range(7, ENTRIES + 1)]
        tamper(chain, *statements)

        assert verify(chain, operator()).broken.sequence == 6

    def test_so_is_a_cut_tail(self, chain):
        tamper(chain, delete(AuditEntry).where(AuditEntry.sequence > 9))

        broken = verify(chain, operator()).broken
        assert broken.sequence == 10
        assert "its head says 12" in broken.what

    def test_a_cut_tail_with_the_head_made_to_fit_shows_against_a_noted_end(self, chain):
        noted = Link(ENTRIES, at(chain, ENTRIES).hash)
        last = at(chain, 9).hash
        tamper(chain, delete(AuditEntry).where(AuditEntry.sequence > 9), update(AuditHead).values(sequence=9, hash=last))

        assert verify(chain, operator()).whole  # the database alone cannot show it: that is what noting the end is for
        assert verify(chain, operator(), noted).broken.sequence == 10

    def test_so_does_a_tail_written_anew(self, chain):
        noted = Link(ENTRIES, at(chain, ENTRIES).hash)
        last = at(chain, ENTRIES - 1).hash
        tamper(chain, delete(AuditEntry).where(AuditEntry.sequence == ENTRIES), update(AuditHead).values(sequence=ENTRIES - 1, hash=last))
        audit.record(chain, SYSTEM, "thing.else")
        chain.commit()

        assert verify(chain, operator()).whole
        assert verify(chain, operator(), noted).broken.sequence == ENTRIES

    def test_everything_gone_is_seen(self, chain):
        tamper(chain, delete(AuditEntry))

        assert verify(chain, operator()).broken.sequence == 1


class TestAnInsertion:
    def test_it_is_named_between_two(self, chain):
        """Made room for and hashed as it should be: what follows it does not fit."""
        copied = fields(at(chain, 6))
        later = [update(AuditEntry).where(AuditEntry.sequence == n).values(sequence=n + 1) for n in range(ENTRIES, 6, -1)]
        slipped = AuditEntry(**{**copied, "sequence": 7, "id": "11111111-1111-4111-8111-111111111111", "previous_hash": copied["hash"]})
        slipped.id = UUID("11111111-1111-4111-8111-111111111111")
        slipped.hash = digest(slipped)
        tamper(chain, *later, insert(AuditEntry).values(**fields(slipped)))

        assert verify(chain, operator()).broken.sequence == 8

    def test_it_is_named_at_the_end(self, chain):
        copied = fields(at(chain, ENTRIES))
        slipped = AuditEntry(**{**copied, "sequence": ENTRIES + 1, "id": UUID(int=1), "previous_hash": copied["hash"]})
        slipped.hash = digest(slipped)
        tamper(chain, insert(AuditEntry).values(**fields(slipped)))

        assert not verify(chain, operator()).whole

    @pytest.mark.parametrize("sequence", [0, -1])
    def test_it_is_named_before_the_beginning(self, chain, sequence):
        copied = fields(at(chain, 1))
        tamper(chain, insert(AuditEntry).values(**{**copied, "sequence": sequence, "id": UUID(int=1)}))

        assert verify(chain, operator()).broken.sequence == sequence

    def test_two_that_changed_places_are_seen(self, chain):
        tamper(
            chain,
            update(AuditEntry).where(AuditEntry.sequence == 5).values(sequence=100),
            update(AuditEntry).where(AuditEntry.sequence == 6).values(sequence=5),
            update(AuditEntry).where(AuditEntry.sequence == 100).values(sequence=6),
        )

        assert verify(chain, operator()).broken.sequence == 5
