import json
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from domain import notifications
from domain.access import Permission
from domain.db import now
from domain.identity.invitations import InvitationLinks
from domain.jobs.models import Job
from domain.jobs.outcomes import Again, Done, Failed
from domain.notifications.delivery import GIVE_UP_AFTER, Refused, Sent, TryLater, deliver
from domain.notifications.letters import Unneeded, compose
from domain.notifications.message import Facts, Link, Message, Paragraph, Quotation
from domain.refunds.models import Alternative, ProcessingState, Refund, RefundApproval, RefundStatus
from tests.factories import make_admin, make_booking, make_invitation, make_payment, make_refund, make_user, make_vendor

PORTAL = "https://portal.example.com"
LINKS = InvitationLinks(b"k" * 32, PORTAL)
SECRET = "INTERNAL: probably lying, see call of Tuesday"


def jobs(session: Session) -> list[Job]:
    session.flush()
    return list(session.scalars(select(Job).order_by(Job.created_at)))


def words(message: Message | Unneeded) -> str:
    assert isinstance(message, Message), message
    said = [message.subject, message.footer]
    for part in message.parts:
        match part:
            case Paragraph(text):
                said.append(text)
            case Quotation(label, text):
                said += [label, text]
            case Facts(rows):
                said += [f"{name}: {value}" for name, value in rows]
            case Link(label, url):
                said += [label, url]
    return "\n".join(said)


def approved(session: Session, **fields: object) -> Refund:
    facts = {
        "status": RefundStatus.APPROVED,
        "decision_reason": "The vendor confirmed that nobody came.",
        "admin_notes": SECRET,
        "approved_by": make_admin(session, name="Nisha Kapoor").id,
    }
    return make_refund(session, make_payment(session, amount_cents=9_845_000), **{**facts, **fields})


def rejected(session: Session, **fields: object) -> Refund:
    facts = {"status": RefundStatus.REJECTED, "decision_reason": "The service was given.", "admin_notes": SECRET}
    return make_refund(session, make_payment(session, amount_cents=9_845_000), **{**facts, **fields})


def for_user(session: Session, refund: Refund) -> Message | Unneeded:
    [job] = notifications.request_decision(session, refund, user=True, vendor=False)
    session.flush()
    return compose(session, job, PORTAL, LINKS.url)


def for_vendor(session: Session, refund: Refund) -> Message | Unneeded:
    [job] = notifications.request_decision(session, refund, user=False, vendor=True)
    session.flush()
    return compose(session, job, PORTAL, LINKS.url)


def first_approval(session: Session, refund: Refund, **fields: object) -> RefundApproval:
    approval = RefundApproval(refund_id=refund.id, amount_cents=refund.requested_amount_cents, reason="Nobody came.", **fields)
    session.add(approval)
    session.flush()
    return approval


