"""Every error under /api/ has one shape, names what to do, and gives nothing of the inside away."""

import json
from collections.abc import Callable

import pytest
import sqlalchemy.exc
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

import config
from domain.access import Permission
from domain.audit.models import AuditEntry
from tests.api.probe import PATH, Probe

LIST, ACT = "/api/v1/probes", f"{PATH}/act"
BOTH = (Permission.REFUNDS_LIST, Permission.REFUNDS_APPROVE)
JSON = {"Content-Type": "application/json"}

pytestmark = pytest.mark.usefixtures("probe")


@pytest.fixture
def headers(bearer: Callable[..., dict[str, str]]) -> dict[str, str]:
    return {**bearer(*BOTH), "Idempotency-Key": "a-key"}


def error_of(response, status: int, code: str) -> dict:
    assert (response.status_code, response.json["error"]["code"]) == (status, code), response.text
    assert response.json["success"] is False
    assert response.json["error"]["request_id"] == response.headers["X-Request-ID"]
    assert response.json["error"]["message"]
    return response.json["error"]


class TestStatuses:
    def test_an_unknown_path(self, client):
        error_of(client.get("/api/v1/nothing"), 404, "NOT_FOUND")
        error_of(client.get("/api/"), 404, "NOT_FOUND")

    def test_a_malformed_id(self, client, headers):
        error_of(client.post("/api/v1/probes/not-a-uuid/act", json={}, headers=headers), 404, "NOT_FOUND")

    def test_a_method_that_is_not_taken_names_those_that_are(self, client, headers):
        response = client.put(LIST, headers=headers)

        error_of(response, 405, "METHOD_NOT_ALLOWED")
        assert "GET" in response.headers["Allow"]

    def test_a_stranger(self, client):
        response = client.get(LIST)

        error_of(response, 401, "UNAUTHENTICATED")
        assert response.headers["WWW-Authenticate"].startswith("Bearer")

    def test_a_stranger_learns_nothing_from_validation(self, client):
        error_of(client.get(f"{LIST}?page=0"), 401, "UNAUTHENTICATED")
        error_of(client.post(ACT, data="{", headers=JSON), 401, "UNAUTHENTICATED")

    def test_a_missing_permission_is_named_before_validation_and_audited_once(self, client, bearer, engine):
        response = client.get(f"{LIST}?page=0", headers={**bearer(), "User-Agent": "a" * 5000})

        assert error_of(response, 403, "FORBIDDEN")["required_permission"] == "refunds:list"
        with Session(engine) as session:
            entry = session.scalars(select(AuditEntry)).one()
        assert (entry.action, entry.details["code"], entry.details["path"]) == ("access.refused", "FORBIDDEN", "/api/v1/probes")
        assert entry.request_id == response.headers["X-Request-ID"]
        assert len(entry.user_agent) <= 500

    def test_a_crash_says_only_the_request_id(self, client, headers, probe: Probe, capsys):
        def crash():
            raise RuntimeError("password=hunter2 at postgresql://portal:pw@db.internal/portal")

        probe.acting = crash
        response = client.get(f"{LIST}/broken", headers=headers)

        error_of(response, 500, "INTERNAL_ERROR")
        assert "hunter2" not in response.text
        assert "Traceback" not in response.text

    @pytest.mark.parametrize(
        "error",
        [
            sqlalchemy.exc.OperationalError("SELECT secret", {}, Exception("could not connect to server db.internal")),
            sqlalchemy.exc.OperationalError("BEGIN IMMEDIATE", {}, Exception("database is locked")),
            sqlalchemy.exc.InterfaceError("SELECT secret", {}, Exception("connection already closed")),
            sqlalchemy.exc.TimeoutError("QueuePool limit of size 10 overflow 10 reached"),
            sqlalchemy.exc.IntegrityError("INSERT INTO users", {"email": "asha@example.com"}, Exception("duplicate key")),
        ],
        ids=["away", "locked", "closed", "pool", "integrity"],
    )
    def test_an_absent_database_is_unavailable(self, client, headers, probe: Probe, error):
        def fail():
            raise error

        probe.acting = fail
        response = client.post(ACT, json={}, headers=headers)

        error_of(response, 503, "UNAVAILABLE")
        assert int(response.headers["Retry-After"]) >= 1
        assert not any(word in response.text for word in ("SELECT", "BEGIN", "INSERT", "asha", "db.internal", "QueuePool"))

    def test_a_database_that_is_really_away(self, settings, tmp_path, headers):
        from wsgi import create_app

        settings["DATABASE_URL"] = "postgresql://nobody:secret@127.0.0.1:1/none"
        away = create_app(config.load(settings)).test_client()
        response = away.get("/api/v1/admin/me", headers=headers)

        error_of(response, 503, "UNAVAILABLE")
        assert "secret" not in response.text
        assert "127.0.0.1" not in response.text
        assert away.get("/healthz").status_code == 200
        assert away.get("/readyz").status_code == 503
        with away.session_transaction() as cookie:
            cookie["_user_id"] = "somebody who signed in before"
        page = away.get("/refunds")
        assert (page.status_code, page.mimetype) == (503, "text/html")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestBodies:
    def send(self, client: FlaskClient, headers: dict[str, str], body: str | bytes, **more: str):
        return client.post(ACT, data=body, headers={**headers, **JSON, **more})

    def test_what_is_not_json(self, client, headers, subtests):
        bodies = [
            b"{",
            b'{"name": "a", "name": "b"}',
            b'{"amount_cents": NaN}',
            b'{"amount_cents": -Infinity}',
            b'{"amount_cents": 1e999}',
            b'{"amount_cents": ' + b"9" * 5000 + b"}",
            b'{"name": "\xff"}',
            b'\xef\xbb\xbf{"name": "Asha"}',
            b"{'name': 'Asha'}",
            b'{"name": "tab\there"}',
            b'{"name": ' + b"[" * 50_000,
            b'{"name": ' + b'{"a":' * 33 + b"1" + b"}" * 34,
        ]
        for body in bodies:
            with subtests.test(body=ascii(body[:24])):
                error_of(self.send(client, headers, body), 400, "MALFORMED_JSON")

    def test_no_body_at_all_is_an_empty_object(self, client, headers):
        assert self.send(client, headers, b"").status_code == 200

    def test_brackets_inside_text_are_not_depth(self, client, headers):
        assert self.send(client, headers, json.dumps({"name": "[" * 40 + '"\\'})).status_code == 200

    def test_what_does_not_fit_is_named_field_by_field(self, client, headers, subtests):
        wrong = [
            ([], "body", "Send a JSON object."),
            (None, "body", "Send a JSON object."),
            ("text", "body", "Send a JSON object."),
            ({"nmae": "Asha"}, "nmae", "There is no such field: take it out, or correct its name."),
            ({"amount_cents": 5.0}, "amount_cents", "Send a whole number, without quotes."),
            ({"amount_cents": "5"}, "amount_cents", "Send a whole number, without quotes."),
            ({"amount_cents": True}, "amount_cents", "Send a whole number, without quotes."),
            ({"amount_cents": [5]}, "amount_cents", "Send a whole number, without quotes."),
            ({"amount_cents": None}, "amount_cents", "It cannot be null: give a value, or leave it out."),
            ({"amount_cents": 0}, "amount_cents", "It must be at least 1."),
            ({"amount_cents": 2**63}, "amount_cents", "It is too large."),
            ({"amount_cents": 10**30}, "amount_cents", "It is too large."),
            ({"name": "a\x00b"}, "name", "It holds a character that cannot be kept (NUL, or half of a surrogate pair): take it out."),
            ({"name": "a\ud800b"}, "name", "It holds a character that cannot be kept (NUL, or half of a surrogate pair): take it out."),
            ({"name": "   "}, "name", "Write 3 to 50 characters."),
            ({"name": "a" * 51}, "name", "Write 3 to 50 characters."),
            ({"name": 5}, "name", "Send text."),
            ({"polite": 1}, "polite", "Send true or false, without quotes."),
            ({"polite": "true"}, "polite", "Send true or false, without quotes."),
        ]
        for body, field, said in wrong:
            with subtests.test(body=ascii(body)[:40]):
                error = error_of(self.send(client, headers, json.dumps(body)), 422, "VALIDATION_ERROR")
                assert error["details"] == [{"field": field, "message": said}]

    def test_another_media_type(self, client, headers, subtests):
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
            with subtests.test(kind=kind):
                response = client.post(ACT, data='{"name": "Asha"}', headers={**headers, "Content-Type": kind})
                error_of(response, 415, "UNSUPPORTED_MEDIA_TYPE")

    def test_a_packed_body(self, client, headers):
        error_of(self.send(client, headers, b"\x1f\x8b\x08", **{"Content-Encoding": "gzip"}), 415, "UNSUPPORTED_MEDIA_TYPE")

    def test_ten_megabytes(self, client, headers):
        error_of(self.send(client, headers, b'{"name": "' + b"a" * 10_000_000 + b'"}'), 413, "PAYLOAD_TOO_LARGE")

    def test_chunks(self, client, headers):
        response = client.post(ACT, headers={**headers, **JSON, "Transfer-Encoding": "chunked"}, environ_overrides={"CONTENT_LENGTH": ""})

        error_of(response, 411, "LENGTH_REQUIRED")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestQueries:
    def test_what_does_not_fit(self, client, headers, subtests):
        queries = (
            "page=0 page=-1 page=1e20 page=1_0 page=%D9%A5 page= page=1.0 page=99999999999999999999 page=1000001 page_size=0 "
            "page_size=101 cursor=%00 cursor=a%00 from_date=yesterday from_date=2025-13-01 to_date=0001-01-01 from_date=1969-12-31 "
            "from_date=2025-01-01T00:00:00 to_date=2025-W01-1 from_date=20250101 from_date=2025-01-02&to_date=2025-01-01 "
            "to_date=9999-12-31T23:59:59-12:00 to_date=2025-01-01T25:00:00Z"
        )
        for query in [*queries.split(), "cursor=" + "a" * 300]:
            with subtests.test(query=query):
                error = error_of(client.get(f"{LIST}?{query}", headers=headers), 422, "VALIDATION_ERROR")
                assert error["details"][0]["field"] == query.partition("=")[0]

    def test_all_mistakes_are_named_at_once(self, client, headers):
        error = error_of(client.get(f"{LIST}?page=0&page_size=1000&from_date=x", headers=headers), 422, "VALIDATION_ERROR")

        assert [item["field"] for item in error["details"]] == ["page", "page_size", "from_date"]

    def test_unknown_parameters_are_ignored_and_named(self, client, headers):
        meta = client.get(f"{LIST}?page_size=5&staus=pending&{'x' * 200}=1", headers=headers).json["meta"]

        assert meta["page_size"] == 5
        assert meta["ignored_parameters"] == ["staus", "x" * 100]

    def test_what_fits(self, client, headers, subtests):
        for query in (
            "to_date=9999-12-31",
            "from_date=2025-01-01T00:00:00+05:30",
            "to_date=2025-01-01T00:00:00.123456789Z",
            "page=1000000",
        ):
            with subtests.test(query=query):
                assert client.get(f"{LIST}?{query}", headers=headers).status_code == 200


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestHeaders:
    def test_answers_and_errors_alike_carry_them(self, client, headers):
        for response in (client.get(LIST, headers=headers), client.get("/api/nothing"), client.get("/healthz"), client.get("/nothing")):
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cache-Control"] == "no-store"
            assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
            assert "unsafe" not in response.headers["Content-Security-Policy"]
            assert "Strict-Transport-Security" not in response.headers

    def test_https_brings_hsts(self, settings):
        from wsgi import create_app

        client = create_app(config.load({**settings, "PUBLIC_URL": "https://portal.example.com"})).test_client()

        assert "max-age=31536000" in client.get("/healthz").headers["Strict-Transport-Security"]

    def test_no_other_origin_is_let_in_by_default(self, client):
        assert "Access-Control-Allow-Origin" not in client.get("/api/openapi.json", headers={"Origin": "https://evil.example"}).headers


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestOtherOrigins:
    @pytest.fixture
    def settings(self, settings):
        return {**settings, "CORS_ORIGINS": "https://admin.example.com,https://ops.example.com"}

    def test_a_known_one_may_read_and_ask_first(self, client):
        asked = client.options(ACT, headers={"Origin": "https://admin.example.com", "Access-Control-Request-Method": "POST"})
        read = client.get("/api/openapi.json", headers={"Origin": "https://admin.example.com"})

        assert (asked.status_code, asked.headers["Access-Control-Allow-Origin"]) == (204, "https://admin.example.com")
        assert "Idempotency-Key" in asked.headers["Access-Control-Allow-Headers"]
        assert read.headers["Access-Control-Allow-Origin"] == "https://admin.example.com"
        assert "Access-Control-Allow-Credentials" not in read.headers
        assert "Origin" in read.headers["Vary"]

    @pytest.mark.parametrize(
        "origin", ["https://evil.example", "https://admin.example.com.evil.example", "null", "http://admin.example.com"]
    )
    def test_another_may_not(self, client, origin):
        response = client.get("/api/openapi.json", headers={"Origin": origin})

        assert "Access-Control-Allow-Origin" not in response.headers
        assert "Origin" in response.headers["Vary"]

    def test_pages_are_for_no_other_origin(self, client):
        assert "Access-Control-Allow-Origin" not in client.get("/healthz", headers={"Origin": "https://admin.example.com"}).headers


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestRequestId:
    def test_a_stranger_cannot_choose_it(self, client):
        assert client.get("/healthz", headers={"X-Request-ID": "chosen-by-me"}).headers["X-Request-ID"] != "chosen-by-me"

    def test_a_trusted_proxy_may(self, settings):
        from wsgi import create_app

        client = create_app(config.load({**settings, "TRUSTED_PROXIES": "1"})).test_client()

        assert client.get("/healthz", headers={"X-Request-ID": "from-the-proxy"}).headers["X-Request-ID"] == "from-the-proxy"
        assert client.get("/healthz", headers={"X-Request-ID": "bad id\t<script>"}).headers["X-Request-ID"].isalnum()


def test_the_address_is_the_one_that_the_counted_proxy_saw(settings, engine: Engine):
    from flask import request

    from web.requests import client_address
    from wsgi import create_app

    def seen(proxies: str, forwarded: str) -> str | None:
        app: Flask = create_app(config.load({**settings, "TRUSTED_PROXIES": proxies}))
        app.add_url_rule("/seen", view_func=lambda: str(client_address()))
        assert request is not None
        return app.test_client().get("/seen", headers={"X-Forwarded-For": forwarded}).text

    assert seen("0", "6.6.6.6") == "127.0.0.1"
    assert seen("1", "6.6.6.6, 203.0.113.7") == "203.0.113.7"
    assert seen("2", "6.6.6.6, 203.0.113.7, 10.0.0.1") == "203.0.113.7"
    assert seen("1", "<script>") == "None"
