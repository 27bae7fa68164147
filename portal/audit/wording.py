"""What acts and objects are called on the pages, each once. A new action of the audit log gets its words here."""

from typing import Any

from domain.audit.models import AuditEntry
from portal.wording import Look

ACTIONS = {
    "access.refused": Look("Access refused", "danger", "ban"),
    "request.refused": Look("Act refused", "warning", "circle-x"),
    "session.signed_in": Look("Signed in", "", "log-in"),
    "session.signed_out": Look("Signed out", "", "log-out"),
    "session.signed_out_everywhere": Look("Signed out everywhere", "", "log-out"),
    "session.sign_in_refused": Look("Sign-in refused", "danger", "circle-x"),
    "session.sign_in_throttled": Look("Too many tries to sign in", "danger", "hourglass"),
    "session.refresh_token_reused": Look("Refresh token used twice", "danger", "triangle-alert"),
    "mfa.enrolment_begun": Look("Second factor being set up", "", "smartphone"),
    "mfa.enrolled": Look("Second factor set up", "success", "smartphone"),
    "mfa.enrolment_refused": Look("Second factor not set up: wrong code", "warning", "smartphone"),
    "mfa.verified": Look("Second factor given", "", "shield-check"),
    "mfa.refused": Look("Second factor refused", "danger", "circle-x"),
    "mfa.throttled": Look("Too many wrong codes", "danger", "hourglass"),
    "mfa.recovery_codes_renewed": Look("Recovery codes renewed", "warning", "key-round"),
    "admin.created": Look("Admin created", "success", "plus"),
    "admin.invited": Look("Admin invited", "", "send"),
    "admin.invitation_resent": Look("Invitation sent again", "", "send"),
    "admin.invitation_withdrawn": Look("Invitation withdrawn", "warning", "ban"),
    "admin.invitation_accepted": Look("Invitation accepted", "success", "circle-check"),
    "admin.role_changed": Look("Role given", "warning", "users-round"),
    "admin.disabled": Look("Admin disabled", "danger", "ban"),
    "admin.enabled": Look("Admin enabled", "success", "circle-check"),
    "admin.mfa_reset": Look("Second factor taken off", "warning", "smartphone"),
    "admin.password_set": Look("Password set", "warning", "key-round"),
    "admin.password_changed": Look("Own password changed", "", "key-round"),
    "admin.password_change_refused": Look("Own password not changed", "danger", "circle-x"),
    "role.created": Look("Role made", "success", "plus"),
    "role.changed": Look("Role changed", "warning", "sliders-horizontal"),
    "role.deleted": Look("Role deleted", "danger", "trash-2"),
    "admin.time_zone_changed": Look("Time zone changed", "", "clock"),
    "refund.requested": Look("Refund requested", "", "receipt-text"),
    "refund.approved_first": Look("First approval given", "", "users-round"),
    "refund.approved": Look("Refund approved", "success", "circle-check"),
    "refund.rejected": Look("Refund rejected", "danger", "circle-x"),
    "refund.retried": Look("Payment tried again", "", "rotate-cw"),
    "refund.accepted": Look("Taken by the gateway", "", "send"),
    "refund.processed": Look("Money moved", "success", "banknote"),
    "refund.failed": Look("Payment failed", "danger", "circle-alert"),
    "refund.contradicted": Look("Gateway contradicts our books", "danger", "triangle-alert"),
    "refund.found_paid": Look("Found paid at the gateway after a restore", "warning", "banknote"),
    "refund.made_elsewhere": Look("Refunded at the gateway itself", "warning", "external-link"),
    "refund.failed_elsewhere": Look("Refund made at the gateway itself failed", "warning", "external-link"),
    "job.started": Look("Job started", "", "play"),
    "job.cancelled": Look("Job cancelled", "", "ban"),
    "job.deleted": Look("Job deleted", "danger", "trash-2"),
    "job.retried": Look("Job run again", "", "rotate-cw"),
    "jobs.files_expired": Look("Old result files removed", "", "brush-cleaning"),
    "jobs.purged": Look("Old jobs purged", "", "brush-cleaning"),
    "export.finished": Look("Export made", "", "file-spreadsheet"),
    "export.downloaded": Look("Export downloaded", "warning", "download"),
    "data.imported": Look("Records imported", "", "download"),
    "data.demo_loaded": Look("Demo loaded", "", "store"),
    "backup.requested": Look("Backup asked for", "", "play"),
    "backup.created": Look("Backup made", "success", "shield-check"),
    "backup.verification_requested": Look("Backup verification asked for", "", "play"),
    "backup.damaged": Look("Backup found damaged", "danger", "shield-alert"),
    "backup.verified": Look("Backup verified", "success", "shield-check"),
    "backup.entered": Look("Backup entered in the catalog again", "", "layers"),
    "backup.alarm_raised": Look("Super admins told that backups fail", "danger", "shield-alert"),
    "backup.alarm_ended": Look("Super admins told that backups are well again", "success", "shield-check"),
    "backup.removed": Look("Backup removed", "danger", "trash-2"),
    "restore.requested": Look("Restore asked for", "danger", "play"),
    "restore.rollback_requested": Look("Rollback asked for", "danger", "play"),
    "restore.completed": Look("Data restored", "danger", "rotate-cw"),
    "restore.recovered": Look("Interrupted restore cleaned up", "warning", "brush-cleaning"),
    "restore.checked": Look("Restored refunds compared with the gateways", "", "shield-check"),
    "restore.check_requested": Look("Comparison with the gateways asked for", "", "play"),
    "restore.acknowledged": Look("Restore's report acknowledged", "success", "circle-check"),
    "audit.verified": Look("Audit log verified: whole", "success", "shield-check"),
    "audit.broken": Look("Audit log verified: broken", "danger", "shield-alert"),
}
GROUPS = {
    "refusals": ("Refusals", ("access.", "request.")),
    "signing-in": ("Signing in", ("session.", "mfa.")),
    "refunds": ("Refunds", ("refund.",)),
    "jobs": ("Jobs and exports", ("job.", "jobs.", "export.")),
    "people": ("Admins and roles", ("admin.", "role.")),
    "system": ("Data and system", ("data.", "audit.", "backup.", "restore.", "system.")),
}
OBJECTS = {
    "refund_requests": ("Refund", "receipt-text"),
    "payments": ("Payment", "banknote"),
    "background_jobs": ("Job", "layers"),
    "admin_users": ("Admin", "user-round"),
    "admin_sessions": ("Session", "log-in"),
    "roles": ("Role", "users-round"),
    "admin_invitations": ("Invitation", "send"),
    "referrals": ("Referral", "send"),
    "email_sha256": ("Unknown e-mail", "mail"),
    "backups": ("Backup", "layers"),
    "restores": ("Restore", "rotate-cw"),
    "audit_entries": ("Audit log", "scroll-text"),
}


def look_of(action: str) -> Look:
    """The words of an action; one that nobody has given words yet is told as it is called."""
    return ACTIONS.get(action) or Look(words(action.replace(".", ": ")), "", "info")


def actions_of(group: str) -> tuple[str, ...]:
    """The actions of a group by its name. Raises KeyError."""
    return tuple(action for action in ACTIONS if action.startswith(GROUPS[group][1]))


def object_word(object_type: str) -> str:
    return OBJECTS[object_type][0] if object_type in OBJECTS else words(object_type)


def words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def note_of(entry: AuditEntry) -> str | None:
    """What the entry tells in a person's or a gateway's own words."""
    found: Any = entry.details.get("reason") or entry.details.get("message")
    return str(found) if found else None
