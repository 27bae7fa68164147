"""Approving, rejecting and retrying from the pages: the forms, what they answer, and what they keep after a refusal."""

from uuid import uuid4

import pytest
from sqlalchemy import select

from adapters.gateways import sandbox
from domain.audit.models import AuditEntry
from domain.refunds.models import Refund, RefundApproval
from tests.factories import make_admin, make_refund

LARGE = 9_000_000  # above the limit of INR 85,000.00


def decide(person, refund, act="approve", *, partial=True, **changes):
    form = person.form(f"/refunds/{refund.id}/{act}", partial=partial)
    return person.send(form, partial=partial, **{"reason": "Confirmed with the vendor.", **changes})


class TestApprove:
    def test_the_money_moves_and_every_place_on_the_page_hears_of_it(self, nisha, made, look):
        refund = made(make_refund, requested_amount_cents=500_000)

        answer = decide(nisha, refund)

        assert answer.status_code == 200
        paid = look.get(Refund, refund.id)
        assert (paid.status, paid.approved_amount_cents, paid.processing_state) == ("processed", 500_000, "done")
        for place in (f"#refund-{refund.id}", f"#detail-{refund.id}", "#tabs", "#status", "#count-receipt-text"):
            assert f'hx-target="{place}"' in answer.text
        assert f"{refund.refund_number} approved, ₹5,000.00 refunded." in answer.text
        assert "Processed" in answer.text

    def test_a_browser_without_javascript_gets_the_refund_as_a_page(self, nisha, made, look):
        refund = made(make_refund)
        answer = decide(nisha, refund, partial=False)
        assert answer.status_code == 200
        assert "<!doctype html>" in answer.text
        assert f"{refund.refund_number} approved" in answer.text
        assert look.get(Refund, refund.id).status == "processed"

    def test_a_double_click_decides_once_and_answers_alike(self, nisha, made, look):
        refund = made(make_refund)
        form = nisha.form(f"/refunds/{refund.id}/approve", partial=True)
        first, second = (nisha.send(form, partial=True, reason="Nobody came.") for _ in range(2))
        assert (second.status_code, second.text) == (first.status_code, first.text)
        assert second.headers["Idempotent-Replayed"] == "true"
        assert len(look.all(select(AuditEntry).where(AuditEntry.action == "refund.approved"))) == 1

    @pytest.mark.parametrize(
        ("currency", "typed", "cents"),
        [("INR", "1,24,600.00", 12_460_000), ("JPY", "15,800", 15_800), ("KWD", "84.250", 84_250), ("USD", "0.01", 1)],
    )
    def test_amounts_are_read_as_people_of_that_place_write_them(self, omar, made, look, currency, typed, cents):
        refund = made(make_refund, currency=currency, requested_amount_cents=20_000_000)
        answer = decide(omar, refund, amount=typed)
        assert answer.status_code in (200, 202)
        assert look.all(select(RefundApproval.amount_cents)) == [cents]

    @pytest.mark.parametrize("typed", ["1,23", "1e3", "-5", "", "٣٤٥", "10.005", "0x10", "NaN", "1 000", "9" * 60, "5.5\x00"])
    def test_an_amount_with_two_readings_is_refused_under_its_field_and_kept_as_typed(self, nisha, made, look, typed):
        refund = made(make_refund)

        answer = decide(nisha, refund, amount=typed, reason="A long and careful reason.", admin_notes="Call 4711")

        assert answer.status_code == 422
        assert 'id="amount-error"' in answer.text
        form = nisha.find_form(answer, f"/refunds/{refund.id}/approve")
        assert form.fields["reason"] == "A long and careful reason."
        assert form.fields["admin_notes"] == "Call 4711"
        assert look.get(Refund, refund.id).status == "pending"

    def test_more_than_was_asked_for_is_refused_in_major_units(self, nisha, made):
        refund = made(make_refund, requested_amount_cents=500_000)
        answer = decide(nisha, refund, amount="5000.01")
        assert answer.status_code == 422
        assert "Approve at most ₹5,000.00." in answer.text

    def test_more_than_is_left_of_the_payment_is_refused_in_major_units(self, nisha, made):
        first = made(make_refund, requested_amount_cents=60_000)
        second = made(lambda session: make_refund(session, session.merge(first).payment, requested_amount_cents=60_000))
        decide(nisha, first, amount="500.00")

        form = nisha.form(f"/refunds/{second.id}/approve", partial=True)
        assert form.fields["amount"] == "100.00"
        answer = nisha.send(form, partial=True, amount="100.01", reason="Nobody came.")
        assert answer.status_code == 422
        assert "Approve at most ₹100.00." in answer.text

    def test_all_that_is_wrong_is_told_at_once(self, nisha, made):
        answer = decide(nisha, made(make_refund), amount="1,23", reason="")
        assert 'id="amount-error"' in answer.text and 'id="reason-error"' in answer.text

    def test_an_unticked_box_means_no(self, nisha, made, look):
        decide(nisha, made(make_refund), notify_user=None, notify_vendor=None)
        assert not [entry for entry in look.all(select(AuditEntry.action)) if entry.startswith("notification")]

    def test_somebody_was_faster_and_is_named(self, nisha, omar, made):
        refund = made(make_refund)
        form = nisha.form(f"/refunds/{refund.id}/approve", partial=True)
        decide(omar, refund, "reject")

        answer = nisha.send(form, partial=True, reason="Typed with care.")

        assert answer.status_code == 409
        assert "Omar Haddad rejected it" in answer.text
        assert "Typed with care." in answer.text
        assert f'hx-target="#refund-{refund.id}"' in answer.text

    def test_a_page_that_is_older_than_the_refund_decides_nothing(self, nisha, made, look):
        refund = made(make_refund)
        form = nisha.form(f"/refunds/{refund.id}/approve", partial=True)
        answer = nisha.send(form, partial=True, reason="Nobody came.", version=str(int(form.fields["version"]) + 7))
        assert answer.status_code == 409
        assert "This refund has changed" in answer.text
        assert look.get(Refund, refund.id).status == "pending"

    def test_its_form_says_so_once_it_is_decided(self, nisha, made):
        refund = made(make_refund, status="rejected")
        assert "Already decided" in nisha.open(f"/refunds/{refund.id}/approve", partial=True).text


