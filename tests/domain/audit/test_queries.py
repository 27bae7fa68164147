"""The log narrowed in every way, page by page, against the same done by hand."""

from datetime import timedelta
from random import Random
from uuid import uuid4

import pytest
from sqlalchemy import select

from domain import audit
from domain.access import SYSTEM
from domain.audit import recording
from domain.audit.models import AuditEntry
from domain.audit.objects import name_objects
from domain.audit.queries import AuditFilters, get_entry, list_actors, list_around, list_entries, list_for_object, list_of_request
from domain.db import now
from domain.errors import Forbidden, NotFound
from domain.refunds.models import Refund
from tests.factories import actor_for, make_actor, make_admin, make_job, make_refund

ACTIONS = ("refund.approved", "refund.rejected", "session.signed_in", "job.cancelled")
ENTRIES, ROUNDS = 120, 60


@pytest.fixture
def reader(session):
    return make_actor(session, "audit:list")


@pytest.fixture
def log(session, monkeypatch):
    """A hundred entries over ten days by three people and the system, from clocks that differ by a few minutes."""
    random, begun = Random(7), now() - timedelta(days=10)
    people = [
        actor_for(make_admin(session, name=name, email=f"{name}@example.com"), ip=ip) for name, ip in (("asha", "::1"), ("ravi", None))
    ]
    for number in range(ENTRIES):
        moment = begun + timedelta(hours=2 * number, minutes=random.randint(-4, 4))
        monkeypatch.setattr(recording, "now", lambda moment=moment: moment)
        audit.record(
            session,
            random.choice([*people, SYSTEM]),
            random.choice(ACTIONS),
            object_type=random.choice(["refund_requests", "background_jobs"]),
            object_id=random.randint(1, 5),
            after={"note": random.choice(["50% off", "half_price", "Größe"])},
        )
        session.commit()
    monkeypatch.undo()
    return session.scalars(select(AuditEntry).order_by(AuditEntry.sequence.desc())).all()


def by_hand(log, wanted):
    plain = {"object_type", "object_id", "request_id", "ip"}
    return [
        entry.sequence
        for entry in log
        if (not wanted.action or entry.action in wanted.action)
        and all(getattr(wanted, name) in (None, getattr(entry, name)) for name in plain)
        and wanted.actor in (None, str(entry.actor_id), entry.actor_name, f"{entry.actor_name.upper()}@example.com")
        and (wanted.from_ is None or entry.created_at >= wanted.from_)
        and (wanted.to is None or entry.created_at < wanted.to)
        and (wanted.q is None or wanted.q in entry.after["note"])
    ]


def walk(session, reader, wanted, size):
    """All pages by the cursor, then back from the last row upwards."""
    found, cursor = [], None
    while True:
        page = list_entries(session, reader, AuditFilters(**{**wanted, "page_size": size, "cursor": cursor}))
        found += [entry.sequence for entry in page]
        if (cursor := page.next_cursor) is None:
            break
    back = [found[-1]] if found else []
    while back and (page := list_entries(session, reader, AuditFilters(**{**wanted, "page_size": size, "newer_than": back[0]}))).items:
        back = [entry.sequence for entry in page] + back
    return found, back, page.total_items


def test_each_way_of_narrowing_finds_what_fits_and_counts_it(session, reader, log):
    random = Random(11)
    asha = next(entry.actor_id for entry in log if entry.actor_name == "asha")
    choices = {
        "actor": [str(asha), "ASHA@example.com", "System", "ravi", "nobody"],
        "action": [ACTIONS[:1], ACTIONS[:2], ACTIONS, ("no.such",)],
        "object_type": ["refund_requests", "nothing"],
        "object_id": ["1", "2"],
        "request_id": [log[3].request_id],
        "ip": ["::1"],
        "from_": [log[80].created_at, log[20].created_at],
        "to": [log[10].created_at, log[60].created_at],
        "q": ["50%", "half_", "Grö", "%"],
    }
    seen = 0
    for _ in range(ROUNDS):
        wanted = {name: random.choice(values) for name, values in choices.items() if random.random() < 0.25}
        expected = by_hand(log, AuditFilters(**wanted))
        found, back, total = walk(session, reader, wanted, random.choice([1, 3, 50]))
        assert (found, back, total if found else 0) == (expected, expected, len(expected)), wanted
        seen += len(expected)
    assert seen > ENTRIES


def test_pages_by_number_lie_in_the_same_order(session, reader, log):
    pages = [list_entries(session, reader, AuditFilters(page=page, page_size=50, action=ACTIONS)) for page in (1, 2, 3, 4)]

    assert [entry.sequence for page in pages for entry in page] == [entry.sequence for entry in log]
    assert [page.total_items for page in pages] == [ENTRIES] * 4


def test_counting_may_stop(session, reader, log):
    assert list_entries(session, reader, AuditFilters(action=ACTIONS), count_to=50).total_items == 50
    assert list_entries(session, reader, AuditFilters(), count_to=50).total_items == ENTRIES  # the head knows


def test_an_objects_own_page_is_told_its_life_newest_first(session):
    refund, other = make_refund(session), make_refund(session)
    for subject, action in ((refund, "refund.approved"), (other, "refund.rejected"), (refund, "refund.processed")):
        audit.record(session, SYSTEM, action, subject)
        session.commit()

    assert [entry.action for entry in list_for_object(session, Refund, refund.id)] == ["refund.processed", "refund.approved"]
    assert [entry.action for entry in list_for_object(session, Refund, refund.id, most=1)] == ["refund.processed"]
    assert list_for_object(session, Refund, uuid4()) == []


def test_what_stands_around_an_entry_is_found(session, reader):
    refund, job, admin = make_refund(session), make_job(session), make_admin(session, name="Asha Rao")
    actor = actor_for(admin)
    for action, subject in (("refund.approved", refund), ("job.started", job), ("refund.retried", refund), ("admin.disabled", admin)):
        audit.record(session, actor, action, subject)
    audit.record(session, SYSTEM, "thing.changed", object_type="roles", object_id="no-such-role")
    session.commit()
    first, *_ = entries = session.scalars(select(AuditEntry).order_by(AuditEntry.sequence)).all()

    assert get_entry(session, reader, first.id) is first
    assert [entry.action for entry in list_around(session, reader, first)] == ["refund.retried"]
    assert len(list_of_request(session, reader, actor.request_id)) == 4
    assert list_actors(session, reader) == [(admin.id, "Asha Rao")]
    assert name_objects(session, entries) == {
        ("refund_requests", str(refund.id)): refund.refund_number,
        ("background_jobs", str(job.id)): f"Clean-up {str(job.id)[:8]}",
        ("admin_users", str(admin.id)): "Asha Rao",
    }
    with pytest.raises(NotFound):
        get_entry(session, reader, uuid4())


def test_only_those_who_may_read_the_log_do(session):
    stranger = make_actor(session, "refunds:list")
    for read in (
        lambda: list_entries(session, stranger, AuditFilters()),
        lambda: get_entry(session, stranger, uuid4()),
        lambda: list_actors(session, stranger),
        lambda: list_of_request(session, stranger, "x"),
    ):
        with pytest.raises(Forbidden):
            read()
