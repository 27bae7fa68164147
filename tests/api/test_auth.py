"""Signing in as a program does: login, second step, refresh, sign-out, and who that makes the caller."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from domain.audit.models import AuditEntry
from domain.db import now
from domain.identity.models import Admin, AdminSession, RefreshToken
from tests.api.probe import PATH as PROBE
from tests.factories import make_admin
from web.auth import identity

EMAIL, PASSWORD, SECRET = "asha@example.com", "correct horse battery", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
AUTH = "/api/v1/admin/auth"


@pytest.fixture
def admin(app, engine) -> Admin:
    """A finance admin who can sign in; committed."""
    with app.app_context(), Session(engine, expire_on_commit=False) as session:
        made = make_admin(session, role="finance_admin", email=EMAIL, name="Asha Rao", password_hash=identity().passwords.hash(PASSWORD))
        session.commit()
        return made


@pytest.fixture
def enrolled(app, engine, admin) -> Admin:
    """The same, with a second factor on SECRET."""
    with app.app_context():
        change(engine, update(Admin).values(totp_secret=identity().sealer.seal(SECRET, admin.id), totp_confirmed_at=now()))
    return admin


@pytest.fixture
def login(client):
    def login(email=EMAIL, password=PASSWORD) -> dict:
        answer = client.post(f"{AUTH}/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        return answer.json["data"]

    return login


def change(engine, *statements) -> None:
    with Session(engine) as session:
        for statement in statements:
            session.execute(statement)
        session.commit()


def audited(engine) -> list[str]:
    with Session(engine) as session:
        return list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.sequence)))


def code(steps: int = 0) -> str:
    return pyotp.TOTP(SECRET).at(datetime.now(UTC) + timedelta(seconds=30 * steps))


def bearer(tokens: dict) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def me(client, tokens: dict, **headers):
    return client.get("/api/v1/admin/me", headers={**bearer(tokens), **headers})


def refused(answer, status: int, code: str) -> None:
    assert (answer.status_code, answer.json["success"], answer.json["error"]["code"]) == (status, False, code)
    assert answer.json["error"]["request_id"] == answer.headers["X-Request-ID"]
    if status == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


class TestLogin:
    def test_it_answers_the_tokens_field_by_field(self, client, admin):
        answer = client.post(f"{AUTH}/login", json={"email": EMAIL, "password": PASSWORD})

        assert answer.status_code == 200
        assert answer.json["success"] is True
        tokens = answer.json["data"]
        assert set(tokens) == {"access_token", "token_type", "expires_in", "refresh_token", "mfa"}
        assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
        assert tokens["mfa"] == {"enrolled": False, "verified": False}
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in answer.headers

    @pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"])
    def test_a_wrong_password_and_an_unknown_address_get_one_answer(self, client, admin, email):
        answer = client.post(f"{AUTH}/login", json={"email": email, "password": "wrong"})

        refused(answer, 401, "INVALID_CREDENTIALS")
        assert answer.json["error"]["message"] == "The e-mail address or the password is wrong."

    def test_a_disabled_admin_gets_it_too(self, client, engine, admin):
        change(engine, update(Admin).values(disabled_at=now()))

        refused(client.post(f"{AUTH}/login", json={"email": EMAIL, "password": PASSWORD}), 401, "INVALID_CREDENTIALS")

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"email": EMAIL},
            {"email": EMAIL, "password": None},
            {"email": EMAIL, "password": 12345678},
            {"email": [EMAIL], "password": PASSWORD},
            {"email": {"$ne": ""}, "password": PASSWORD},
            {"email": EMAIL, "password": PASSWORD, "role": "super_admin"},
            {"email": EMAIL, "password": "\x00"},
            {"email": EMAIL, "password": "x" * 2000},
            [],
        ],
    )
    def test_a_body_of_another_shape_is_a_422(self, client, admin, body):
        refused(client.post(f"{AUTH}/login", json=body), 422, "VALIDATION_ERROR")

    def test_the_eleventh_wrong_password_is_a_429_that_says_how_long(self, client, engine, admin):
        for _ in range(10):
            client.post(f"{AUTH}/login", json={"email": EMAIL, "password": "wrong"})

        answer = client.post(f"{AUTH}/login", json={"email": EMAIL, "password": PASSWORD})

        refused(answer, 429, "RATE_LIMITED")
        assert 290 <= int(answer.headers["Retry-After"]) <= 300
        assert audited(engine) == ["session.sign_in_refused"] * 10 + ["session.sign_in_throttled"]

    def test_an_old_token_sent_along_does_not_matter(self, client, admin, login):
        answer = client.post(
            f"{AUTH}/login", json={"email": EMAIL, "password": PASSWORD}, headers={"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}
        )

        assert answer.status_code == 200


class TestMe:
    def test_it_says_who_may_do_what(self, client, admin, login):
        data = me(client, login()).json["data"]

        assert (data["id"], data["email"], data["name"]) == (str(admin.id), EMAIL, "Asha Rao")
        assert data["role"] == {"id": "finance_admin", "name": "Finance Admin"}
        assert "refunds:approve" in data["permissions"]
        assert data["mfa"] == {"enrolled": False, "verified": False, "verified_at": None, "fresh": False}

    def test_a_stranger_is_told_how_to_come_in(self, client, admin):
        refused(client.get("/api/v1/admin/me"), 401, "UNAUTHENTICATED")

    def test_a_changed_role_acts_at_once(self, client, engine, admin, login):
        tokens = login()
        change(engine, update(Admin).values(role_id="content_moderator"))

        assert me(client, tokens).json["data"]["role"]["id"] == "content_moderator"

    @pytest.mark.parametrize(
        "ended",
        [
            update(Admin).values(disabled_at=now()),
            update(AdminSession).values(revoked_at=now()),
            update(AdminSession).values(expires_at=now() - timedelta(seconds=1)),
        ],
        ids=["admin disabled", "session revoked", "session over"],
    )
    def test_what_has_ended_is_refused_at_once(self, client, engine, admin, login, ended):
        tokens = login()
        assert me(client, tokens).status_code == 200

        change(engine, ended)

        refused(me(client, tokens), 401, "UNAUTHENTICATED")

    def test_a_vanished_session_is_refused(self, client, engine, admin, login):
        tokens = login()
        change(engine, delete(RefreshToken), delete(AdminSession))

        refused(me(client, tokens), 401, "UNAUTHENTICATED")

    def test_the_scheme_may_be_written_in_small_letters(self, client, admin, login):
        assert client.get("/api/v1/admin/me", headers={"Authorization": f"bearer {login()['access_token']}"}).status_code == 200

    def test_a_token_in_the_address_or_in_a_cookie_counts_for_nothing(self, client, admin, login):
        token = login()["access_token"]
        client.set_cookie("portal", token)
        client.set_cookie("access_token", token)

        refused(client.get(f"/api/v1/admin/me?access_token={token}&token={token}"), 401, "UNAUTHENTICATED")

    def test_last_seen_is_written_at_most_once_a_minute(self, client, engine, admin, login):
        tokens = login()

        def seen():
            with Session(engine) as session:
                return session.scalars(select(AdminSession.last_seen_at)).one()

        fresh = seen()
        me(client, tokens)
        assert seen() == fresh

        change(engine, update(AdminSession).values(last_seen_at=now() - timedelta(minutes=2)))
        me(client, tokens)
        assert seen() > fresh - timedelta(seconds=1)


class TestTheSecondStep:
    def test_it_answers_new_tokens_and_the_old_ones_are_done(self, client, enrolled, login):
        old = login()
        assert old["mfa"] == {"enrolled": True, "verified": False}

        answer = client.post(f"{AUTH}/mfa", json={"code": code()}, headers=bearer(old))

        new = answer.json["data"]
        assert set(new) == set(old)
        assert new["mfa"] == {"enrolled": True, "verified": True}
        assert me(client, new).json["data"]["mfa"]["fresh"] is True
        refused(me(client, old), 401, "UNAUTHENTICATED")
        refused(client.post(f"{AUTH}/refresh", json={"refresh_token": old["refresh_token"]}), 401, "UNAUTHENTICATED")

    def test_a_wrong_code_is_a_401_and_leaves_the_session_as_it_was(self, client, enrolled, login):
        tokens = login()

        refused(client.post(f"{AUTH}/mfa", json={"code": "000000"}, headers=bearer(tokens)), 401, "INVALID_CREDENTIALS")
        assert me(client, tokens).json["data"]["mfa"]["verified"] is False

    def test_twenty_posts_of_one_code_accept_exactly_one(self, app, engine, enrolled, login):
        tokens, same = [login() for _ in range(20)], code()

        def post(number: int) -> int:
            return app.test_client().post(f"{AUTH}/mfa", json={"code": same}, headers=bearer(tokens[number])).status_code

        with ThreadPoolExecutor(20) as pool:
            statuses = list(pool.map(post, range(20)))

        assert statuses.count(200) == 1
        assert set(statuses) <= {200, 401, 429}
        assert audited(engine).count("mfa.verified") == 1

    def test_who_has_no_second_factor_is_told_so(self, client, admin, login):
        refused(client.post(f"{AUTH}/mfa", json={"code": "123456"}, headers=bearer(login())), 403, "MFA_REQUIRED")

    def test_without_a_token_there_is_no_second_step(self, client, enrolled):
        refused(client.post(f"{AUTH}/mfa", json={"code": code()}), 401, "UNAUTHENTICATED")

    def test_a_session_that_owes_it_may_read(self, client, enrolled, login):
        assert me(client, login()).status_code == 200


class TestTheCodeInAHeader:
    def test_it_makes_the_second_factor_fresh_for_this_call_alone(self, client, enrolled, login):
        tokens = login()

        assert me(client, tokens, **{"X-MFA-Code": code()}).json["data"]["mfa"]["fresh"] is True
        assert me(client, tokens).json["data"]["mfa"]["fresh"] is False

    @pytest.mark.parametrize("wrong", ["000000", "", "nonsense", "9" * 3000])
    def test_a_wrong_one_just_does_not_count(self, client, enrolled, login, wrong):
        answer = me(client, login(), **{"X-MFA-Code": wrong})

        assert (answer.status_code, answer.json["data"]["mfa"]["fresh"]) == (200, False)

    def test_it_is_good_for_one_call(self, client, enrolled, login):
        tokens, same = login(), code()

        assert me(client, tokens, **{"X-MFA-Code": same}).json["data"]["mfa"]["fresh"] is True
        assert me(client, tokens, **{"X-MFA-Code": same}).json["data"]["mfa"]["fresh"] is False

    def test_a_retry_with_the_code_of_the_first_call_gets_its_answer(self, client, engine, enrolled, login, probe):
        sent = {**bearer(login()), "X-MFA-Code": code(), "Idempotency-Key": "once"}
        first, again = (client.post(f"{PROBE}/guarded", json={}, headers=sent) for _ in range(2))

        assert (first.status_code, again.status_code, again.data) == (200, 200, first.data)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert audited(engine).count("probe.acted") == 1

    def test_what_needs_it_says_why_the_code_did_not_count(self, client, enrolled, login, probe):
        sent = {**bearer(login()), "X-MFA-Code": "000000", "Idempotency-Key": "once"}
        answer = client.post(f"{PROBE}/guarded", json={}, headers=sent)

        refused(answer, 403, "MFA_REQUIRED")
        assert "wrong or was used before" in answer.json["error"]["message"]

    def test_without_one_it_says_what_to_send(self, client, enrolled, login, probe):
        answer = client.post(f"{PROBE}/guarded", json={}, headers={**bearer(login()), "Idempotency-Key": "once"})

        refused(answer, 403, "MFA_REQUIRED")
        assert "X-MFA-Code" in answer.json["error"]["message"]


class TestRefresh:
    def test_it_trades_one_pair_for_the_next(self, client, admin, login):
        first = login()

        second = client.post(f"{AUTH}/refresh", json={"refresh_token": first["refresh_token"]}).json["data"]

        assert set(second) == set(first)
        assert second["refresh_token"] != first["refresh_token"]
        assert me(client, second).status_code == 200

    def test_using_one_twice_ends_the_whole_session(self, client, engine, admin, login):
        first = login()
        second = client.post(f"{AUTH}/refresh", json={"refresh_token": first["refresh_token"]}).json["data"]

        refused(client.post(f"{AUTH}/refresh", json={"refresh_token": first["refresh_token"]}), 401, "UNAUTHENTICATED")

        refused(me(client, second), 401, "UNAUTHENTICATED")
        refused(client.post(f"{AUTH}/refresh", json={"refresh_token": second["refresh_token"]}), 401, "UNAUTHENTICATED")
        assert "session.refresh_token_reused" in audited(engine)

    def test_it_leaves_the_admins_other_sessions_alone(self, client, admin, login):
        stolen, other = login(), login()
        for _ in range(2):
            client.post(f"{AUTH}/refresh", json={"refresh_token": stolen["refresh_token"]})

        assert me(client, other).status_code == 200

    def test_it_does_not_take_the_second_step(self, client, enrolled, login):
        data = client.post(f"{AUTH}/refresh", json={"refresh_token": login()["refresh_token"]}).json["data"]

        assert data["mfa"] == {"enrolled": True, "verified": False}

    def test_twenty_at_once_make_one_pair(self, app, admin, login):
        token = login()["refresh_token"]

        def post(_: int) -> int:
            return app.test_client().post(f"{AUTH}/refresh", json={"refresh_token": token}).status_code

        with ThreadPoolExecutor(20) as pool:
            statuses = list(pool.map(post, range(20)))

        assert statuses.count(200) == 1 and set(statuses) == {200, 401}

    @pytest.mark.parametrize("nonsense", ["", "x", "\u00e9" * 50, "' OR 1=1 --"])
    def test_nonsense_is_refused(self, client, admin, nonsense):
        refused(client.post(f"{AUTH}/refresh", json={"refresh_token": nonsense}), 401, "UNAUTHENTICATED")

    @pytest.mark.parametrize(
        "ended", [update(Admin).values(disabled_at=now()), update(RefreshToken).values(expires_at=now() - timedelta(seconds=1))]
    )
    def test_it_ends_with_what_it_stands_on(self, client, engine, admin, login, ended):
        token = login()["refresh_token"]
        change(engine, ended)

        refused(client.post(f"{AUTH}/refresh", json={"refresh_token": token}), 401, "UNAUTHENTICATED")

    def test_the_database_keeps_only_its_hash(self, engine, client, admin, login):
        token = login()["refresh_token"]

        with Session(engine) as session:
            assert session.scalars(select(RefreshToken.token_hash)).one() != token


class TestLogout:
    def test_it_ends_this_session(self, client, engine, admin, login):
        tokens, other = login(), login()

        answer = client.post(f"{AUTH}/logout", headers=bearer(tokens))

        assert (answer.status_code, answer.json["data"]) == (200, {"signed_out": True, "sessions_ended": 1})
        refused(me(client, tokens), 401, "UNAUTHENTICATED")
        refused(client.post(f"{AUTH}/refresh", json={"refresh_token": tokens["refresh_token"]}), 401, "UNAUTHENTICATED")
        assert me(client, other).status_code == 200
        assert audited(engine)[-1] == "session.signed_out"

    def test_everywhere_ends_them_all(self, client, admin, login):
        opened = [login() for _ in range(3)]

        answer = client.post(f"{AUTH}/logout", json={"everywhere": True}, headers=bearer(opened[0]))

        assert answer.json["data"]["sessions_ended"] == 3
        assert [me(client, tokens).status_code for tokens in opened] == [401] * 3

    @pytest.mark.parametrize("body", [{"everywhere": "yes"}, {"everywhere": 1}, {"else": True}])
    def test_anything_else_in_the_body_is_a_422(self, client, admin, login, body):
        refused(client.post(f"{AUTH}/logout", json=body, headers=bearer(login())), 422, "VALIDATION_ERROR")
