"""One refund: its standing, evidence and history in words."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from flask import g, url_for

from domain.audit.models import AuditEntry
from domain.marketplace.models import PayoutStatus
from domain.referrals.rewards import Reward
from domain.refunds.models import AttemptState, ProcessingState, Refund, RefundApproval, Requester
from domain.refunds.policy import APPROVAL_LASTS
from domain.refunds.queries import RefundDetail
from portal.formats import money
from portal.htmx import page_arguments
from portal.refunds.listing import ListQuery

REQUESTERS = {Requester.VENDOR: "the vendor", Requester.ADMIN: "an admin", Requester.SYSTEM: "the system"}
UNDER_WAY = (ProcessingState.QUEUED, ProcessingState.ASKING, ProcessingState.UNKNOWN, ProcessingState.ACCEPTED)
EVENTS = {
    "refund.requested": ("Refund requested", "receipt-text", ""),
    "refund.approved_first": ("First approval given", "users-round", ""),
    "refund.approved": ("Approved", "circle-check", "success"),
    "refund.rejected": ("Rejected", "circle-x", "danger"),
    "refund.retried": ("Payment tried again", "rotate-cw", ""),
    "refund.accepted": ("Taken by the gateway", "send", ""),
    "refund.processed": ("Money moved", "banknote", "success"),
    "refund.failed": ("Payment failed", "circle-alert", "danger"),
    "refund.unknown": ("No certain answer from the gateway", "hourglass", "warning"),
}


def detail_context(detail: RefundDetail) -> dict[str, Any]:
    refund = detail.refund
    return {
        "refund": refund,
        "approvals": detail.approvals_received,
        "approvals_required": detail.approvals_required(),
        "box": detail.money,
        "first_approval": first_approval(detail.live_approvals[0]) if detail.live_approvals else None,
        "evidence": [piece for piece in map(evidence, refund.evidence or []) if piece],
        "siblings": detail.siblings,
        "timeline": timeline(detail),
        "requester": requester(detail),
        "rewards": [told_reward(reward) for reward in detail.rewards],
        "under_way": refund.processing_state in UNDER_WAY,
        **addresses(ListQuery.read(page_arguments())),
    }


def addresses(query: ListQuery) -> dict[str, Any]:
    """Links that carry the list's own filters along, so that the way back leads to the same list."""
    return {
        "list_url": query.url(page=query.page),
        "refund_url": lambda id: url_for("portal.refunds.show", refund_id=id, **query.arguments()),
        "now_url": lambda id: url_for("portal.refunds.now", refund_id=id, **query.arguments()),
        "act_url": lambda name, id: url_for(f"portal.refunds.{name}_form", refund_id=id, **query.arguments()),
    }


REWARDS = {
    PayoutStatus.NOT_DUE: "not due yet",
    PayoutStatus.SCHEDULED: "about to be paid out",
    PayoutStatus.PAID: "already paid out",
    PayoutStatus.FAILED: "whose payout failed",
    PayoutStatus.REVERSED: "since taken back",
}


def told_reward(reward: Reward) -> dict[str, Any]:
    return {
        "referral_id": reward.referral_id,
        "referrer": reward.referrer.name if reward.referrer else None,
        "amount_cents": reward.amount_cents,
        "currency": reward.currency,
        "words": REWARDS[reward.payout_status],
        "out": reward.payout_status in (PayoutStatus.SCHEDULED, PayoutStatus.PAID),
    }


def first_approval(approval: RefundApproval) -> dict[str, Any]:
    return {
        "admin_id": approval.admin_id,
        "by": "You" if approval.admin_id == g.actor.admin_id else approval.admin.name,
        "at": approval.created_at,
        "amount_cents": approval.amount_cents,
        "reason": approval.reason,
        "lapses_at": approval.created_at + APPROVAL_LASTS,
    }


def requester(detail: RefundDetail) -> str:
    refund = detail.refund
    if refund.requested_by == Requester.USER:
        return refund.user.name
    admin = detail.admins.get(refund.requested_by_admin_id) if refund.requested_by_admin_id else None
    return admin.name if admin else REQUESTERS[Requester(refund.requested_by)]


def evidence(piece: Any) -> dict[str, str | None] | None:
    """A link to what the customer sent, where it is one we may show: https with a host. It is never fetched from here."""
    if not isinstance(piece, dict) or not isinstance(piece.get("url"), str):
        return None
    kind = piece.get("type") if piece.get("type") in ("image", "video", "document") else "file"
    word, icon = str(kind).capitalize(), "image" if kind == "image" else "file-text"
    try:
        parts = urlsplit(piece["url"].strip())
        safe = parts.scheme == "https" and parts.hostname and not parts.username and not set(piece["url"]) & set("\r\n\t\\ ")
    except ValueError:
        safe = False
    if not safe:
        return {"url": None, "word": word, "icon": icon, "host": None}
    name = parts.path.rpartition("/")[2]
    return {"url": piece["url"].strip(), "word": name[-60:] or word, "icon": icon, "host": parts.hostname}


def timeline(detail: RefundDetail) -> list[dict[str, Any]]:
    """Newest first, down to the request itself."""
    refund = detail.refund
    told = {entry.action for entry in detail.timeline}
    events = [event(entry, refund) for entry in detail.timeline if entry.action in EVENTS and entry.action != "refund.requested"]
    events += [happening for action, happening in facts(detail) if action not in told]
    asked = happened("refund.requested", refund.requested_at, requester(detail))
    events.sort(key=lambda one: one["at"])  # and of two at one moment as they were told
    return [*events[::-1], asked]


def facts(detail: RefundDetail) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the rows themselves tell: of refunds that came in with a past the audit log did not see it is all there is."""
    refund, names = detail.refund, {id: admin.name for id, admin in detail.admins.items()}
    for approval in detail.approvals:
        if approval.admin_id != refund.approved_by:
            yield "refund.approved_first", happened("refund.approved_first", approval.created_at, approval.admin.name, approval.reason)
    if refund.approved_at:
        by = names.get(refund.approved_by) if refund.approved_by else None
        yield "refund.approved", happened("refund.approved", refund.approved_at, by, refund.decision_reason)
    if refund.rejected_at:
        by = names.get(refund.rejected_by) if refund.rejected_by else None
        yield "refund.rejected", happened("refund.rejected", refund.rejected_at, by, refund.decision_reason)
    for attempt in detail.attempts:
        if attempt.state == AttemptState.FAILED and attempt.finished_at:
            yield "refund.failed", happened("refund.failed", attempt.finished_at, None, attempt.message)
    if refund.processed_at:
        yield "refund.processed", happened("refund.processed", refund.processed_at, None)


def happened(action: str, at: datetime, by: str | None, note: str | None = None) -> dict[str, Any]:
    word, icon, tone = EVENTS[action]
    return {"word": word, "icon": icon, "tone": tone, "by": by, "note": note, "at": at}


def event(entry: AuditEntry, refund: Refund) -> dict[str, Any]:
    word, icon, tone = EVENTS[entry.action]
    cents = entry.details.get("amount_cents")
    if isinstance(cents, int) and entry.action.startswith("refund.approved"):
        word = f"{word}, {money(cents, refund.currency)}"
    note = entry.details.get("reason") or entry.details.get("message")
    return {
        "word": word,
        "icon": icon,
        "tone": tone,
        "by": ("you" if entry.actor_id == g.actor.admin_id else entry.actor_name) if isinstance(entry.actor_id, UUID) else None,
        "note": str(note) if note else None,
        "at": entry.created_at,
    }
