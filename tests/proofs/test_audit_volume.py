"""The log with 200 000 entries: its pages, deep ones too, cost what they cost with 2 000, and a verification stays small."""

import statistics
import time
import tracemalloc
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from domain.access import SYSTEM, operator
from domain.audit.models import AuditEntry, AuditHead
from domain.audit.recording import GENESIS, digest
from domain.audit.verification import verify
from domain.db import now, read_only
from tests.factories import actor_for, make_admin
from tests.proofs.sites import measure, sites_of, vacuum
from web.db import db

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FEW, MANY = 2_000, 200_000
DEARER = 1.5
AT_ONCE = 5_000
STEP = timedelta(minutes=1)
ACTIONS = ["session.signed_in"] * 10 + ["refund.approved"] * 5 + ["refund.rejected", "access.refused", "job.started", "export.finished"]
RARE, ONE_RARE_OF = "role.created", 77
PAGES = (
    "/api/v1/admin/audit",
    "/audit",
    "/audit?before=1000",
    "/audit?after=1000",
    "/audit?group=people",
    "/audit?group=signing-in",
    "/audit?object=refund_requests&id=00000000-0000-0000-0000-000000000064",
    "/audit?request=request-700",
    "/audit?ip=203.0.113.9",
    "/audit?by=me&action=refund.rejected",
    f"/audit?from={(now() - timedelta(hours=20)).date()}",
)


def fill(engine, size):
    """A whole chain, a minute from entry to entry, its newest ones alike whatever the size."""
    with Session(engine, expire_on_commit=False) as session:
        admin = make_admin(session, role="super_admin")
        session.commit()
        actors, begun, rows, previous = (actor_for(admin), SYSTEM), now() - size * STEP, [], GENESIS
        for number in range(1, size + 1):
            back = size - number
            actor = actors[back % 3 == 0]
            entry = AuditEntry(
                sequence=number,
                id=UUID(int=number),
                created_at=begun + number * STEP,
                action=ACTIONS[back % len(ACTIONS)] if back % ONE_RARE_OF else RARE,
                actor_id=actor.admin_id,
                actor_name=actor.name,
                object_type="refund_requests",
                object_id=str(UUID(int=number // 5)),
                before={"status": "pending"},
                after={"status": "approved"},
                details={"reason": "Complaint verified; the vendor agrees."},
                ip=f"203.0.113.{number % 200}",
                user_agent="tests",
                request_id=f"request-{number // 2}",
                previous_hash=previous,
            )
            entry.hash = previous = digest(entry)
            rows.append({column.name: getattr(entry, column.name) for column in AuditEntry.__table__.columns})
            if len(rows) == AT_ONCE or number == size:
                session.execute(insert(AuditEntry.__table__), rows)
                session.commit()
                rows = []
        session.execute(update(AuditHead).values(sequence=size, hash=previous))
        session.commit()
    vacuum(engine)
    return {"auditor": admin}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def sites(request, tmp_path_factory):
    """The same portal twice: with a short log and with a long one."""
    with sites_of(request, tmp_path_factory, "entries", (FEW, MANY), fill) as made:
        yield made


def test_a_page_costs_the_same_with_a_hundred_times_as_many_entries(sites):
    few, many = sites
    dearer = []
    for path in PAGES:
        costs = measure(few, many, "auditor", path)
        cheap, dear = (statistics.median(costs[site]) for site in sites)
        said = f"{path:60} {cheap * 1000:6.2f} ms -> {dear * 1000:6.2f} ms of CPU: {dear / cheap:.2f} x"
        print(said)
        if dear > DEARER * cheap:
            dearer.append(said)
    assert dearer == []


def test_a_verification_keeps_little_in_memory(sites):
    found = []
    for site, size in zip(sites, (FEW, MANY), strict=True):
        with site.app.app_context(), read_only():
            begun = time.process_time()
            with Session(db.engine) as session:
                assert verify(session, operator()).entries == size
            took = time.process_time() - begun
            tracemalloc.start()
            with Session(db.engine) as session:
                verify(session, operator())
            found.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        print(f"{size} entries verified in {took:.1f} s of CPU, with at most {found[-1] / 1e6:.1f} MB")
    assert found[1] < 2 * found[0]
