"""GET /api/v1/admin/audit"""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy.orm import Session

from domain import audit
from domain.access import SYSTEM
from domain.audit import checks
from domain.audit.verification import Break, Finding, Link
from domain.db import now
from tests.factories import actor_for, make_admin, make_job, make_refund
from web.auth import identity

AUDIT = "/api/v1/admin/audit"


@pytest.fixture
def written(engine):
    """Five entries by two admins and the system."""
    with Session(engine, expire_on_commit=False) as session:
        asha, ravi = make_admin(session, email="asha@example.com", name="Asha"), make_admin(session, name="Ravi")
        for actor, action, id in [
            (actor_for(asha, request_id="request-of-asha"), "refund.approved", 1),
            (actor_for(ravi, ip="203.0.113.7"), "refund.approved", 2),
            (actor_for(asha, request_id="request-of-asha"), "refund.rejected", 3),
            (SYSTEM, "refund.processed", 1),
            (actor_for(asha, request_id="request-of-asha"), "job.cancelled", 9),
        ]:
            audit.record(session, actor, action, object_type=f"{action.split('.')[0]}s", object_id=id, after={"id": id})
        session.commit()
        return {"asha": asha, "ravi": ravi}


@pytest.fixture
def read(client, bearer, written):
    headers = bearer("audit:list")

    def read(**query):
        answer = client.get(AUDIT, query_string=query, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json

    return read


def ids(answer) -> list[str]:
    return [entry["object"]["id"] for entry in answer["data"]]


def test_it_lists_the_newest_first(read, written):
    answer = read()

    assert ids(answer) == ["9", "1", "3", "2", "1"]
    assert answer["meta"]["total_items"] == 5
    newest = answer["data"][0]
    assert newest["actor"] == {"id": str(written["asha"].id), "name": "Asha"}
    assert (newest["action"], newest["object"], newest["after"]) == ("job.cancelled", {"type": "jobs", "id": "9"}, {"id": 9})
    assert newest["created_at"].endswith("Z")
    assert newest["previous_hash"] == answer["data"][1]["hash"]
    assert set(newest) == {
        *("id", "sequence", "created_at", "action", "actor", "object", "before", "after", "details"),
        *("changes", "ip", "user_agent", "request_id", "previous_hash", "hash"),
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"action": "refund.approved"}, ["2", "1"]),
        ({"action": "refund.approved,refund.rejected"}, ["3", "2", "1"]),
        ({"action": "no.such"}, []),
        ({"actor": "asha@example.com"}, ["9", "3", "1"]),
        ({"actor": "ASHA@example.com"}, ["9", "3", "1"]),
        ({"actor": "Ravi"}, ["2"]),
        ({"actor": "System"}, ["1"]),
        ({"actor": "nobody"}, []),
        ({"object_type": "jobs"}, ["9"]),
        ({"object_type": "refunds", "object_id": "1"}, ["1", "1"]),
        ({"object_id": "1", "action": "refund.processed"}, ["1"]),
        ({"actor": "asha@example.com", "action": "refund.rejected"}, ["3"]),
        ({"actor": "nobody@example.com"}, []),
        ({"request_id": "request-of-asha"}, ["9", "3", "1"]),
        ({"ip": "203.0.113.7"}, ["2"]),
        ({"q": "CANCEL"}, ["9"]),
        ({"q": "100%"}, []),
    ],
    ids=str,
)
def test_it_is_narrowed(read, query, found):
    answer = read(**query)

    assert ids(answer) == found
    assert answer["meta"]["total_items"] == len(found)


def test_an_admins_id_names_them_as_well(read, written):
    assert ids(read(actor=str(written["ravi"].id))) == ["2"]


def test_days_bound_it(read):
    today, tomorrow, yesterday = (str((now() + timedelta(days=days)).date()) for days in (0, 1, -1))

    assert len(read(from_date=today, to_date=today)["data"]) == 5
    assert read(from_date=tomorrow)["data"] == []
    assert read(to_date=yesterday)["data"] == []