class TestAsking:
    def test_user_and_vendor_get_a_job_each(self, session):
        refund = approved(session)

        notifications.request_decision(session, refund, user=True, vendor=True)

        assert [job.payload["audience"] for job in jobs(session)] == ["user", "vendor"]
        assert {job.type for job in jobs(session)} == {"notification"}
        assert {job.creator_id for job in jobs(session)} == {None}

    def test_nobody_who_is_not_to_be_told_is_told(self, session):
        notifications.request_decision(session, approved(session), user=False, vendor=False)

        assert jobs(session) == []

    def test_a_job_holds_ids_and_no_address_name_or_reason(self, session):
        refund = approved(session)

        notifications.request_decision(session, refund, user=True, vendor=True)

        kept = json.dumps([job.payload for job in jobs(session)])
        for private in (refund.user.email, refund.user.name, refund.vendor.name, "nobody came", "9845000"):
            assert private not in kept

    @pytest.mark.parametrize("email", [None, "", "  "])
    def test_a_vendor_without_an_address_gets_no_job(self, session, email):
        booking = make_booking(session, vendor=make_vendor(session, email=email))
        refund = make_refund(session, make_payment(session, booking), status=RefundStatus.APPROVED)

        assert notifications.request_decision(session, refund, user=False, vendor=True) == []
        assert jobs(session) == []

    def test_the_customer_is_told_a_little_after_the_gateway_was_asked(self, session):
        notifications.request_decision(session, approved(session), user=True, vendor=True)

        of_user, of_vendor = jobs(session)
        assert of_user.run_after - of_vendor.run_after > timedelta(seconds=9)

    def test_a_second_approval_is_asked_of_everybody_who_may_give_it(self, session):
        refund = make_refund(session)
        first = make_admin(session, Permission.REFUNDS_APPROVE)
        able, all_powerful = make_admin(session, Permission.REFUNDS_APPROVE), make_admin(session, role="super_admin")
        make_admin(session, Permission.REFUNDS_LIST)
        make_admin(session, Permission.REFUNDS_APPROVE, disabled_at=now())
        first_approval(session, refund, admin_id=first.id)

        notifications.request_second_approval(session, refund)

        assert {job.payload["recipient_id"] for job in jobs(session)} == {str(able.id), str(all_powerful.id)}

    def test_who_approved_before_it_lapsed_is_asked_again(self, session):
        refund, early, late = make_refund(session), make_admin(session), make_admin(session)
        first_approval(session, refund, admin_id=early.id, created_at=now() - timedelta(hours=80))
        first_approval(session, refund, admin_id=late.id)

        notifications.request_second_approval(session, refund)

        assert [job.payload["recipient_id"] for job in jobs(session)] == [str(early.id)]

    def test_a_failure_is_told_to_who_approved(self, session):
        refund = approved(session, processing_state=ProcessingState.FAILED)

        job = notifications.request_failure(session, refund)

        assert job is not None
        assert job.payload["recipient_id"] == str(refund.approved_by)

    def test_a_failure_that_nobody_here_approved_is_told_to_nobody(self, session):
        assert notifications.request_failure(session, approved(session, approved_by=None)) is None


class TestToTheCustomer:
    def test_an_approval_names_amount_numbers_and_reason(self, session):
        refund = approved(session)

        message = for_user(session, refund)

        said = words(message)
        assert message.to == refund.user.email
        assert message.subject == f"Your refund {refund.refund_number} is approved"
        assert f"Dear {refund.user.name}," in said
        assert f"a refund of ₹98,450.00 for your booking {refund.booking.booking_number}" in said
        assert "Approved: INR 98,450.00" in said
        assert "The vendor confirmed that nobody came." in said

    def test_a_smaller_amount_stands_beside_what_was_asked_for(self, session):
        said = words(for_user(session, approved(session, approved_amount_cents=500_000)))

        assert "a refund of ₹5,000.00" in said
        assert "Requested: INR 98,450.00\nApproved: INR 5,000.00" in said

    @pytest.mark.parametrize(
        ("currency", "shown"), [("INR", "₹1,23,45,678.00"), ("USD", "$12,345,678.00"), ("JPY", "¥1,234,567,800"), ("KWD", "1,234,567.800")]
    )
    def test_amounts_are_grouped_as_usual_for_the_currency(self, session, currency, shown):
        refund = make_refund(session, make_payment(session, amount_cents=1_234_567_800, currency=currency), status=RefundStatus.APPROVED)

        assert shown in words(for_user(session, refund))

    @pytest.mark.parametrize("state", [None, ProcessingState.QUEUED, ProcessingState.ASKING, ProcessingState.UNKNOWN])
    def test_how_long_it_takes_is_not_said_before_the_gateway_took_it(self, session, state):
        said = words(for_user(session, approved(session, processing_state=state)))

        assert "We are now asking the bank" in said
        assert "working days" not in said

    def test_once_the_gateway_took_it_the_customer_learns_how_long_it_takes(self, session):
        assert "on its way back the way you paid. Depending on your bank, it arrives within 5 to 10 working days" in words(
            for_user(session, approved(session, processing_state=ProcessingState.ACCEPTED))
        )
        assert "The money has been sent back the way you paid." in words(
            for_user(session, approved(session, status=RefundStatus.PROCESSED, processing_state=ProcessingState.DONE))
        )

    def test_a_decline_at_the_gateway_is_no_promise_and_no_alarm(self, session):
        refund = approved(session, processing_state=ProcessingState.FAILED, processing_message="insufficient_balance on acct_9")

        said = words(for_user(session, refund))

        assert "taking longer than usual" in said
        assert "working days" not in said
        assert "insufficient_balance" not in said

    def test_a_rejection_says_why_and_that_no_money_moved(self, session):
        refund = rejected(session)

        message = for_user(session, refund)

        assert message.subject == f"Your refund request {refund.refund_number} was not approved"
        assert "The service was given." in words(message)
        assert "₹98,450.00" in words(message)
        assert "No money has been moved." in words(message)
        assert "offer" not in words(message)

    @pytest.mark.parametrize(
        ("alternative", "offer"),
        [
            (Alternative.PARTIAL_CREDIT, "a credit for part of the amount"),
            (Alternative.FULL_CREDIT, "a credit for the whole amount"),
            (Alternative.REBOOKING, "a new booking of the same service"),
            (Alternative.DISCOUNT, "a discount on your next booking"),
        ],
    )
    def test_an_alternative_is_offered_in_words(self, session, alternative, offer):
        assert f"We would like to offer you {offer} instead" in words(for_user(session, rejected(session, offer_alternative=alternative)))


