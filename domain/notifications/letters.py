"""What is said. Written when it is sent, from the rows as they are then, so that no message tells what is no longer true.

Customers and vendors read nothing internal: no note and no name of an admin, no word of a gateway.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from domain.backups import alarm
from domain.backups.alarm import Trouble
from domain.identity.models import Admin, Invitation
from domain.jobs.models import Job
from domain.marketplace.models import Booking, User, Vendor
from domain.money import format_money
from domain.notifications.cleaning import greeting, line, passage
from domain.notifications.message import Facts, Link, Message, Paragraph, Part, Quotation
from domain.notifications.requests import Audience, Notice, address_of, may_approve
from domain.refunds.models import Alternative, ProcessingState, Refund, RefundApproval, RefundStatus
from domain.roles.models import Role

INDIAN_GROUPING = frozenset({"INR", "PKR", "BDT", "NPR", "LKR"})


@dataclass(frozen=True)
class Unneeded:
    """There is nothing to say any more, for this reason."""

    reason: str


def compose(session: Session, job: Job, public_url: str, invitation_url: InvitationUrl) -> Message | Unneeded:
    """The message a notification job asks for, as of now."""
    notice, audience = Notice(job.payload["notice"]), Audience(job.payload["audience"])
    recipient_id = UUID(job.payload["recipient_id"])
    to = address_of(session, audience, recipient_id)
    if to is None:
        return Unneeded("There is no address on file any more.")
    if notice is Notice.ADMIN_INVITED:
        letter, about = invitation_for_admin(session, recipient_id, invitation_url), "your access"
    elif notice in (Notice.BACKUPS_FAILING, Notice.BACKUPS_WELL):
        letter, about = backups_for_admin(session, notice, job.payload, recipient_id, public_url), "the portal's backups"
    else:
        refund = session.get(Refund, UUID(job.payload["refund_id"]), options=[joinedload(Refund.booking)])
        if refund is None:
            return Unneeded("The refund is not there any more.")
        letter, about = LETTERS[notice, audience](session, refund, recipient_id, public_url), f"refund {number(refund)}"
    if isinstance(letter, Unneeded):
        return letter
    return Message(
        message_id=f"<notification-{job.id}@{mail_host(public_url)}>",
        to=to,
        subject=letter.subject,
        parts=letter.parts,
        footer=f"This is an automatic message about {about}. Replies to it are not read.",
    )


@dataclass(frozen=True)
class Letter:
    subject: str
    parts: tuple[Part, ...]


def approved_for_user(session: Session, refund: Refund, recipient_id: UUID, _public_url: str) -> Letter | Unneeded:
    if refund.approved_amount_cents is None:
        return Unneeded("The refund is not approved.")
    user = session.get_one(User, recipient_id)
    amount = money(refund, refund.approved_amount_cents)
    return Letter(
        f"Your refund {number(refund)} is approved",
        (
            Paragraph(greeting(user.name)),
            Paragraph(f"We have approved a refund of {amount} for your booking {booking_number(refund.booking)}."),
            *reason(refund),
            Facts(amounts(refund, approved=refund.approved_amount_cents) + numbers(refund)),
            Paragraph(what_happens_next(refund)),
        ),
    )


def what_happens_next(refund: Refund) -> str:
    """How long it takes is only said once the gateway has taken the refund."""
    if refund.status == RefundStatus.PROCESSED or refund.processing_state == ProcessingState.DONE:
        return (
            "The money has been sent back the way you paid. Depending on your bank, it shows in your account within 5 to 10 working days. "
            "You do not need to do anything."
        )
    if refund.processing_state == ProcessingState.ACCEPTED:
        return (
            "The money is on its way back the way you paid. Depending on your bank, it arrives within 5 to 10 working days. "
            "You do not need to do anything."
        )
    if refund.processing_state == ProcessingState.FAILED:
        return (
            "Sending the money back is taking longer than usual, and our team is looking into it. "
            "The approval stands, and you do not need to do anything."
        )
    return "We are now asking the bank to send the money back the way you paid. You do not need to do anything."


def approved_for_vendor(session: Session, refund: Refund, recipient_id: UUID, _public_url: str) -> Letter | Unneeded:
    if refund.approved_amount_cents is None:
        return Unneeded("The refund is not approved.")
    vendor = session.get_one(Vendor, recipient_id)
    booking = booking_number(refund.booking)
    return Letter(
        f"Refund {number(refund)} for booking {booking} is approved",
        (
            Paragraph(greeting(vendor.name)),
            Paragraph(
                f"We have approved a refund of {money(refund, refund.approved_amount_cents)} to the customer of your booking {booking}. "
                "It goes back the way the customer paid."
            ),
            Facts(amounts(refund, approved=refund.approved_amount_cents) + numbers(refund)),
            Paragraph("This is for your records. If you have questions, contact our support team and quote the refund number."),
        ),
    )


def rejected_for_user(session: Session, refund: Refund, recipient_id: UUID, _public_url: str) -> Letter | Unneeded:
    if refund.status != RefundStatus.REJECTED:
        return Unneeded("The refund is not rejected.")
    user = session.get_one(User, recipient_id)
    offer = OFFERS[Alternative(refund.offer_alternative or Alternative.NONE)]
    return Letter(
        f"Your refund request {number(refund)} was not approved",
        (
            Paragraph(greeting(user.name)),
            Paragraph(
                f"We have looked at your request for a refund of {money(refund, refund.requested_amount_cents)} for your booking "
                f"{booking_number(refund.booking)}. We are sorry: we cannot approve it."
            ),
            *reason(refund),
            *([Paragraph(f"{offer} To accept, contact our support team and quote the refund number.")] if offer else []),
            Facts(amounts(refund) + numbers(refund)),
            Paragraph(
                "No money has been moved. "
                "If something is missing from what you told us, contact our support team and quote the refund number."
            ),
        ),
    )


OFFERS = {
    Alternative.NONE: "",
    Alternative.PARTIAL_CREDIT: "We would like to offer you a credit for part of the amount instead, to use for another booking.",
    Alternative.FULL_CREDIT: "We would like to offer you a credit for the whole amount instead, to use for another booking.",
    Alternative.REBOOKING: "We would like to offer you a new booking of the same service instead, on a date that suits you.",
    Alternative.DISCOUNT: "We would like to offer you a discount on your next booking instead.",
}


def failed_for_approver(session: Session, refund: Refund, recipient_id: UUID, public_url: str) -> Letter | Unneeded:
    if not refund.needs_attention or refund.approved_amount_cents is None:
        return Unneeded("The refund does not need attention any more.")
    admin = session.get_one(Admin, recipient_id)
    if not admin.active:
        return Unneeded("The admin's account is disabled.")
    return Letter(
        f"Refund {number(refund)} failed and needs your attention",
        (
            Paragraph(greeting(admin.name)),
            Paragraph(
                f"The payment gateway did not pay out the refund of {money(refund, refund.approved_amount_cents, admin.locale)} "
                f"that you approved for booking {booking_number(refund.booking)}."
            ),
            *([Quotation("What the gateway said", passage(refund.processing_message))] if refund.processing_message else []),
            Facts(amounts(refund, admin.locale, approved=refund.approved_amount_cents) + numbers(refund)),
            Paragraph("It is not tried again by itself. Open the refund to see each attempt and to try once more."),
            link_to(refund, public_url),
        ),
    )


def second_approval_for_admin(session: Session, refund: Refund, recipient_id: UUID, public_url: str) -> Letter | Unneeded:
    if not refund.awaiting_decision:
        return Unneeded("The refund is decided.")
    admin = session.get_one(Admin, recipient_id)
    if not admin.active or not may_approve(session.get_one(Role, admin.role_id).permissions):
        return Unneeded("The admin may not approve refunds any more.")
    first = session.scalars(
        select(RefundApproval)
        .where(RefundApproval.refund_id == refund.id)
        .options(joinedload(RefundApproval.admin))
        .order_by(RefundApproval.created_at.desc())
        .limit(1)
    ).first()
    if first is None:
        return Unneeded("The first approval is gone.")
    if first.admin_id == recipient_id:
        return Unneeded("The admin gave the first approval.")
    return Letter(
        f"Refund {number(refund)} is waiting for a second approval",
        (
            Paragraph(greeting(admin.name)),
            Paragraph(
                f"A refund of {money(refund, first.amount_cents, admin.locale)} for booking {booking_number(refund.booking)} needs the "
                f"approval of two admins. {line(first.admin.name) or 'One'} has given the first; no money moves before the second."
            ),
            Quotation("The reason given", passage(first.reason)),
            Facts(
                (
                    *amounts(refund, admin.locale),
                    ("First approval", money(refund, first.amount_cents, admin.locale, code=True)),
                    *numbers(refund),
                )
            ),
            link_to(refund, public_url),
        ),
    )


def invitation_for_admin(session: Session, invitation_id: UUID, invitation_url: InvitationUrl) -> Letter | Unneeded:
    """The one letter with a secret in it: whoever has the link chooses the password."""
    invitation = session.get_one(Invitation, invitation_id)
    if not invitation.open or invitation.expired:
        return Unneeded("The invitation was accepted or withdrawn, or its time is over.")
    role = session.get_one(Role, invitation.role_id)
    inviter = session.get_one(Admin, invitation.invited_by) if invitation.invited_by else None
    who = line(inviter.name) if inviter else "The operator of the portal"
    return Letter(
        "You are invited to the admin portal",
        (
            Paragraph(greeting(invitation.name)),
            Paragraph(f"{who} invites you to work in the marketplace's admin portal. Your role will be {line(role.name)}."),
            Paragraph("Open the link, choose a password, and set up two-step sign-in with an authenticator app on your phone."),
            Link("Accept the invitation", invitation_url(invitation)),
            Facts((("Works once, until", f"{invitation.expires_at:%-d %b %Y, %H:%M} UTC"),)),
            Paragraph("If you did not expect this, do nothing: without you nothing happens. Never pass the link on."),
        ),
    )


def backups_for_admin(session: Session, notice: Notice, told: Mapping[str, Any], admin_id: UUID, public_url: str) -> Letter | Unneeded:
    failing = notice is Notice.BACKUPS_FAILING
    if alarm.is_raised(session) is not failing:
        return Unneeded("Backups are well again." if failing else "Backups fail again.")
    admin = session.get_one(Admin, admin_id)
    if not admin.active or not session.get_one(Role, admin.role_id).allows_everything:
        return Unneeded("The admin is no super admin any more.")
    newest = (("Newest backup that can be restored", day_and_time(told["newest_at"]) if told["newest_at"] else "none"),)
    link = Link("Open the backups", f"{public_url}/system/backups")
    if not failing:
        said = Paragraph("Backups that the portal makes by itself are well again: there is nothing to do.")
        return Letter("Backups are well again", (Paragraph(greeting(admin.name)), said, Facts(newest), link))
    subject, what = TROUBLES[Trouble(told["trouble"])]
    failed = session.get(Job, UUID(told["job_id"])) if told["job_id"] else None
    reason = what_went_wrong(failed)
    return Letter(
        subject,
        (
            Paragraph(greeting(admin.name)),
            Paragraph(what),
            *([Quotation("What went wrong", passage(reason))] if reason else []),
            Facts(newest),
            Paragraph("It is tried again by itself. You are not told again before it is well; `flask backup check` says what is missing."),
            link,
        ),
    )


TROUBLES = {
    Trouble.FAILED: ("A backup has failed", "A backup that the portal makes by itself has failed."),
    Trouble.OLD: ("There is no recent backup", "The newest backup that can be restored is older than it may be, or there is none."),
    Trouble.WITHOUT_FILES: (
        "Stored files are not backed up",
        "The newest backup has the database and not the files of the storage, which should be in it.",
    ),
}


def what_went_wrong(job: Job | None) -> str:
    if job is None:
        return ""
    return str((job.error or {}).get("message") or (job.result or {}).get("note") or "")


def day_and_time(written: str) -> str:
    return f"{datetime.fromisoformat(written):%-d %b %Y, %H:%M} UTC"


InvitationUrl = Callable[[Invitation], str]
Writer = Callable[[Session, Refund, UUID, str], Letter | Unneeded]
LETTERS: dict[tuple[Notice, Audience], Writer] = {
    (Notice.REFUND_APPROVED, Audience.USER): approved_for_user,
    (Notice.REFUND_APPROVED, Audience.VENDOR): approved_for_vendor,
    (Notice.REFUND_REJECTED, Audience.USER): rejected_for_user,
    (Notice.REFUND_FAILED, Audience.ADMIN): failed_for_approver,
    (Notice.SECOND_APPROVAL_WANTED, Audience.ADMIN): second_approval_for_admin,
}


def number(refund: Refund) -> str:
    return line(refund.refund_number)


def booking_number(booking: Booking) -> str:
    return line(booking.booking_number)


def money(refund: Refund, cents: int, locale: str | None = None, code: bool = False) -> str:
    """In an admin's own grouping, or the one usual for the currency."""
    return format_money(cents, refund.currency, locale or ("en_IN" if refund.currency in INDIAN_GROUPING else "en"), code)


def amounts(refund: Refund, locale: str | None = None, *, approved: int | None = None) -> tuple[tuple[str, str], ...]:
    asked = ("Requested", money(refund, refund.requested_amount_cents, locale, code=True))
    if approved is None:
        return (asked,)
    given = ("Approved", money(refund, approved, locale, code=True))
    return (given,) if approved == refund.requested_amount_cents else (asked, given)


def numbers(refund: Refund) -> tuple[tuple[str, str], ...]:
    return (("Refund number", number(refund)), ("Booking number", booking_number(refund.booking)))


def reason(refund: Refund) -> list[Part]:
    """The reason the admin wrote for the customer; older decisions have none."""
    text = passage(refund.decision_reason or "")
    return [Quotation("The reason for our decision", text)] if text else []


def link_to(refund: Refund, public_url: str) -> Link:
    return Link("Open the refund", f"{public_url}/refunds/{refund.id}")


def mail_host(public_url: str) -> str:
    """The right side of our Message-IDs: the portal's host, an address of numbers in brackets."""
    host = urlsplit(public_url).hostname or "localhost"
    try:
        return f"[{ip_address(host)}]"
    except ValueError:
        return re.sub(r"[^a-z0-9.-]", "-", host)
