"""Deciding on many refunds as one job, with one verdict each.

    not_tried -> rejected
    not_tried -> approved -> paid | accepted | queued | failed | unknown
    not_tried -> not_pending | needs_second_approver | not_refundable | not_found

A decision and its verdict are one transaction, fenced by the job's lease: whoever runs the job again finds either both or neither, so a
repeat decides nothing twice. Then each payout is tried before the next decision is made. At the first outcome that nobody knows the bulk
stops and a person looks; the payout itself is carried on by its own job. The decisions are the creator's, by what they may do when the
job runs; a refund that needs two admins is left to them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.access import Actor, Permission
from domain.errors import DomainError, Forbidden, Invalid, MfaRequired, NotFound
from domain.identity.models import Admin
from domain.identity.sessions import actor_of, visitor
from domain.jobs import commands as jobs
from domain.jobs import events, leases
from domain.jobs.commands import Holder
from domain.jobs.models import Job
from domain.jobs.outcomes import Done, Failed, Outcome
from domain.jobs.types import BULK_OPERATION
from domain.refunds import commands
from domain.refunds.commands.decision import AmountNotRefundable, ApprovalMismatch, NotPending, SameApprover
from domain.refunds.gateway import Gateways
from domain.refunds.models import Alternative, ProcessingState, Refund, RefundStatus
from domain.refunds.policy import RefundPolicy
from domain.refunds.settlement import Transactions, hold_payout, settle_held
from domain.restores.errors import ApprovalsFrozen
from domain.roles.models import Role

MOST_REFUNDS = 500
BEYOND_THE_GATEWAY = 5.0
"""Seconds a payout may need around its gateway call before another worker takes it over."""
LOOKS_EVERY = 0.1


class Action(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"


class Ruling(StrEnum):
    """What came of one refund."""

    NOT_TRIED = "not_tried"
    REJECTED = "rejected"
    APPROVED = "approved"  # its payout was not tried here yet
    PAID = "paid"
    ACCEPTED = "accepted"
    QUEUED = "queued"
    FAILED = "failed"
    UNKNOWN = "unknown"
    NOT_PENDING = "not_pending"
    NEEDS_SECOND_APPROVER = "needs_second_approver"
    NOT_REFUNDABLE = "not_refundable"
    NOT_FOUND = "not_found"


DECIDED_HERE = (Ruling.REJECTED, Ruling.APPROVED, Ruling.PAID, Ruling.ACCEPTED, Ruling.QUEUED, Ruling.FAILED, Ruling.UNKNOWN)
ASK_AGAIN = (Ruling.APPROVED, Ruling.QUEUED, Ruling.UNKNOWN)
"""What a job that is asked for again looks at once more: the payout of these may have come further since."""


class NotOurs(Exception):
    """The job was cancelled or given to another worker: what this run was about to write is undone."""


@dataclass(frozen=True)
class Wish:
    """What the job was asked for."""

    action: Action
    refund_ids: Sequence[UUID]
    reason: str
    admin_notes: str | None = None
    notify_user: bool = True
    notify_vendor: bool = True
    offer_alternative: str = Alternative.NONE


@dataclass(frozen=True)
class Verdict:
    refund_id: str
    refund_number: str | None
    verdict: str
    message: str
    current_status: str | None = None

    def facts(self) -> dict[str, object]:
        """As the job's result has it; `current_status` only where it is the reason."""
        return {name: value for name, value in asdict(self).items() if name != "current_status" or value is not None}


@dataclass(frozen=True)
class Tools:
    """What the worker brings. `check` is called between steps and raises when the run is to end."""

    transactions: Transactions
    gateways: Gateways
    policy: RefundPolicy
    gateway_seconds: float
    check: Callable[[], None] = lambda: None


def start(
    session: Session,
    actor: Actor,
    *,
    action: str,
    refund_ids: Sequence[UUID],
    reason: str,
    admin_notes: str | None = None,
    notify_user: bool = True,
    notify_vendor: bool = True,
    offer_alternative: str = Alternative.NONE,
) -> Job:
    """Have a worker approve or reject these refunds, one after the other, in the actor's name. An id that is not known gets its verdict
    then. Raises Forbidden, Invalid."""
    actor.require(Permission.REFUNDS_APPROVE)
    if actor.admin_id is None:
        raise Forbidden("Only an admin decides on refunds: sign in as one.")
    if not 1 <= len(refund_ids) <= MOST_REFUNDS or len(set(refund_ids)) != len(refund_ids):
        raise Invalid(f"Name from 1 to {MOST_REFUNDS} refunds, each once.", field="refund_ids")
    if action not in tuple(Action):
        raise Invalid(f"Write one of {', '.join(Action)}.", field="action")
    parameters: dict[str, Any] = {
        "action": str(action),
        "refund_ids": [str(refund_id) for refund_id in refund_ids],
        "reason": reason,
        "admin_notes": admin_notes,
        "notify_user": notify_user,
        "notify_vendor": notify_vendor,
        "offer_alternative": str(offer_alternative),
    }
    return jobs.start(session, actor, BULK_OPERATION.name, parameters)


