"""Many admins, one refund."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.audit.models import AuditEntry
from domain.refunds.models import RefundAttempt
from tests.factories import make_payment
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


def test_forty_approvals_of_one_refund_are_one_refund(desk, gateway):
    for _ in range(3):
        [refund_id] = desk.make_refunds(1)
        before = len(gateway.ledger())
        keys = [uuid4().hex for _ in range(4)]
        calls = [(number % 3, keys[number % 4] if number % 2 else uuid4().hex) for number in range(40)]
        with ThreadPoolExecutor(40) as pool:
            answers = list(pool.map(desk.approve, [refund_id] * 40, *zip(*calls, strict=True)))

        fresh = [answer for answer in answers if answer.status_code == 200 and "Idempotent-Replayed" not in answer.headers]
        rest = [answer for answer in answers if answer not in fresh]
        assert len(fresh) == 1, Counter((answer.status_code, answer.headers.get("Idempotent-Replayed")) for answer in answers)
        assert all(answer.status_code == 409 or answer.headers.get("Idempotent-Replayed") == "true" for answer in rest)
        wait_until(partial(transaction_id, desk, refund_id), "the refund is taken", seconds=60)
        assert len(gateway.ledger()) == before + 1
        with Session(desk.engine) as session:
            approved = select(func.count()).where(AuditEntry.action == "refund.approved", AuditEntry.object_id == str(refund_id))
            assert session.scalar(approved) == 1
            assert session.scalar(select(func.count()).where(RefundAttempt.refund_id == refund_id)) == 1


def transaction_id(desk, refund_id):
    return desk.get(f"/api/v1/admin/refunds/{refund_id}")["data"]["transaction_id"]


def test_approve_against_reject_has_one_winner(desk, gateway):
    refunds = desk.make_refunds(20)

    def reject(refund_id):
        return httpx.post(
            f"{desk.portal.url}/api/v1/admin/refunds/{refund_id}/reject",
            json={"reason": "A duplicate"},
            headers=desk.headers(1, uuid4().hex),
            timeout=30,
        )

    with ThreadPoolExecutor(16) as pool:
        approvals = [pool.submit(desk.approve, refund_id) for refund_id in refunds]
        rejections = [pool.submit(reject, refund_id) for refund_id in refunds]
        pairs = [(a.result().status_code, r.result().status_code) for a, r in zip(approvals, rejections, strict=True)]
    assert set(pairs) <= {(200, 409), (409, 200)}
    won = sum(1 for approved, _ in pairs if approved == 200)
    wait_until(lambda: len(gateway.ledger()) >= won, "the approved ones are paid", seconds=60)
    assert len(gateway.ledger()) == won


def test_partial_refunds_of_one_payment_never_exceed_it(desk, gateway):
    with Session(desk.engine) as session:
        payment_id = make_payment(session, provider="stripe", provider_payment_id="pi_shared", amount_cents=10_000).id
        session.commit()

    def refund(number):
        return httpx.post(
            f"{desk.portal.url}/api/v1/admin/payments/{payment_id}/refund",
            json={"amount_cents": 900, "reason": "Goodwill"},
            headers=desk.headers(number % 3, uuid4().hex),
            timeout=30,
        ).status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = Counter(pool.map(refund, range(40)))
    assert statuses == {200: 11, 422: 29}
    wait_until(lambda: len(gateway.ledger()) >= 11, "the approved ones are paid", seconds=60)
    assert sum(refund.amount for refund in gateway.ledger()) == 9_900
