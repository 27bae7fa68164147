"""The demo's past of the queue: two days of finished jobs, by night fewer than by day, some of them failed and one cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import uuid4

from domain.identity.models import Admin
from domain.jobs.models import Job, JobEvent, JobStatus
from domain.jobs.types import ANALYTICS_EXPORT, CLEANUP, NOTIFICATION, REFUND_PROCESSING, REFUND_RECONCILE, type_of
from domain.refunds.models import Refund, RefundStatus

HOURS = 48
BY_DAY, BY_NIGHT = (4, 11), (1, 4)
MAIL_REFUSED = ("MESSAGE_REFUSED", "The mail server refused the message: 550 mailbox unavailable")
WORKER_LOST = ("WORKER_LOST", "The worker was lost each time it ran this job.")


@dataclass
class Past:
    jobs: list[Job] = field(default_factory=list)
    events: list[JobEvent] = field(default_factory=list)


class History:
    def __init__(self, moment: datetime, random: Random, team: Sequence[Admin], refunds: Sequence[Refund]):
        self.moment, self.random, self.team = moment, random, team
        self.paid = [refund for refund in refunds if refund.status == RefundStatus.PROCESSED]
        self.past = Past()

    def everything(self) -> Past:
        start = self.moment - timedelta(hours=HOURS)
        for hour in range(HOURS):
            begun = start + timedelta(hours=hour)
            least, most = BY_DAY if 3 <= begun.hour < 15 else BY_NIGHT
            for _ in range(self.random.randint(least, most)):
                self.usual(begun + timedelta(minutes=self.random.uniform(0, 57)))
        for days_ago, report in enumerate(("refunds", "payments", "bookings", "referrals")):
            self.export(self.moment - timedelta(hours=3 + 11 * days_ago), report, days_ago)
        for minutes in (95, 96, 98, 412):
            self.failed_message(self.moment - timedelta(minutes=minutes))
        self.cancelled_export(self.moment - timedelta(hours=5, minutes=12))
        self.lost_export(self.moment - timedelta(hours=7, minutes=40))
        return self.past

    def usual(self, at: datetime) -> None:
        kind = self.random.choices((NOTIFICATION, REFUND_PROCESSING, REFUND_RECONCILE, CLEANUP), (10, 6, 3, 1))[0]
        if kind is REFUND_RECONCILE:
            self.done(kind.name, at, 1.4, {}, {"looked_at": self.random.randint(0, 6), "jobs_made": 0})
        elif kind is CLEANUP or not self.paid:
            self.done(CLEANUP.name, at, 2.2, {}, {})
        else:
            refund = self.random.choice(self.paid)
            about: dict[str, Any] = {"refund_id": str(refund.id), "refund_number": refund.refund_number}
            if kind is REFUND_PROCESSING:
                result = {"status": str(refund.status), "transaction_id": refund.transaction_id}
                self.done(kind.name, at, 1.9, about, result, creator=self.random.choice(self.team[:3]))
            else:
                self.done(kind.name, at, 0.7, self.message(about, refund), {"sent": True})

    def message(self, about: dict[str, Any], refund: Refund) -> dict[str, Any]:
        return {"notice": "refund_approved", "audience": "user", "recipient_id": str(refund.user_id), **about}

    def export(self, at: datetime, report: str, place: int) -> None:
        """Its file is gone: what the demo shows was never there to be downloaded."""
        rows = self.random.randint(900, 48_000)
        result = {"rows": rows, "bytes": rows * self.random.randint(130, 210)}
        self.done(ANALYTICS_EXPORT.name, at, rows / 1500, self.days(at, report, place), result, creator=self.team[1 + place % 2])

    def days(self, at: datetime, report: str, place: int) -> dict[str, Any]:
        last = at.replace(day=1) - timedelta(days=1)
        form = "xlsx" if place % 2 else "csv"
        return {"report_type": report, "from": last.replace(day=1).date().isoformat(), "to": last.date().isoformat(), "format": form}

    def failed_message(self, at: datetime) -> None:
        if not self.paid:
            return
        refund = self.random.choice(self.paid)
        about = self.message({"refund_id": str(refund.id), "refund_number": refund.refund_number}, refund)
        self.ended(JobStatus.FAILED, NOTIFICATION.name, at, 0.9, about, error=MAIL_REFUSED)

    def cancelled_export(self, at: datetime) -> None:
        job = self.ended(JobStatus.CANCELLED, ANALYTICS_EXPORT.name, at, 21, self.days(at, "bookings", 0), creator=self.team[1], percent=40)
        job.cancelled_at = job.cancel_acknowledged_at = job.finished_at
        job.cancelled_by, job.cancel_reason = self.team[1].id, "The wrong month"

    def lost_export(self, at: datetime) -> None:
        job = self.ended(
            JobStatus.FAILED,
            ANALYTICS_EXPORT.name,
            at,
            192,
            self.days(at, "payments", 1),
            creator=self.team[2],
            percent=82,
            error=WORKER_LOST,
        )
        job.attempts = job.losses = 3

    def done(
        self, kind: str, at: datetime, seconds: float, told: dict[str, Any], result: dict[str, Any], creator: Admin | None = None
    ) -> None:
        job = self.ended(JobStatus.SUCCEEDED, kind, at, seconds * self.random.uniform(0.6, 1.7), told, creator=creator, percent=100)
        job.result = result

    def ended(
        self,
        status: JobStatus,
        kind: str,
        at: datetime,
        seconds: float,
        told: dict[str, Any],
        *,
        creator: Admin | None = None,
        percent: int = 0,
        error: tuple[str, str] | None = None,
    ) -> Job:
        started = at + timedelta(seconds=self.random.uniform(0.1, 2))
        finished = started + timedelta(seconds=seconds)
        job = Job(
            id=uuid4(),
            type=kind,
            status=status,
            progress_percent=percent,
            creator_id=creator.id if creator else None,
            payload=told,
            error={"code": error[0], "message": error[1]} if error else None,
            created_at=at,
            updated_at=finished,
            started_at=started,
            finished_at=finished,
            run_after=at,
            dispatched_at=at,
            attempts=1,
            max_attempts=type_of(kind).may_lose,
        )
        self.past.jobs.append(job)
        ends = f"{error[0]}: {error[1]}" if error else None
        for moment, event, message in ((started, "claimed", "worker"), (finished, str(status), ends)):
            self.past.events.append(JobEvent(id=uuid4(), job_id=job.id, at=moment, event=event, message=message))
        return job
