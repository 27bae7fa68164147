"""How each table comes through a restore."""

from __future__ import annotations

from enum import StrEnum


class Way(StrEnum):
    RESTORED = "restored"  # as the backup has it
    LIVE_WINS = "live wins"  # each row that is live, as it is live; the backup's others beside them
    LIVE_ONLY = "live only"  # nothing of the backup's: what it has was ended since, or is worth nothing
    ADDED = "added"  # rows never change: the live ones that the backup does not have are added
    CHAIN = "chain"  # the audit log, whose entries hang on each other
    MONEY = "money"  # where money may have moved, as it is live, with all that it stands on; else as the backup has it
    CLOSED = "closed"  # as it is live; what only the backup has and is not finished never will be
    GREATEST = "greatest"  # numbers given out: the higher one, or one would be given out twice
    OWN = "own"  # codes: those of an admin who is live are the live ones alone
    COUNTED = "counted"  # kept by triggers, as the rows come
    EMPTY = "empty"  # made anew when it is asked for


WAYS = {
    "users": Way.RESTORED,
    "vendors": Way.RESTORED,
    "bookings": Way.RESTORED,
    "payments": Way.RESTORED,
    "referrals": Way.RESTORED,
    "refund_requests": Way.MONEY,
    "refund_approvals": Way.MONEY,
    "refund_attempts": Way.LIVE_WINS,
    "external_refunds": Way.LIVE_WINS,
    "gateway_events": Way.ADDED,
    "refund_numbers": Way.GREATEST,
    "roles": Way.LIVE_WINS,
    "admin_users": Way.LIVE_WINS,
    "admin_invitations": Way.LIVE_WINS,
    "recovery_codes": Way.OWN,
    "admin_sessions": Way.LIVE_ONLY,
    "refresh_tokens": Way.LIVE_ONLY,
    "throttle_counters": Way.LIVE_ONLY,
    "idempotency_keys": Way.LIVE_WINS,
    "background_jobs": Way.CLOSED,
    "job_events": Way.ADDED,
    "job_count_changes": Way.COUNTED,
    "worker_heartbeats": Way.LIVE_ONLY,
    "web_processes": Way.LIVE_ONLY,
    "request_minutes": Way.LIVE_WINS,
    "storage_measurements": Way.LIVE_WINS,
    "cache_entries": Way.EMPTY,
    "audit_entries": Way.CHAIN,
    "audit_head": Way.CHAIN,
    "restores": Way.LIVE_WINS,
    "restore_quarantine": Way.ADDED,
}
