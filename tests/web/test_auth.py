"""The portal's cookie and `next=`."""

import re
from datetime import timedelta

import pyotp
import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

import config
from domain.db import now
from domain.identity.models import Admin, AdminSession
from tests.factories import make_admin
from web.auth import identity, same_origin_path
from wsgi import create_app

EMAIL, PASSWORD, SECRET = "asha@example.com", "correct horse battery", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
ON_ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def admin(app, engine) -> Admin:
    with app.app_context(), Session(engine, expire_on_commit=False) as session:
        made = make_admin(session, role="finance_admin", email=EMAIL, password_hash=identity().passwords.hash(PASSWORD))
        session.commit()
        return made


@pytest.fixture
def enrolled(app, engine, admin) -> Admin:
    with app.app_context():
        change(engine, update(Admin).values(totp_secret=identity().sealer.seal(SECRET, admin.id), totp_confirmed_at=now()))
    return admin


def change(engine, statement) -> None:
    with Session(engine) as session:
        session.execute(statement)
        session.commit()


def form_token(client, path: str) -> str:
    return re.search(r'name="csrf_token" value="([^"]+)"', client.get(path).text)[1]


def send(client, path: str, **fields: str):
    return client.post(path, data={"csrf_token": form_token(client, path), **fields})


def enter(client):
    answer = send(client, "/login", email=EMAIL, password=PASSWORD)
    assert answer.status_code == 303, answer.text
    return answer


def secret_of(client) -> str | None:
    with client.session_transaction() as kept:
        return kept.get("_user_id")


def is_in(client) -> bool:
    answer = client.get("/account")
    return answer.status_code == 200


@ON_ONE_DATABASE
class TestTheCookie:
    def test_over_plain_http_it_is_for_this_site_and_not_for_scripts(self, client, admin):
        written = enter(client).headers["Set-Cookie"]

        assert written.startswith("portal=")
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(written.split("; "))
        assert "Secure" not in written

    def test_over_https_it_is_bound_to_this_host_and_to_https(self, settings, admin):
        app = create_app(config.load({**settings, "PUBLIC_URL": "https://portal.example"}))
        client = app.test_client()
        answer = client.get("/login", base_url="https://portal.example")
        token = re.search(r'name="csrf_token" value="([^"]+)"', answer.text)[1]
        written = client.post(
            "/login",
            data={"csrf_token": token, "email": EMAIL, "password": PASSWORD},
            base_url="https://portal.example",
            headers={"Referer": "https://portal.example/login"},
        ).headers["Set-Cookie"]

        assert written.startswith("__Host-portal=")
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(written.split("; "))
        assert "Domain" not in written

    def test_signing_in_changes_what_it_carries_and_drops_what_was_planted(self, client, admin):
        before = form_token(client, "/login")
        with client.session_transaction() as planted:
            planted["_user_id"], planted["planted"] = "known to somebody else", "yes"
        enter(client)

        with client.session_transaction() as kept:
            assert kept["_user_id"] != "known to somebody else"
            assert "planted" not in kept
        assert form_token(client, "/account/two-step") != before

    def test_the_second_step_changes_it_again_and_the_first_one_is_worth_nothing(self, app, client, enrolled):
        enter(client)
        first = secret_of(client)
        send(client, "/login/second-step", code=pyotp.TOTP(SECRET).at(now()))

        assert is_in(client)
        assert secret_of(client) != first
        thief = app.test_client()
        with thief.session_transaction() as stolen:
            stolen["_user_id"] = first
        assert not is_in(thief)

    def test_a_form_of_before_signing_in_is_not_one_of_after(self, client, admin):
        before = form_token(client, "/login")
        enter(client)

        assert client.post("/account/two-step", data={"csrf_token": before, "code": "123456"}).status_code == 403

    def test_a_forged_one_opens_nothing(self, client, admin):
        enter(client)
        good = client.get_cookie("portal").value
        for forged in (good[:-3] + "AAA", "e30.aaaa.bbbb", "x" * 3000, "\u00e9", good.swapcase()):
            client.set_cookie("portal", forged)
            assert not is_in(client)

    @pytest.mark.parametrize("secret", ["", "x", "' OR 1=1 --", 7, None, ["x"], {"a": 1}, "\x00", "\ud800"])
    def test_one_that_names_no_session_opens_nothing(self, client, admin, secret):
        with client.session_transaction() as kept:
            kept["_user_id"] = secret

        assert client.get("/account").status_code in (302, 401)

    def test_the_api_does_not_read_it(self, client, admin):
        enter(client)

        assert is_in(client)
        assert client.get("/api/v1/admin/me").status_code == 401

    def test_the_portal_does_not_read_a_token(self, client, admin):
        token = client.post("/api/v1/admin/auth/login", json={"email": EMAIL, "password": PASSWORD}).json["data"]["access_token"]

        assert client.get("/account", headers={"Authorization": f"Bearer {token}"}).status_code != 200

    @pytest.mark.parametrize(
        "ended",
        [
            update(AdminSession).values(last_seen_at=now() - timedelta(minutes=31)),
            update(AdminSession).values(expires_at=now() - timedelta(seconds=1)),
            update(AdminSession).values(revoked_at=now()),
            update(Admin).values(disabled_at=now()),
        ],
        ids=["half an hour idle", "twelve hours old", "revoked", "admin disabled"],
    )
    def test_it_is_over_at_the_next_request_once_its_session_is(self, client, engine, admin, ended):
        enter(client)
        assert is_in(client)

        change(engine, ended)

        assert not is_in(client)

    def test_using_the_portal_keeps_it_alive(self, client, engine, admin):
        enter(client)
        change(engine, update(AdminSession).values(last_seen_at=now() - timedelta(minutes=29)))

        assert is_in(client)

        with Session(engine) as session:
            assert now() - session.scalars(select(AdminSession.last_seen_at)).one() < timedelta(minutes=1)

    def test_a_changed_role_acts_at_the_next_request(self, client, engine, admin):
        enter(client)
        assert client.get("/refunds").status_code == 200

        change(engine, update(Admin).values(role_id="content_moderator"))

        assert client.get("/refunds").status_code == 403

    def test_signing_out_clears_it(self, client, admin):
        enter(client)
        client.post("/logout", data={"csrf_token": form_token(client, "/account")})

        with client.session_transaction() as kept:
            assert "_user_id" not in kept


