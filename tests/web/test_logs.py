"""One line per request, that names what happened and gives nobody away."""

import json
import logging

import pytest
from sqlalchemy import text

import config
from tests.api.probe import PATH
from web import logs
from web.db import db


@pytest.fixture
def lines(app, capsys):
    """The JSON lines that a call leaves on stderr."""
    logs.configure(config.load({"SECRET_KEY": "k" * 32, "LOG_FORMAT": "json"}))
    capsys.readouterr()
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_request_is_one_line_with_route_and_admin(client, bearer, lines):
    answer = client.get("/api/v1/admin/refunds/6a1f2c3d-4b5e-4f60-8a7b-9c0d1e2f3a4b?q=asha@example.com", headers=bearer("refunds:list"))
    (line,) = [line for line in lines() if line["logger"] == "portal.requests"]

    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert (line["method"], line["route"], line["status"]) == ("GET", "/api/v1/admin/refunds/<uuid:refund_id>", 404)
    assert line["duration_ms"] >= 0
    assert line["admin_id"]
    assert "asha" not in json.dumps(line)


def test_neither_token_nor_password_nor_address_of_mail_gets_there(client, bearer, lines):
    headers = bearer("refunds:list")
    client.post("/api/v1/admin/auth/login?token=secret", json={"email": "asha@example.com", "password": "hunter2hunter2"})
    client.get("/api/v1/admin/refunds?q=hunter2", headers=headers)
    written = json.dumps(lines())

    assert not any(word in written for word in ("asha@", "hunter2", "secret", headers["Authorization"].split()[1]))


def test_a_rule_of_the_database_that_is_broken_names_no_values(client, bearer, probe, lines):
    def collide():
        db.session.execute(
            text("INSERT INTO roles (id, name, description, permissions, is_system_role, can_be_assigned, created_at)"
                 " SELECT id, :name, description, permissions, is_system_role, can_be_assigned, created_at FROM roles"),
            {"name": "asha@example.com"},
        )  # fmt: skip

    probe.acting = collide
    client.post(f"{PATH}/act", json={}, headers={**bearer("refunds:approve"), "Idempotency-Key": "k"})
    written = lines()

    assert any("roles" in line.get("exception", "") for line in written)
    assert "asha@" not in json.dumps(written)
    assert "(super_admin)" not in json.dumps(written)


def test_a_forged_line_stays_inside_its_own(client, lines):
    client.open("/api/v1/nothing%0d%0aforged", method="GE\tT", headers={"User-Agent": "x\x1b[31m"})
    logging.getLogger("anything").warning("first\r\nforged\x1b[2J\u2028line")

    assert len(lines()) == 2


def test_plain_lines_are_single_too(app, capsys):
    logs.configure(config.load({"SECRET_KEY": "k" * 32, "LOG_FORMAT": "console"}))
    capsys.readouterr()
    logging.getLogger("anything").warning("first\r\nforged\x1b[2J\u2028line")

    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_crash_is_logged_with_its_request(client, bearer, probe, lines):
    def crash():
        raise RuntimeError("boom")

    probe.acting = crash
    answer = client.get("/api/v1/probes/broken", headers=bearer("refunds:list"))
    (line,) = [line for line in lines() if "exception" in line]

    assert (line["request_id"], line["level"]) == (answer.headers["X-Request-ID"], "error")
    assert "RuntimeError: boom" in line["exception"]