class TestToTheVendor:
    def test_it_tells_the_amount_and_the_booking_and_nothing_of_the_customer(self, session):
        refund = approved(session)

        message = for_vendor(session, refund)

        said = words(message)
        assert message.to == refund.vendor.email
        assert f"a refund of ₹98,450.00 to the customer of your booking {refund.booking.booking_number}" in said
        for private in (refund.user.name, refund.user.email, refund.decision_reason, refund.description):
            assert private not in said


class TestToAdmins:
    def test_a_failure_gives_the_gateways_reason_and_the_way_to_the_refund(self, session):
        refund = approved(session, processing_state=ProcessingState.FAILED, processing_message="The card was closed.")

        message = compose_failure(session, refund)

        assert "The card was closed." in words(message)
        assert Link("Open the refund", f"{PORTAL}/refunds/{refund.id}") in message.parts

    def test_a_failure_that_was_mended_meanwhile_is_not_told(self, session):
        refund = approved(session, processing_state=ProcessingState.FAILED)
        job = notifications.request_failure(session, refund)
        refund.processing_state = ProcessingState.ACCEPTED
        session.flush()

        assert compose(session, job, PORTAL, LINKS.url) == Unneeded("The refund does not need attention any more.")

    def test_the_second_approver_learns_who_gave_the_first_and_why(self, session):
        refund, first = make_refund(session), make_admin(session, name="Omar Haddad")
        other = make_admin(session)
        first_approval(session, refund, admin_id=first.id)
        [job] = notifications.request_second_approval(session, refund)
        session.flush()

        message = compose(session, job, PORTAL, LINKS.url)

        assert message.to == other.email
        assert "Omar Haddad has given the first" in words(message)
        assert "Nobody came." in words(message)
        assert f"{PORTAL}/refunds/{refund.id}" in words(message)

    @pytest.mark.parametrize("change", ["decided", "disabled", "demoted", "approved by the same"])
    def test_a_second_approval_is_not_asked_of_who_cannot_give_it_any_more(self, session, change):
        refund, first, other = make_refund(session), make_admin(session), make_admin(session)
        first_approval(session, refund, admin_id=first.id)
        [job] = notifications.request_second_approval(session, refund)
        if change == "decided":
            refund.status = RefundStatus.REJECTED
        elif change == "disabled":
            other.disabled_at = now()
        elif change == "demoted":
            other.role_id = "support_agent"
        else:
            first_approval(session, refund, admin_id=other.id)
        session.commit()
        session.expire_all()

        assert isinstance(compose(session, job, PORTAL, LINKS.url), Unneeded)


def compose_failure(session: Session, refund: Refund) -> Message | Unneeded:
    job = notifications.request_failure(session, refund)
    session.flush()
    assert job is not None
    return compose(session, job, PORTAL, LINKS.url)


