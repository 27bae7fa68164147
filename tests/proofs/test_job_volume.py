"""The monitor with 200 000 jobs behind it: page 1 and all that stands around it cost what they cost with 2 000."""

import gc
import statistics
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.orm import Session

import config
import migrations
from domain.db import make_engine, now
from domain.identity import sessions
from domain.identity.models import AdminSession, Door
from domain.jobs import counts
from domain.jobs.models import Job
from tests.factories import make_admin, make_job
from tests.many import earlier, multiply
from web.auth import identity
from web.db import db
from wsgi import create_app

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FEW, MANY = 2_000, 200_000
SPREAD = timedelta(days=180)
ROUNDS, WARM = 60, 5
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


class Site:
    """An application on a database with so many jobs, an admin who sees all of them and one who sees only their own."""

    def __init__(self, url, folder, size):
        migrations.upgrade(url)
        with ExitStack() as stack:
            engine = make_engine(url)
            stack.callback(engine.dispose)
            admins = fill(engine, size)
        settings = {"APP_ENV": "test", "DATA_DIR": str(folder), "DATABASE_URL": url, "RATE_LIMIT": "1000000 per minute"}
        self.app = create_app(config.load(settings))
        self.statements, self.backends = [], set()
        with self.app.app_context():
            self.callers = {name: self.sign_in(admin) for name, admin in admins.items()}
            event.listen(db.engine, "before_cursor_execute", self.note)

    def close(self):
        with self.app.app_context():
            db.engine.dispose()

    def sign_in(self, admin):
        """Opens an address as this admin: with a token at the API, with a cookie at the portal."""
        row = AdminSession(admin_id=admin.id, door=Door.API, expires_at=now() + timedelta(hours=1))
        db.session.add(row)
        _, secret = sessions.open_session(db.session(), admin.id, Door.PORTAL, sessions.visitor())
        db.session.commit()
        client, headers = self.app.test_client(), {"Authorization": f"Bearer {identity().tokens.sign(row)}"}
        with client.session_transaction() as cookie:
            cookie["_user_id"] = secret
        return lambda path: client.get(path, headers=headers if path.startswith("/api") else {})

    def note(self, connection, _cursor, statement, parameters, *_):
        self.statements.append((statement, parameters))
        if connection.dialect.name == "postgresql":
            self.backends.add(connection.connection.dbapi_connection.info.backend_pid)

    def spent(self):
        """CPU seconds so far of this process, and of the database's processes that it talks to."""
        there = sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in self.backends)
        return time.process_time() + there / 1e9

    def open(self, who, path):
        """The seconds of CPU that it costs; `statements` then holds what was asked of the database."""
        self.statements.clear()
        begun = self.spent()
        answer = self.callers[who](path)
        cost = self.spent() - begun
        assert answer.status_code == 200, answer.text[:500]
        return cost

    def blocks(self):
        """How many blocks PostgreSQL looks at for the statements of the request before."""
        found = 0
        with self.app.app_context(), db.engine.connect() as connection:
            for statement, parameters in list(self.statements):
                if statement.lstrip().upper().startswith(("SELECT", "WITH")):
                    plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters).scalar()
                    found += plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"]
        return found


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


def vacuum(engine, table=""):
    """What PostgreSQL does by itself, every minute, to what has changed much."""
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"VACUUM (ANALYZE) {table}"))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def sites(request, tmp_path_factory):
    """The same portal twice: with few jobs and with many."""
    with ExitStack() as stack:
        made = []
        for size in (FEW, MANY):
            folder = tmp_path_factory.mktemp(f"jobs-{size}")
            if request.param == "sqlite":
                url = f"sqlite:///{folder}/portal.db"
            else:
                server = request.getfixturevalue("postgres")
                url = server.new_database()
                stack.callback(server.drop_database, url)
            begun = time.monotonic()
            made.append(Site(url, folder, size))
            stack.callback(made[-1].close)
            print(f"{size} jobs made in {time.monotonic() - begun:.0f} s")
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


def measure(few, many, sees, path):
    """The CPU of each request, in turns, so that whatever else the machine does strikes both alike."""
    costs = {few: [], many: []}
    gc.collect()
    for number in range(WARM + ROUNDS):
        for site, found in costs.items():
            spent = site.open(sees, path)
            if number >= WARM:
                found.append(spent)
    return costs