class TestTwoApprovals:
    def test_the_first_moves_nothing_and_the_second_pays(self, omar, made, look, enrolled, sign_in):
        refund = made(make_refund, requested_amount_cents=LARGE)

        form = omar.open(f"/refunds/{refund.id}/approve", partial=True)
        assert "This is approval 1 of 2" in form.text
        first = decide(omar, refund)
        assert first.status_code == 202
        assert "1 of 2 approved" in first.text
        assert "You gave the first approval" in omar.open(f"/refunds/{refund.id}/approve", partial=True).text

        lena = sign_in(enrolled(name="Lena Fischer"), fresh=True)
        form = lena.open(f"/refunds/{refund.id}/approve", partial=True)
        assert "This is approval 2 of 2" in form.text
        assert "Omar Haddad approved" in form.text
        assert " readonly" in form.text
        second = decide(lena, refund, reason="Agreed.")
        assert second.status_code == 200
        assert look.get(Refund, refund.id).status == "processed"

    def test_the_same_admin_cannot_give_both(self, omar, made, look):
        refund = made(make_refund, requested_amount_cents=LARGE)
        form = omar.form(f"/refunds/{refund.id}/approve", partial=True)
        decide(omar, refund)
        answer = omar.send(form, partial=True, reason="And again.", idempotency_key=str(uuid4()), version="")
        assert answer.status_code == 403
        assert "Someone else must give the second" in answer.text or "You gave the first approval" in answer.text
        assert look.get(Refund, refund.id).status == "pending"

    def test_a_stale_second_factor_is_asked_for_under_its_field(self, nisha, made, look):
        refund = made(make_refund, requested_amount_cents=LARGE)
        answer = decide(nisha, refund)
        assert answer.status_code == 403
        assert 'id="mfa_code-error"' in answer.text
        assert nisha.find_form(answer, f"/refunds/{refund.id}/approve").fields["reason"] == "Confirmed with the vendor."
        assert not look.all(select(RefundApproval))

    def test_a_code_in_the_form_counts_and_lasts_for_the_next_one(self, nisha, made, code):
        first, second = (made(make_refund, requested_amount_cents=LARGE) for _ in range(2))
        assert decide(nisha, first, mfa_code=code()).status_code == 202
        assert "mfa_code" not in nisha.open(f"/refunds/{second.id}/approve", partial=True).text
        assert decide(nisha, second).status_code == 202

    def test_a_wrong_code_is_told_under_its_field(self, nisha, made):
        refund = made(make_refund, requested_amount_cents=LARGE)
        answer = decide(nisha, refund, mfa_code="000000")
        assert answer.status_code == 403
        assert "That code is wrong or was used before" in answer.text

    def test_who_has_no_second_factor_is_shown_where_to_set_one_up(self, made, sign_in):
        lena = sign_in(made(make_admin, name="Lena Fischer"))
        refund = made(make_refund, requested_amount_cents=LARGE)
        assert 'href="/account/two-step"' in lena.open(f"/refunds/{refund.id}/approve", partial=True).text
        assert decide(lena, refund).status_code == 403