def decide_all(tools: Tools, job: Job, owner: str) -> Outcome:
    """Give every refund of the job its verdict, going on where an earlier run ended. Raises NotOurs, and whatever `check` raises."""
    run = Run(tools, job, owner, wish_of(job.payload))
    try:
        run.open()
        for refund_id in run.wish.refund_ids:
            tools.check()
            if run.verdicts[refund_id].verdict == Ruling.NOT_TRIED:
                run.decide(refund_id)
            if run.verdicts[refund_id].verdict == Ruling.APPROVED:
                run.pay(refund_id)
            if run.verdicts[refund_id].verdict == Ruling.UNKNOWN:
                run.stop_after(refund_id)
                break
    except (Forbidden, ApprovalsFrozen) as error:
        return Failed(error.code if isinstance(error, ApprovalsFrozen) else "FORBIDDEN", error.message)
    return Done(run.result())


def wish_of(payload: dict[str, Any]) -> Wish:
    known = {name: payload[name] for name in ("admin_notes", "notify_user", "notify_vendor", "offer_alternative") if name in payload}
    ids = [UUID(refund_id) for refund_id in payload["refund_ids"]]
    return Wish(action=Action(payload["action"]), refund_ids=ids, reason=payload["reason"], **known)


@dataclass
class Run:
    tools: Tools
    job: Job
    owner: str
    wish: Wish
    verdicts: dict[UUID, Verdict] = field(default_factory=dict)

    def open(self) -> None:
        """Take over the verdicts that were given already: by an earlier run of this job, or by the failed job it repeats."""
        with self.tools.transactions() as session:
            named = select(Refund.id, Refund.refund_number).where(Refund.id.in_(self.wish.refund_ids))
            known: dict[UUID, str] = dict(session.execute(named).all())
            for refund_id in self.wish.refund_ids:
                self.give(refund_id, known.get(refund_id), Ruling.NOT_TRIED, "Not tried.")
            for kept in self.kept(session):
                refund_id = UUID(kept.refund_id)
                if refund_id in self.verdicts:
                    self.verdicts[refund_id] = kept
            self.keep(session)

    def kept(self, session: Session) -> list[Verdict]:
        own = session.scalar(select(Job.result).where(Job.id == self.job.id))
        if own is not None:
            return read(own)
        return [approved(verdict) if verdict.verdict in ASK_AGAIN else verdict for verdict in given_before(session, self.job.payload)]

    def decide(self, refund_id: UUID) -> None:
        try:
            with self.tools.transactions() as session:
                actor = creator(session, self.job)
                self.rule(session, actor, refund_id)
                self.keep(session)
        except (NotFound, NotPending, AmountNotRefundable, SameApprover, ApprovalMismatch, MfaRequired) as refusal:
            with self.tools.transactions() as session:
                self.give(refund_id, self.verdicts[refund_id].refund_number, *refused(refusal))
                self.keep(session)

    def rule(self, session: Session, actor: Actor, refund_id: UUID) -> None:
        wish, number = self.wish, self.verdicts[refund_id].refund_number
        if wish.action == Action.REJECT:
            commands.reject(
                session,
                actor,
                refund_id,
                reason=wish.reason,
                admin_notes=wish.admin_notes,
                notify_user=wish.notify_user,
                offer_alternative=wish.offer_alternative,
            )
            self.give(refund_id, number, Ruling.REJECTED, "Rejected.")
            return
        # The actor brings no second factor, and an approval that needs two admins asks for one: it ends in MfaRequired.
        decision = commands.approve(
            session,
            actor,
            self.tools.policy,
            refund_id,
            reason=wish.reason,
            admin_notes=wish.admin_notes,
            notify_user=wish.notify_user,
            notify_vendor=wish.notify_vendor,
            holder=self.holder,
        )
        if not decision.decided:
            raise MfaRequired("Two admins must approve this refund, each by themselves.")
        self.give(refund_id, number, Ruling.APPROVED, APPROVED)

    def pay(self, refund_id: UUID) -> None:
        """Try the payout; where another worker has it, wait for what comes of that."""
        ends = time.monotonic() + self.holder.seconds
        while True:
            with self.tools.transactions() as session:
                payout = hold_payout(session, refund_id, self.holder)
            if payout is not None:
                seconds = self.tools.gateway_seconds
                settle_held(self.tools.transactions, self.tools.gateways, payout, self.owner, refund_id, seconds=seconds)
            with self.tools.transactions() as session:
                refund = session.get_one(Refund, refund_id)
                if refund.processing_state != ProcessingState.ASKING or time.monotonic() > ends:
                    self.give(refund_id, refund.refund_number, *standing(refund))
                    self.keep(session)
                    return
            self.tools.check()
            time.sleep(LOOKS_EVERY)

    def stop_after(self, refund_id: UUID) -> None:
        number = self.verdicts[refund_id].refund_number
        for each, verdict in list(self.verdicts.items()):
            if verdict.verdict == Ruling.NOT_TRIED:
                message = f"Not tried: nobody knows yet what came of {number}. Look at it first, then decide on the rest."
                self.give(each, verdict.refund_number, Ruling.NOT_TRIED, message)
        with self.tools.transactions() as session:
            self.keep(session)
            events.note(session, self.job.id, "log", f"Stopped after {number}: the gateway gave no certain answer about it.")

    def keep(self, session: Session) -> None:
        """Write the verdicts in the caller's transaction; if the job is no longer this run's, the transaction must not commit."""
        total = len(self.verdicts)
        tried = sum(verdict.verdict not in (Ruling.NOT_TRIED, Ruling.APPROVED) for verdict in self.verdicts.values())
        session.flush()
        if not leases.keep(session, self.job.id, self.owner, self.result(), 100 * tried / total, f"{tried} of {total} refunds"):
            raise NotOurs

    def give(self, refund_id: UUID, number: str | None, ruling: Ruling, message: str, status: str | None = None) -> None:
        self.verdicts[refund_id] = Verdict(str(refund_id), number, str(ruling), message, status)

    def result(self) -> dict[str, object]:
        counts = Counter(verdict.verdict for verdict in self.verdicts.values())
        return {
            "counts": {str(ruling): counts[ruling] for ruling in Ruling if counts[ruling]},
            "verdicts": [verdict.facts() for verdict in self.verdicts.values()],
        }

    @property
    def holder(self) -> Holder:
        return Holder(self.owner, self.tools.gateway_seconds + BEYOND_THE_GATEWAY)