def test_pages_and_the_cursor_show_each_once(read):
    assert [ids(read(page=page, page_size=2)) for page in (1, 2, 3, 4)] == [["9", "1"], ["3", "2"], ["1"], []]
    first = read(page_size=2)
    second = read(page_size=2, cursor=first["meta"]["next_cursor"])
    third = read(page_size=2, cursor=second["meta"]["next_cursor"])

    assert [ids(first), ids(second), ids(third)] == [["9", "1"], ["3", "2"], ["1"]]
    assert third["meta"]["next_cursor"] is None


@pytest.mark.parametrize(
    "query",
    [
        {"page": "0"},
        {"page_size": "101"},
        {"cursor": "nonsense"},
        {"cursor": "\u0661"},
        {"cursor": "LTE"},
        {"from_date": "yesterday"},
        {"from_date": "2024-02-02", "to_date": "2024-02-01"},
        {"object_id": "\x00"},
        {"actor": "x" * 400},
        {"q": "x" * 201},
        {"ip": "x" * 65},
        {"request_id": "\x00"},
        {"action": ",".join(f"a{number}" for number in range(21))},
    ],
    ids=str,
)
def test_a_wrong_query_is_a_422(client, bearer, query):
    answer = client.get(AUDIT, query_string=query, headers=bearer("audit:list"))

    assert (answer.status_code, answer.json["error"]["code"]) == (422, "VALIDATION_ERROR")


def test_it_takes_the_permission(client, bearer):
    answer = client.get(AUDIT, headers=bearer("refunds:list"))

    assert (answer.status_code, answer.json["error"]["required_permission"]) == (403, "audit:list")
    assert client.get(AUDIT).status_code == 401


def test_hostile_text_comes_back_as_text(client, bearer, engine):
    hostile = "<script>alert(1)</script>\u202e\U0001f4a3'; DROP TABLE audit_entries; --"
    with Session(engine) as session:
        audit.record(session, SYSTEM, "thing.changed", object_type="things", object_id=hostile, note=hostile)
        session.commit()

    entry = client.get(AUDIT, query_string={"object_id": hostile}, headers=bearer("audit:list")).json["data"][0]

    assert entry["details"] == {"note": hostile}


def test_before_and_after_come_as_changes_too_and_one_entry_can_be_had_alone(client, bearer, engine):
    headers = bearer("audit:list")
    with Session(engine) as session:
        audit.record(
            session,
            SYSTEM,
            "role.changed",
            object_type="roles",
            object_id="night_shift",
            before={"name": "Night", "permissions": ["jobs:list"], "gone": 1},
            after={"name": "Night", "permissions": ["jobs:list", "refunds:list"]},
        )
        session.commit()

    entry = client.get(AUDIT, headers=headers).json["data"][0]

    assert entry["changes"] == [
        {"field": "gone", "kind": "removed", "before": 1, "after": None, "added": None, "removed": None},
        {
            "field": "permissions",
            "kind": "changed",
            "before": ["jobs:list"],
            "after": ["jobs:list", "refunds:list"],
            "added": ["refunds:list"],
            "removed": [],
        },
        {"field": "name", "kind": "same", "before": "Night", "after": "Night", "added": None, "removed": None},
    ]
    assert client.get(f"{AUDIT}/{entry['id']}", headers=headers).json["data"] == entry
    assert client.get(f"{AUDIT}/{uuid4()}", headers=headers).status_code == 404
    assert client.get(f"{AUDIT}/nonsense", headers=headers).status_code == 404


def test_a_parameter_that_does_not_exist_is_named(read):
    answer = read(user="asha", status="open")

    assert sorted(answer["meta"]["ignored_parameters"]) == ["status", "user"]
    assert answer["meta"]["total_items"] == 5


def test_the_chain_tells_its_end_and_its_last_verification(client, bearer, written, engine):
    headers = bearer("audit:list")
    newest = client.get(AUDIT, headers=headers).json["data"][0]
    chain = client.get(f"{AUDIT}/chain", headers=headers).json["data"]
    assert chain == {"head": {"sequence": newest["sequence"], "hash": newest["hash"]}, "last_verification": None}

    with Session(engine) as session:
        checks.record(session, SYSTEM, Finding(3, Link(3, "0" * 64), Break(4, "it was removed")))
        session.commit()
    told = client.get(f"{AUDIT}/chain", headers=headers).json["data"]["last_verification"]
    assert told.pop("at").endswith("Z")
    assert told == {"by": "System", "whole": False, "entries": 3, "broken_at": 4, "what": "it was removed"}


