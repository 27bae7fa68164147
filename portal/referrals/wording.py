"""What the states, conditions and marks of a referral are called on the pages."""

from domain.marketplace.models import PayoutStatus, ReferralStatus
from domain.referrals.risks import RiskCode
from domain.referrals.states import ReferralState
from portal.formats import number
from portal.wording import Look

STATUSES = {
    ReferralStatus.PENDING: Look("Pending", "warning", "clock"),
    ReferralStatus.COMPLETED: Look("Completed", "success", "circle-check"),
    ReferralStatus.EXPIRED: Look("Expired", "neutral", "ban"),
}
TABS = {
    ReferralState.PENDING: "Pending",
    ReferralState.COMPLETED: "Completed",
    ReferralState.PAID: "Paid",
    ReferralState.EXPIRED: "Expired",
}
PAYOUTS = {
    PayoutStatus.NOT_DUE: Look("Not due", "neutral", "circle-dashed"),
    PayoutStatus.SCHEDULED: Look("Scheduled", "info", "clock"),
    PayoutStatus.PAID: Look("Paid", "violet", "banknote"),
    PayoutStatus.FAILED: Look("Failed", "danger", "circle-alert"),
    PayoutStatus.REVERSED: Look("Reversed", "neutral", "undo-2"),
}
CONDITIONS = {
    "signup": ("Signed up", "user-round"),
    "email_verified": ("E-mail verified", "mail"),
    "first_booking": ("First booking", "receipt-text"),
    "minimum_spend": ("Minimum spend", "banknote"),
}
RISKS = {
    RiskCode.SAME_EMAIL: Look("Same mailbox", "danger", "mail"),
    RiskCode.SAME_NAME: Look("Same name", "warning", "users-round"),
    RiskCode.MANY_AT_ONCE: Look("Many at once", "warning", "layers"),
    RiskCode.REFUNDED: Look("Refunded after", "danger", "undo-2"),
}
ATTENTION = {
    RiskCode.SAME_EMAIL: "with one mailbox on both sides",
    RiskCode.SAME_NAME: "with one name on both sides",
    RiskCode.MANY_AT_ONCE: "of many at once",
    RiskCode.REFUNDED: "refunded after the reward",
}


def days_words(days: int | None) -> str:
    if days is None:
        return ""
    return "1 day left" if days == 1 else f"{days} days left"


def counted(count: int) -> str:
    return f"{number(count)} {'referral' if count == 1 else 'referrals'}"
