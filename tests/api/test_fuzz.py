"""No input makes the API stumble: what the document allows and what it forbids, and what no document would think of."""

import contextlib
import hashlib
import hmac
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from domain import audit
from domain.access import SYSTEM
from domain.audit.models import AuditEntry
from tests.factories import make_admin, make_invitation, make_job, make_referral, make_refund, make_restore, make_role

SEED = 20251112
SECRET = "a secret that only this test knows"
ENDS_THE_SESSION = "auth.logout"
INSIDE = (
    "Traceback",
    "sqlalchemy",
    "psycopg",
    "sqlite3",
    "SELECT ",
    "INSERT ",
    "UPDATE ",
    "werkzeug",
    "marshmallow",
    str(Path.cwd()),
    ".py",
)

Headers = dict[str, str]


@pytest.fixture
def settings(settings: dict[str, str]) -> dict[str, str]:
    secrets = {"STRIPE_WEBHOOK_SECRET": SECRET, "RAZORPAY_WEBHOOK_SECRET": SECRET}
    return {**settings, **secrets, "RATE_LIMIT": "1000000 per second", "LOG_LEVEL": "ERROR"}


@pytest.fixture
def ids(engine: Engine) -> dict[str, str]:
    with Session(engine) as session:
        refund, job, role = make_refund(session), make_job(session), make_role(session, "refunds:list")
        admin, invitation, referral = make_admin(session, role=role), make_invitation(session), make_referral(session)
        audit.record(session, SYSTEM, "thing.changed", refund, before={"status": "pending"}, after={"status": "approved"})
        session.commit()
        entry_id = session.scalars(select(AuditEntry.id).limit(1)).one()
        rows = {"refund_id": str(refund.id), "payment_id": str(refund.payment_id), "job_id": str(job.id), "referral_id": str(referral.id)}
        rows["backup_id"] = str(uuid4())  # of none: made ones need minutes
        rows["restore_id"] = str(make_restore(session).id)
        people = {"admin_id": str(admin.id), "invitation_id": str(invitation.id)}
        return {**rows, **people, "role_id": role.id, "permission": "refunds:list", "entry_id": str(entry_id)}


@pytest.fixture
def headers(bearer: Callable[..., Headers], engine: Engine) -> Headers:
    with Session(engine, expire_on_commit=False) as session:
        admin = make_admin(session, role="super_admin")
        session.commit()
    return bearer(admin=admin, fresh_mfa=True)


@pytest.fixture
def document(app: Flask) -> Any:
    return schemathesis.openapi.from_wsgi("/api/openapi.json", app).exclude(operation_id=ENDS_THE_SESSION)


CHECKS = [not_a_server_error, response_schema_conformance, status_code_conformance, content_type_conformance]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_the_document_says_holds(document: Any, headers: Headers, ids: dict[str, str], subtests) -> None:
    for found in document.get_all_operations():
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            with subtests.test(operation=operation.label, mode=mode.value):
                try_out(operation.as_strategy(generation_mode=mode), headers, ids)


def try_out(strategy: Any, headers: Headers, ids: dict[str, str]) -> None:
    @hypothesis.seed(SEED)
    @hypothesis.settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(strategy)
    def holds(case: Any) -> None:
        for name in case.path_parameters or {}:
            case.path_parameters[name] = ids[name]
        case.call_and_validate(headers={**headers, "Idempotency-Key": str(uuid4())}, checks=CHECKS)

    with contextlib.suppress(Unsatisfiable):  # nothing about this operation can be got wrong
        holds()