def test_a_verification_is_asked_for_once_at_a_time(client, bearer):
    headers = bearer("audit:list")
    asked = client.post(f"{AUDIT}/verify", headers=headers | {"Idempotency-Key": "one"})
    again = client.post(f"{AUDIT}/verify", headers=headers | {"Idempotency-Key": "two"})

    assert (asked.status_code, asked.json["data"]["type"]) == (200, "audit_verify")
    assert client.get(f"/api/v1/admin/jobs/{asked.json['data']['job_id']}", headers=headers).json["data"]["status"] == "pending"
    assert (again.status_code, again.json["error"]["code"]) == (409, "VERIFICATION_UNDER_WAY")


def test_an_export_takes_the_filters_of_the_list(client, bearer):
    def start(permission, **body):
        headers = bearer(permission) | {"Idempotency-Key": str(uuid4())}
        return client.post("/api/v1/admin/jobs", json={"type": "audit_export", **body}, headers=headers)

    narrowed = {"actor": "System", "action": "refund.approved,refund.rejected", "ip": "::1", "q": "x", "object_type": "roles"}
    started = start("audit:list", **narrowed, to="2025-10-31", format="xlsx").json["data"]

    assert started["type"] == "audit_export"
    assert started["metadata"] == {
        **narrowed,
        "action": ["refund.approved", "refund.rejected"],
        "from": None,
        "to": "2025-10-31",
        "format": "xlsx",
    }
    assert start("analytics:view").json["error"]["required_permission"] == "audit:list"
    assert start("audit:list", **{"from": "2025-02-01", "to": "2025-01-01"}).status_code == 422
    assert start("audit:list", report_type="refunds").status_code == 422
    unfit = {"type": "analytics_export", "report_type": "audit"}
    assert start("analytics:view", **unfit).status_code == 422


def test_what_an_admin_does_can_be_read_back(client, bearer, engine, app):
    """One of each of what must be recorded, done over the API."""
    with Session(engine, expire_on_commit=False) as session, app.app_context():
        admin = make_admin(
            session, role="super_admin", email="asha@example.com", password_hash=identity().passwords.hash("a long pass phrase")
        )
        refund, waiting, over = make_refund(session), make_job(session, type="notification"), make_job(session, status="failed")
        session.commit()
    headers = bearer(admin=admin, fresh_mfa=True)

    def post(path, body=None, method="post", expected=200):
        answer = getattr(client, method)(f"/api/v1/admin{path}", json=body, headers=headers | {"Idempotency-Key": str(uuid4())})
        assert answer.status_code == expected, answer.text

    client.post("/api/v1/admin/auth/login", json={"email": "asha@example.com", "password": "wrong"})
    client.post("/api/v1/admin/auth/login", json={"email": "asha@example.com", "password": "a long pass phrase"})
    client.get(AUDIT, headers=bearer("refunds:list"))
    post(f"/refunds/{refund.id}/reject", {"reason": "The work was done."})
    post(f"/refunds/{refund.id}/approve", {"reason": "After all."}, expected=409)
    post(f"/jobs/{waiting.id}/cancel")
    post(f"/jobs/{over.id}", method="delete", expected=204)
    post("/jobs", {"type": "analytics_export", "report_type": "bookings"})
    post("/roles", {"name": "Night shift", "description": "Looks on", "permissions": ["jobs:list"]}, expected=201)

    told = client.get(AUDIT, query_string={"page_size": 100}, headers=headers).json["data"]
    assert [entry["action"] for entry in reversed(told)] == [
        *("session.sign_in_refused", "session.signed_in", "access.refused", "refund.rejected", "request.refused"),
        *("job.cancelled", "job.deleted", "job.started", "role.created"),
    ]
    assert all(entry["ip"] and entry["user_agent"] and entry["request_id"] for entry in told)
