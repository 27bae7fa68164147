"""CPU per request, queries per request and bytes per page, on SQLite with demo data, in one process; then jobs per second; then
backups and restores beside the bare tools.

The floor is /healthz: a request through the whole stack that touches nothing. `python -m bench --refunds 5000 --megabytes 100`.
"""

import argparse
import gzip
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from flask import Flask
from sqlalchemy import event, select
from werkzeug.test import TestResponse

import bench.backups as backups
import bench.jobs as jobs
import bench.pgbackrest as pgbackrest
import config
import migrations
from domain.identity.models import Admin
from domain.refunds.models import Refund
from domain.traffic.recording import Recorder
from web.db import db
from wsgi import create_app

FINANCE = "finance2@example.com"
ROUNDS = 40


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--refunds", type=int, default=5000)
    parser.add_argument("--megabytes", type=int, default=100, help="of the database that is backed up")
    arguments = parser.parse_args()
    refunds = arguments.refunds
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        app = prepared(Path(folder), refunds)
        Bench(app, refunds).run()
    jobs.main()
    backups.main(arguments.megabytes)
    pgbackrest.main(arguments.megabytes)


def prepared(folder: Path, refunds: int) -> Flask:
    settings = config.load(
        {"APP_ENV": "test", "DATA_DIR": str(folder), "RATE_LIMIT": "1000000 per minute", "LOG_LEVEL": "ERROR", "SECRET_KEY": "b" * 32}
    )
    migrations.upgrade(settings.database_url)
    app = create_app(settings)
    made = app.test_cli_runner().invoke(args=["data", "demo", "--refunds", str(refunds), "--json"])
    if made.exit_code:
        raise SystemExit(made.output)
    return app


class Bench:
    def __init__(self, app: Flask, refunds: int):
        self.client, self.refunds = app.test_client(), refunds
        self.statements = 0
        with app.app_context():
            event.listen(db.engine, "before_cursor_execute", self.count)
            self.pending = list(
                db.session.scalars(
                    select(Refund.id).where(Refund.status == "pending", Refund.currency == "INR", Refund.requested_amount_cents < 8_000_000)
                )
            )
            db.session.rollback()
            assert db.session.scalar(select(Admin.id).where(Admin.email == FINANCE)), "the demo has other admins now"
            db.session.rollback()
        credentials = {"email": FINANCE, "password": "try-the-portal-finance2"}
        token = self.client.post("/api/v1/admin/auth/login", json=credentials).json["data"]["access_token"]
        self.headers = {"Authorization": f"Bearer {token}"}
        page = self.client.get("/login").text
        csrf = page.split('name="csrf_token"', 1)[1].split('value="', 1)[1].split('"', 1)[0]
        self.client.post("/login", data=credentials | {"csrf_token": csrf})

    def count(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        self.statements += not statement.startswith(("BEGIN", "SAVEPOINT", "RELEASE"))

    def run(self) -> None:
        floor = self.measure("floor: GET /healthz", lambda: self.client.get("/healthz"))
        self.counting(floor)
        api = "/api/v1/admin/refunds"
        for name, act in {
            "GET one page of 25 as JSON": lambda: self.client.get(api, headers=self.headers),
            "GET one page of 100 as JSON": lambda: self.client.get(f"{api}?page_size=100", headers=self.headers),
            "GET the queue's page": lambda: self.client.get("/refunds"),
            "GET one refund's page": lambda: self.client.get(f"/refunds/{self.pending[0]}"),
            "POST approve, paid at the sandbox": self.approve,
        }.items():
            self.measure(name, act, floor)

    def counting(self, floor: float) -> None:
        """What each request pays for being counted."""
        recorder, rounds = Recorder(), 20_000
        begun = time.process_time()
        for number in range(rounds):
            recorder.count("api", 200, number / 1_000_000)
        spent = (time.process_time() - begun) / rounds
        print(f"{'counting one request':38} {spent / floor:6.3f} x floor {spent * 1000:7.4f} ms CPU   0 statements")

    def approve(self) -> TestResponse:
        return self.client.post(
            f"/api/v1/admin/refunds/{self.pending.pop()}/approve",
            json={"reason": "Measured"},
            headers={**self.headers, "Idempotency-Key": uuid4().hex},
        )

    def measure(self, name: str, act: Callable[[], TestResponse], floor: float | None = None) -> float:
        """Print the median CPU of one call as a multiple of the floor, its statements, its size."""
        if floor is None:
            print(f"{self.refunds} refunds, {ROUNDS} rounds each, medians")
        times = []
        rounds = min(ROUNDS, len(self.pending) - 1)
        for number in range(rounds + 1):
            self.statements = 0
            begun = time.process_time()
            answer = act()
            spent = time.process_time() - begun
            assert answer.status_code == 200, (name, answer.status_code, answer.text[:500])
            if number:  # the first one compiles templates and statements
                times.append(spent)
        median = statistics.median(times)
        packed = len(gzip.compress(answer.data, 6)) / 1024
        ratio = "1" if floor is None else f"{median / floor:.1f}"
        print(f"{name:38} {ratio:>6} x floor {median * 1000:7.2f} ms CPU {self.statements:3} statements {packed:6.1f} KB gzip")
        return median


main()