HERE = [
    "/",
    "/refunds",
    "/refunds?status=pending&page=2",
    "/refunds/550e8400-e29b-41d4-a716-446655440000",
    "/refunds?q=a%20b",
    "/refunds#row",
    "/refunds?next=https://example.com/",
    "/%2e%2e/refunds",
    "/a:b",
]
ELSEWHERE = [
    None,
    "",
    " ",
    "refunds",
    "./refunds",
    "../refunds",
    "?q=1",
    "#top",
    "https://evil.example",
    "http://evil.example/",
    "HTTPS://EVIL.EXAMPLE",
    "//evil.example",
    "//evil.example/refunds",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\\/evil.example",
    "//\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "\t//evil.example",
    " //evil.example",
    " https://evil.example",
    "\x00//evil.example",
    "/\x00/evil.example",
    "/refunds\r\nSet-Cookie: a=b",
    "/refunds\x7f",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "mailto:a@evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "://evil.example",
    "@evil.example",
    "user@evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/refunds//evil.example",
    "//[::1]/",
    "//[",
    "/\u2215evil.example",
    "/\uff0fevil.example",
    "\uff0f\uff0fevil.example",
    "/\u3002evil",
    "/\u202erefunds",
    "/\ud800",
    "/api/v1/admin/me",
    "/static/x.js",
    "/" + "a" * 3000,
]


class TestNext:
    @pytest.mark.parametrize("path", HERE)
    def test_a_page_of_our_own_is_followed(self, path):
        assert same_origin_path(path) == path

    @pytest.mark.parametrize("path", ELSEWHERE)
    def test_all_else_is_not(self, path):
        assert same_origin_path(path) is None

    def test_signing_in_follows_it_as_far_as_that(self, client, admin):
        for asked, location in [("/refunds?q=1", "/refunds?q=1"), ("//evil.example", "/"), ("https://evil.example", "/")]:
            answer = send(client, "/login", email=EMAIL, password=PASSWORD, next=asked)
            assert answer.location == location
            client.delete_cookie("portal")