class TestWhatIsNeverSaid:
    @pytest.mark.parametrize("write", [for_user, for_vendor])
    @pytest.mark.parametrize("state", list(ProcessingState))
    def test_an_approval_holds_no_note_and_no_name_of_an_admin(self, session, write, state):
        said = words(write(session, approved(session, processing_state=state, processing_message="balance of acct_9 is low")))

        for internal in (SECRET, "Nisha Kapoor", "acct_9", "gateway", "sandbox"):
            assert internal not in said

    @pytest.mark.parametrize("alternative", list(Alternative))
    def test_a_rejection_holds_no_note_and_no_name_of_an_admin(self, session, alternative):
        refund = rejected(session, offer_alternative=alternative, rejected_by=make_admin(session, name="Nisha Kapoor").id)

        said = words(for_user(session, refund))

        assert SECRET not in said
        assert "Nisha Kapoor" not in said

    def test_admins_are_not_sent_notes_either(self, session):
        assert SECRET not in words(compose_failure(session, approved(session, processing_state=ProcessingState.FAILED)))


class TestHostileText:
    @pytest.mark.parametrize(
        ("name", "greeted"),
        [
            ("Asha\r\nBcc: x", "Dear Asha Bcc: x,"),
            ("\u202eahsA\u202c", "Dear ahsA,"),
            ("Win at http://evil.example", "Hello,"),
            ("www.evil.example", "Hello,"),
            ("evil.com", "Hello,"),
            ("call me@evil.example", "Hello,"),
            ("   ", "Hello,"),
            ("\x1b", "Hello,"),
            ("佐藤 花子", "Dear 佐藤 花子,"),
            ("J. R. Müller-O'Neil", "Dear J. R. Müller-O'Neil,"),
            ("क्षि\u200dति", "Dear क्षि\u200dति,"),
            ("x" * 10_000, f"Dear {'x' * 79}…,"),
        ],
    )
    def test_a_name_is_a_name_and_nothing_else(self, session, name, greeted):
        booking = make_booking(session, user=make_user(session, name=name))
        refund = make_refund(session, make_payment(session, booking), status=RefundStatus.APPROVED)

        message = for_user(session, refund)

        assert message.parts[0] == Paragraph(greeted)

    def test_a_reason_keeps_its_lines_and_loses_what_is_no_text(self, session):
        refund = approved(session, decision_reason=" One.\r\n\r\n\r\n\r\nTwo\u2028three\u202e.\x07 " + "x" * 5000)

        [quotation] = [part for part in for_user(session, refund).parts if isinstance(part, Quotation)]

        assert quotation.text.startswith("One.\n\nTwo\nthree. xxx")
        assert len(quotation.text) == 2000

    def test_numbers_from_an_import_cannot_break_a_subject(self, session):
        message = for_user(session, approved(session, refund_number="RF\r\nBcc: x@y.z"))

        assert message.subject == "Your refund RF Bcc: x@y.z is approved"


class TestTheMessageId:
    def test_it_is_the_same_each_time(self, session):
        [job] = notifications.request_decision(session, approved(session), user=True, vendor=False)
        session.flush()

        assert compose(session, job, PORTAL, LINKS.url).message_id == f"<notification-{job.id}@portal.example.com>"

    @pytest.mark.parametrize(
        ("url", "host"),
        [("http://127.0.0.1:8000", "[127.0.0.1]"), ("http://localhost:8000", "localhost"), ("https://bücher.example", "b-cher.example")],
    )
    def test_it_is_well_formed_whatever_the_portal_is_called(self, session, url, host):
        [job] = notifications.request_decision(session, approved(session), user=True, vendor=False)
        session.flush()

        assert compose(session, job, url, LINKS.url).message_id == f"<notification-{job.id}@{host}>"


class Postman:
    """Answers as told, and keeps what it was given."""

    def __init__(self, answer: Sent | Refused | TryLater):
        self.answer, self.messages = answer, list[Message]()

    def send(self, message: Message) -> Sent | Refused | TryLater:
        self.messages.append(message)
        return self.answer


@pytest.fixture
def new_session(engine: Engine) -> Callable[[], Session]:
    return lambda: Session(engine)