APPROVED = "Approved. Its payout goes on by itself."


def read(result: dict[str, Any] | None) -> list[Verdict]:
    return [Verdict(**facts) for facts in result["verdicts"]] if result else []


def given_before(session: Session, payload: dict[str, Any]) -> list[Verdict]:
    """What the failed jobs decided that this one repeats."""
    while (repeated := payload.get("retry_of")) is not None:
        earlier = session.get(Job, UUID(repeated))
        if earlier is None or earlier.type != BULK_OPERATION.name:
            return []
        if earlier.result is not None:
            return [verdict for verdict in read(earlier.result) if verdict.verdict in DECIDED_HERE]
        payload = earlier.payload
    return []


def approved(verdict: Verdict) -> Verdict:
    return Verdict(verdict.refund_id, verdict.refund_number, str(Ruling.APPROVED), APPROVED)


def creator(session: Session, job: Job) -> Actor:
    """Whoever started the job, with what they may do at this moment. Raises Forbidden."""
    found = session.execute(select(Admin, Role).join(Role, Role.id == Admin.role_id).where(Admin.id == job.creator_id)).one_or_none()
    if found is None:
        raise Forbidden("Only an admin decides on refunds: this job was started by none.")
    admin, role = found
    if not admin.active:
        raise Forbidden(f"{admin.name}, who started this, may no longer sign in. Another admin must decide on the rest.")
    actor = actor_of(admin, role, visitor(request_id=f"job {job.id}"))
    actor.require(Permission.REFUNDS_APPROVE)
    return actor


def refused(refusal: DomainError) -> tuple[Ruling, str, str | None]:
    if isinstance(refusal, NotFound):
        return Ruling.NOT_FOUND, refusal.message, None
    if isinstance(refusal, NotPending):
        return Ruling.NOT_PENDING, refusal.message, str(refusal.details["current_status"])
    if isinstance(refusal, AmountNotRefundable):
        return Ruling.NOT_REFUNDABLE, refusal.message, None
    if isinstance(refusal, MfaRequired):
        return Ruling.NEEDS_SECOND_APPROVER, "Two admins must approve this refund, each by themselves: it was left as it is.", None
    return Ruling.NEEDS_SECOND_APPROVER, refusal.message, None


def standing(refund: Refund) -> tuple[Ruling, str]:
    """How an approved refund's payout stands."""
    state, said = refund.processing_state, refund.processing_message
    if refund.status == RefundStatus.PROCESSED:
        return Ruling.PAID, f"Paid: {refund.transaction_id}."
    if state in (ProcessingState.ACCEPTED, ProcessingState.DONE):
        return Ruling.ACCEPTED, "The gateway has taken it; it is paid when the gateway says so."
    if state == ProcessingState.FAILED:
        return Ruling.FAILED, said or "The gateway declined this refund."
    if state == ProcessingState.QUEUED:
        return Ruling.QUEUED, said or APPROVED
    return Ruling.UNKNOWN, said or "The gateway gave no certain answer. The refund is being looked up."