class TestReject:
    def test_it_is_rejected_with_what_is_offered_instead(self, nisha, made, look):
        refund = made(make_refund)
        answer = decide(nisha, refund, "reject", offer_alternative="partial_credit", reason="The photos show finished work.")
        rejected = look.get(Refund, refund.id)
        assert (rejected.status, rejected.offer_alternative) == ("rejected", "partial_credit")
        assert f"{refund.refund_number} rejected." in answer.text

    def test_it_needs_a_reason(self, nisha, made, look):
        refund = made(make_refund)
        answer = decide(nisha, refund, "reject", reason=" ")
        assert answer.status_code == 422
        assert 'id="reason-error"' in answer.text
        assert look.get(Refund, refund.id).status == "pending"

    @pytest.mark.parametrize("reason", ["ab", "x" * 2001, "half \ud800 of a pair", "with NUL \x00"])
    def test_reasons_that_cannot_be_kept_are_refused(self, nisha, made, reason):
        form = nisha.form(f"/refunds/{made(make_refund).id}/reject", partial=True)
        body = {**form.fields, "reason": reason.encode("utf-8", "surrogatepass")}
        assert nisha.client.post(form.action, data=body, headers=nisha.headers(True, None)).status_code in (200, 422)

    def test_what_is_offered_must_be_one_of_ours(self, nisha, made):
        assert decide(nisha, made(make_refund), "reject", offer_alternative="a pony").status_code == 422


class TestRetry:
    def test_a_declined_payment_can_be_ordered_again(self, nisha, made, look):
        refund = made(make_refund, requested_amount_cents=sandbox.CARD_CLOSED)
        declined = decide(nisha, refund)
        assert "but the payment failed" in declined.text
        assert look.get(Refund, refund.id).processing_state == "failed"

        drawer = nisha.open(f"/refunds/{refund.id}", partial=True)
        again = nisha.send(nisha.find_form(drawer, f"/refunds/{refund.id}/retry"), partial=True)

        assert again.status_code == 200
        assert "hx-target" in again.text
        assert "Payment tried again" in again.text

    def test_one_that_did_not_fail_is_not_tried_again(self, nisha, made):
        refund = made(make_refund, status="approved", processing_state="failed")
        form = nisha.find_form(nisha.open(f"/refunds/{refund.id}", partial=True), f"/refunds/{refund.id}/retry")
        nisha.send(form, partial=True)
        answer = nisha.send(form, partial=True, idempotency_key=str(uuid4()))
        assert answer.status_code in (200, 409)


class TestForgery:
    def test_a_form_without_its_token_is_refused_and_brings_a_new_one(self, nisha, made, look):
        refund = made(make_refund)
        form = nisha.form(f"/refunds/{refund.id}/approve", partial=True)

        answer = nisha.send(form, partial=True, reason="Typed with care.", csrf_token="stale")

        assert answer.status_code == 403
        assert answer.headers["HX-Retarget"] == "#refusal"
        assert "This page is out of date" in answer.text
        assert look.get(Refund, refund.id).status == "pending"
        fresh = answer.text.split('name="csrf_token" value="')[1].split('"')[0]
        assert nisha.send(form, partial=True, reason="Typed with care.", csrf_token=fresh).status_code == 200

    def test_another_persons_token_is_refused(self, nisha, omar, made):
        refund = made(make_refund)
        theirs = omar.form(f"/refunds/{refund.id}/approve").fields["csrf_token"]
        assert decide(nisha, refund, csrf_token=theirs).status_code == 403

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_a_form_of_another_site_is_refused_even_with_a_token(self, nisha, made, look, site):
        refund = made(make_refund)
        form = nisha.form(f"/refunds/{refund.id}/reject")
        answer = nisha.client.post(form.action, data={**form.fields, "reason": "Forged."}, headers={"Sec-Fetch-Site": site})
        assert answer.status_code == 403
        assert look.get(Refund, refund.id).status == "pending"

    def test_a_form_needs_its_key(self, nisha, made):
        assert decide(nisha, made(make_refund), idempotency_key=None).status_code == 400

    def test_whoever_was_signed_out_meanwhile_keeps_what_they_typed(self, nisha, made):
        form = nisha.form(f"/refunds/{made(make_refund).id}/approve", partial=True)
        nisha.client.delete_cookie("portal")
        answer = nisha.send(form, partial=True, reason="Typed with care.")
        assert (answer.status_code, answer.headers["HX-Retarget"]) == (401, "#refusal")
        assert "HX-Redirect" not in answer.headers
        assert "what you typed is still here" in answer.text