class TestDelivery:
    @pytest.fixture
    def job(self, session: Session) -> Job:
        [job] = notifications.request_decision(session, approved(session), user=True, vendor=False)
        job.attempts = 1
        session.commit()
        session.refresh(job)
        session.expunge(job)
        session.rollback()
        return job

    def test_a_message_that_was_taken_is_done(self, new_session, job):
        postman = Postman(Sent())

        assert deliver(new_session, job, postman, PORTAL, LINKS.url) == Done({"sent": True, "message_id": postman.messages[0].message_id})

    def test_a_refusal_fails_the_job_with_the_servers_words(self, new_session, job):
        assert deliver(new_session, job, Postman(Refused("550 No")), PORTAL, LINKS.url) == Failed("MESSAGE_REFUSED", "550 No")

    @pytest.mark.parametrize(("attempts", "wait"), [(1, 60), (2, 120), (5, 960), (7, 3600), (100, 3600)])
    def test_a_bad_moment_is_waited_out_ever_longer(self, new_session, job, attempts, wait):
        job.attempts = attempts

        assert deliver(new_session, job, Postman(TryLater("Busy")), PORTAL, LINKS.url) == Again(wait, "Busy")

    def test_after_two_days_it_is_given_up(self, new_session, job):
        job.created_at -= GIVE_UP_AFTER

        outcome = deliver(new_session, job, Postman(TryLater("Busy")), PORTAL, LINKS.url)

        assert outcome == Failed("MESSAGE_NOT_SENT", "Given up after 48 hours. Busy")

    def test_what_needs_no_saying_any_more_is_done_without_sending(self, new_session, job):
        job.payload = {**job.payload, "refund_id": str(uuid4())}
        postman = Postman(Sent())

        assert deliver(new_session, job, postman, PORTAL, LINKS.url) == Done({"sent": False, "reason": "The refund is not there any more."})
        assert postman.messages == []

    def test_the_database_is_free_while_the_mail_server_is_spoken_to(self, new_session, job):
        class Writer(Postman):
            def send(self, message: Message) -> Sent | Refused | TryLater:
                with new_session() as other, other.begin():
                    make_user(other)
                return super().send(message)

        assert isinstance(deliver(new_session, job, Writer(Sent()), PORTAL, LINKS.url), Done)

    def test_an_address_taken_off_meanwhile_is_respected(self, session, new_session):
        refund = approved(session)
        [job] = notifications.request_decision(session, refund, user=False, vendor=True)
        refund.vendor.email = None
        session.commit()
        session.refresh(job)
        session.expunge(job)
        session.rollback()

        assert deliver(new_session, job, Postman(Sent()), PORTAL, LINKS.url) == Done(
            {"sent": False, "reason": "There is no address on file any more."}
        )


class TestAnInvitation:
    def test_it_says_who_asks_in_which_role_and_until_when_and_holds_the_link(self, session):
        inviter = make_admin(session, name="Mira Sen")
        invitation = make_invitation(session, email="ravi@example.com", name="Ravi Menon", invited_by=inviter.id)
        message = compose(session, notifications.request_invitation(session, invitation), PORTAL, LINKS.url)

        assert message.to == "ravi@example.com"
        for said in ("Dear Ravi Menon,", "Mira Sen invites you", "Support Agent", f"{PORTAL}/invitation/", "UTC"):
            assert said in words(message)

    def test_its_job_holds_no_secret_and_no_address(self, session):
        invitation = make_invitation(session, email="ravi@example.com")
        job = notifications.request_invitation(session, invitation)
        assert job.payload == {"notice": "admin_invited", "audience": "invited", "recipient_id": str(invitation.id)}

    @pytest.mark.parametrize("over", ["accepted_at", "withdrawn_at", "expires_at"])
    def test_one_that_opens_nothing_any_more_is_not_sent(self, session, over):
        invitation = make_invitation(session, **{over: now() - timedelta(seconds=1)})
        assert isinstance(compose(session, notifications.request_invitation(session, invitation), PORTAL, LINKS.url), Unneeded)

    def test_a_name_that_would_be_a_link_in_a_mailbox_is_not_greeted(self, session):
        invitation = make_invitation(session, name="Win at https://evil.example now", invited_by=None)
        message = compose(session, notifications.request_invitation(session, invitation), PORTAL, LINKS.url)
        assert "evil.example" not in words(message) and "The operator of the portal invites you" in words(message)