HOSTILE: list[Any] = [
    None, True, 0, -1, 1.5, 1e20, 2**31, 2**63, 2**64, 10**400, "", " ", "\x00", "a\x00b", "\ud800", "\U0001f4a3" * 50, "a" * 10_000,
    "\u202edlog\u202c", "'; DROP TABLE users; --", "<script>alert(1)</script>", "{{7*7}}", "%s%n%x", "../../etc/passwd", "\u0665", "1_000",
    "1e20", "0x10", "NaN", "2025-13-45", "9999-12-31T23:59:59-23:59", "0001-01-01", "\r\nX-Injected: 1", [], {}, [[[[]]]], {"$ne": 1},
    [None] * 100,
]  # fmt: skip
RAW = [
    b"", b"{", b"\xff\xfe", b"null", b"[]", b'"text"', b"NaN", b'{"a":1,"a":2}', b'{"a":' * 50_000, b"[" * 50_000, b'{"a":1e999}',
    b'{"a":' + b"9" * 20_000 + b"}", b"\xef\xbb\xbf{}", b'"\\ud800"', b'{"\\ud800":1}', b'{"\\u0000":1}', b"a=1&b=2", b"x" * 10_000_000,
]  # fmt: skip
HEADERS = [
    "Authorization",
    "Idempotency-Key",
    "Content-Type",
    "X-MFA-Code",
    "X-Request-ID",
    "Origin",
    "Accept",
    "User-Agent",
    "Content-Encoding",
]
PATHS = ["%00", "..", "%2e%2e%2f", "%ff", "a" * 5000, "0" * 36, "%F0%9F%92%A3", "{}", "1;DROP"]
CALLS = 600


def test_what_no_document_would_think_of(client: FlaskClient, document: Any, headers: Headers, ids: dict[str, str]) -> None:
    described = client.get("/api/openapi.json").json["paths"]
    calls = [call for path, item in described.items() for method, about in item.items() if method != "parameters"
             for call in mutations(path, method.upper(), about, ids)]  # fmt: skip
    for call in random.Random(SEED).sample(calls, min(CALLS, len(calls))):
        response = send(client, headers, **call)
        assert response.status_code < 500, (call["method"], call["path"], str(call)[:300], response.text[:300])
        assert not any(word in response.text for word in INSIDE if word not in str(call)), (str(call)[:300], response.text[:300])
        assert "X-Injected" not in response.headers
    assert client.get("/api/v1/admin/me", headers=headers).status_code == 200


def mutations(path: str, method: str, about: dict[str, Any], ids: dict[str, str]) -> Iterator[dict[str, Any]]:
    here = path.format(**ids)
    call = {"path": here, "method": method}
    if about["operationId"] == ENDS_THE_SESSION:
        return
    for value in HOSTILE:
        yield call | {"body": value}
        for name in about.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example", {}):
            yield call | {"field": name, "body": value, "example": about["requestBody"]["content"]["application/json"]["example"]}
        for parameter in about.get("parameters", []):
            if parameter["in"] == "query":
                yield call | {"query": {parameter["name"]: value}}
        for name in HEADERS:
            yield call | {"header": (name, value)}
    for raw in RAW:
        yield call | {"raw": raw}
    if "{" in path:
        for piece in PATHS:
            yield call | {"path": path.format(**dict.fromkeys(ids, piece))}


def send(client: FlaskClient, headers: Headers, *, path: str, method: str, **mutation: Any) -> Any:
    sent = {**headers, "Idempotency-Key": str(uuid4()), "Content-Type": "application/json"}
    if "header" in mutation:
        name, value = mutation["header"]
        sent[name] = str(value).encode("utf-8", "surrogatepass").decode("latin-1").replace("\r", "").replace("\n", "")[:2000]
    body = mutation.get("raw", b"{}")
    if "field" in mutation:
        body = json.dumps({**mutation["example"], mutation["field"]: mutation["body"]}).encode()
    elif "body" in mutation:
        body = json.dumps(mutation["body"]).encode()
    query = {name: str(value).encode("utf-8", "surrogatepass") for name, value in mutation.get("query", {}).items()}
    if "webhooks" in path:
        sent |= signed(body)
    return client.open(path, method=method, data=None if method == "GET" else body, query_string=query, headers=sent)


def signed(body: bytes) -> Headers:
    """What gets a body past the gateways' signatures, to where its content matters."""
    at = str(int(time.time()))
    stripe = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {
        "Stripe-Signature": f"t={at},v1={stripe}",
        "X-Razorpay-Signature": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(),
        "X-Razorpay-Event-Id": str(uuid4()),
    }
