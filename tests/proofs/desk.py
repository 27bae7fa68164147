"""Admins at work on a portal of real processes, as a patient program would be: they ask again until they have an answer."""

import time
from collections.abc import Mapping
from typing import Any, Self
from uuid import UUID, uuid4

import httpx
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from domain.identity.passwords import Passwords
from tests.factories import make_admin, make_payment, make_refund
from tests.servers.portal import Portal
from web.auth import CHEAP

PASSWORD = "correct horse battery"
ADMINS = 3


class Desk:
    def __init__(self, settings: Mapping[str, str], engine: Engine):
        self.portal = Portal(settings)
        self.engine = engine

    def __enter__(self) -> Self:
        with Session(self.engine) as session:
            hashed = Passwords(**CHEAP).hash(PASSWORD)
            emails = [make_admin(session, password_hash=hashed).email for _ in range(ADMINS)]
            session.commit()
        self.portal.__enter__()
        try:
            self.tokens = [self.sign_in(email) for email in emails]
        except BaseException:
            self.portal.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        print(self.portal.output()[-20_000:])  # shown with a failed test
        self.portal.__exit__(*error)

    def sign_in(self, email: str) -> str:
        answer = httpx.post(f"{self.portal.url}/api/v1/admin/auth/login", json={"email": email, "password": PASSWORD}, timeout=30)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["data"]["access_token"])

    def make_refunds(self, count: int, **fields: Any) -> list[UUID]:
        """Pending refunds of payments at Stripe and Razorpay in turn."""
        made = []
        with Session(self.engine) as session:
            for number in range(count):
                provider, prefix = ("stripe", "pi_") if number % 2 else ("razorpay", "pay_")
                payment = make_payment(session, provider=provider, provider_payment_id=f"{prefix}{uuid4().hex[:20]}")
                made.append(make_refund(session, payment, **fields).id)
            session.commit()
        return made

    def get(self, path: str, admin: int = 0, **params: Any) -> Any:
        answer = httpx.get(f"{self.portal.url}{path}", params=params, headers=self.headers(admin), timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def headers(self, admin: int, key: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[admin]}"} | ({"Idempotency-Key": key} if key else {})

    def start_job(self, admin: int = 0, **wish: Any) -> httpx.Response:
        """Ask for a job as a program does that waits for ten seconds at most."""
        return httpx.post(f"{self.portal.url}/api/v1/admin/jobs", json=wish, headers=self.headers(admin, uuid4().hex), timeout=10)

    def approve(self, refund_id: UUID, admin: int = 0, key: str | None = None, **body: Any) -> httpx.Response:
        return httpx.post(
            f"{self.portal.url}/api/v1/admin/refunds/{refund_id}/approve",
            json={"reason": "Nobody came", **body},
            headers=self.headers(admin, key or uuid4().hex),
            timeout=30,
        )

    def approve_for_certain(self, refund_id: UUID, admin: int = 0, seconds: float = 240) -> httpx.Response:
        """Ask with one key until there is an answer that is an answer."""
        key, deadline = uuid4().hex, time.monotonic() + seconds
        while True:
            try:
                answer = self.approve(refund_id, admin, key)
                if answer.status_code < 500 and answer.json().get("error", {}).get("code") != "IDEMPOTENCY_IN_FLIGHT":
                    return answer
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, f"no answer about {refund_id}\n{self.portal.output()[-5000:]}"
            time.sleep(0.2)
