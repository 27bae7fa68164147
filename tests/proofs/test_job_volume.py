"""The monitor with 200 000 jobs behind it: page 1 and all that stands around it cost what they cost with 2 000."""

import statistics
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.db import now
from domain.jobs import counts
from domain.jobs.models import Job
from tests.factories import make_admin, make_job
from tests.many import earlier, multiply
from tests.proofs.sites import measure, sites_of, vacuum

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FEW, MANY = 2_000, 200_000
SPREAD = timedelta(days=180)
DEARER = 1.5
TYPES = {
    "analytics_export": {"report_type": "refunds", "format": "csv", "from": "2026-01-01", "to": "2026-01-31"},
    "bulk_operation": {"action": "approve", "refund_ids": ["0" * 32] * 20},
    "notification": {"notice": "refund_approved", "refund_number": "RF-2026-000017"},
    "refund_processing": {"refund_number": "RF-2026-000017"},
    "cleanup": {},
}
STATUSES = ["succeeded"] * 13 + ["failed"] * 3 + ["cancelled"] * 2 + ["pending", "processing"]
"""A twentieth waits and a twentieth runs: far more than ever should."""
ONE_DELETED_OF = 10
PRIME = 1009  # neighbours are of different kinds
PAGES = ("/api/v1/admin/jobs", "/api/v1/admin/jobs?status=failed", "/jobs", "/jobs?status=pending")


def fill(engine, size):
    """Jobs of all kinds over half a year, newer and older ones mixed alike whatever the size."""
    with Session(engine, expire_on_commit=False) as session:
        everybody = {"all": make_admin(session, role="super_admin"), "own": make_admin(session, role="finance_admin")}
        creators = [None, *(admin.id for admin in everybody.values()), make_admin(session).id]
        kinds = [(type, status, creator) for type in TYPES for status in STATUSES for creator in creators]
        moment, step = now(), SPREAD / size
        for number in range(len(kinds)):
            type, status, creator = kinds[number * PRIME % len(kinds)]
            begun = moment - number * step
            job = make_job(session, type=type, status=status, creator_id=creator, payload=TYPES[type], created_at=begun, run_after=begun)
            changed = ["created_at", "run_after"]
            if job.finished:
                job.finished_at = begun + timedelta(seconds=30)
                job.deleted_at = moment if number % ONE_DELETED_OF == 0 else None
                changed.append("finished_at")
            session.flush()
            spread = {name: earlier(session, getattr(job, name), len(kinds) * step) for name in changed}
            multiply(session, job, size // len(kinds) - 1, **spread)
            if number % 20 == 0:
                counts.fold(session)
                session.commit()
                vacuum(engine, "job_count_changes")
        counts.fold(session)
        assert session.scalar(select(func.count()).select_from(Job)) == size
        session.commit()
    vacuum(engine)
    return everybody


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def sites(request, tmp_path_factory):
    """The same portal twice: with few jobs and with many."""
    with sites_of(request, tmp_path_factory, "jobs", (FEW, MANY), fill) as made:
        yield made


@pytest.mark.parametrize("sees", ["all", "own"])
def test_page_one_costs_the_same_with_a_hundred_times_as_many_jobs(sites, sees):
    few, many = sites
    dearer = []
    for path in PAGES:
        costs = measure(few, many, sees, path)
        cheap, dear = (statistics.median(costs[site]) for site in sites)
        asked = [len(site.statements) for site in sites]
        said = f"{sees:4} {path:36} {cheap * 1000:6.2f} ms -> {dear * 1000:6.2f} ms of CPU: {dear / cheap:.2f} x; {asked} statements"
        print(said + (f"; {few.blocks()} -> {many.blocks()} blocks" if many.backends else ""))
        if dear > DEARER * cheap or asked[0] != asked[1]:
            dearer.append(said)
    assert dearer == []
