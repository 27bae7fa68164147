"""Admins over the API: listed, invited, disabled, given a role; each change acts on the next call."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.audit.models import AuditEntry
from domain.db import now
from domain.identity.models import Admin, Invitation
from domain.jobs.models import Job
from tests.factories import make_admin, make_role

ADMINS, INVITATIONS = "/api/v1/admin/admins", "/api/v1/admin/invitations"
RAVI = {"email": "Ravi@Example.com", "name": "Ravi Menon", "role": "support_agent"}


@pytest.fixture
def add(engine):
    def add(*permissions, **fields):
        with Session(engine, expire_on_commit=False) as session:
            admin = make_admin(session, *permissions, **fields)
            session.commit()
            return admin

    return add


@pytest.fixture
def mira(add):
    return add(role="super_admin", name="Mira Sen", email="mira@example.com")


@pytest.fixture
def call(client, bearer, mira):
    chief = bearer(admin=mira, fresh_mfa=True)

    def call(method, path, headers=chief, **options):
        answer = client.open(path, method=method, headers=headers, **options)
        return answer.status_code, answer.json and answer.json.get("data", answer.json.get("error"))

    return call


def changes(engine, object_id):
    with Session(engine) as session:
        entries = session.scalars(select(AuditEntry).where(AuditEntry.object_id == str(object_id)).order_by(AuditEntry.sequence))
        return [(entry.action, entry.before, entry.after) for entry in entries]


class TestTheList:
    def test_it_is_filtered_and_its_counts_follow(self, client, bearer, add, mira):
        asha = add(name="Asha Rao", email="asha@example.com", totp_confirmed_at=now())
        add(name="Ben Katz", email="ben@example.com", disabled_at=now())
        headers = bearer("admins:list")

        def listed(query):
            answer = client.get(f"{ADMINS}?{query}", headers=headers).json
            return sorted(row["name"] for row in answer["data"] if row["name"][0] in "ABM"), answer["meta"]["summary"]

        assert listed("role=finance_admin") == (["Asha Rao", "Ben Katz"], {"active": 1, "disabled": 1})
        assert listed("role=finance_admin&status=disabled") == (["Ben Katz"], {"active": 1, "disabled": 1})
        assert listed("q=ASHA@") == (["Asha Rao"], {"active": 1, "disabled": 0})
        one = client.get(f"{ADMINS}/{asha.id}", headers=headers).json["data"]
        assert (one["role"], one["status"], one["mfa_enrolled"], one["last_seen_at"]) == (
            {"id": "finance_admin", "name": "Finance Admin"}, "active", True, None,
        )  # fmt: skip
        assert "password" not in str(one)
        assert client.get(f"{ADMINS}?status=gone", headers=headers).status_code == 422


class TestGivingARole:
    def test_it_counts_from_the_next_call_on(self, call, client, bearer, add, engine):
        agent = add(role="support_agent")
        token = bearer(admin=agent)
        assert client.get("/api/v1/admin/jobs", headers=token).status_code == 403

        status, changed = call("PATCH", f"{ADMINS}/{agent.id}", json={"role": "finance_admin"})
        assert (status, changed["role"]["id"]) == (200, "finance_admin")
        assert client.get("/api/v1/admin/jobs", headers=token).status_code == 200
        assert client.get("/api/v1/admin/me", headers=token).json["data"]["role"]["id"] == "finance_admin"

        call("PATCH", f"{ADMINS}/{agent.id}", json={"role": "content_moderator"})
        assert client.get("/api/v1/admin/jobs", headers=token).status_code == 403
        assert changes(engine, agent.id)[0] == ("admin.role_changed", {"role_id": "support_agent"}, {"role_id": "finance_admin"})

    def test_the_last_super_admin_keeps_theirs(self, call, mira, add):
        status, error = call("PATCH", f"{ADMINS}/{mira.id}", json={"role": "finance_admin"})
        assert (status, error["code"]) == (409, "LAST_SUPER_ADMIN")

        add(role="super_admin")
        assert call("PATCH", f"{ADMINS}/{mira.id}", json={"role": "finance_admin"})[0] == 200

    def test_nobody_raises_themselves_or_others_above_what_they_hold(self, call, bearer, add, mira):
        manager, agent = add("admins:manage", "refunds:list"), add("refunds:list")
        token = bearer(admin=manager, fresh_mfa=True)

        for path, body in [
            (f"{ADMINS}/{manager.id}", {"role": "super_admin"}),
            (f"{ADMINS}/{agent.id}", {"role": "finance_admin"}),
            (f"{ADMINS}/{mira.id}", {"role": agent.role_id}),
        ]:
            assert call("PATCH", path, token, json=body)[1]["code"] == "FORBIDDEN"
        for act in ("disable", "enable", "reset-mfa"):
            assert call("POST", f"{ADMINS}/{mira.id}/{act}", token)[1]["code"] == "FORBIDDEN"
        assert call("POST", INVITATIONS, token, json={**RAVI, "role": "finance_admin"})[1]["code"] == "FORBIDDEN"
        assert call("PATCH", f"{ADMINS}/{agent.id}", token, json={"role": manager.role_id})[0] == 200

    def test_a_role_that_is_not_there_or_retired_says_which_are(self, call, add, engine):
        agent = add(role="support_agent")
        with Session(engine) as session:
            retired = make_role(session, can_be_assigned=False).id
            session.commit()
        for role in ("emperor", retired):
            status, error = call("PATCH", f"{ADMINS}/{agent.id}", json={"role": role})
            assert (status, error["details"][0]["field"]) == (422, "role")
            assert "Write one of content_moderator, finance_admin" in error["message"]


class TestShuttingOut:
    def test_a_disabled_admin_is_out_at_once_and_back_in_once_enabled(self, call, client, bearer, add, engine):
        agent = add(role="support_agent")
        token = bearer(admin=agent)

        assert call("POST", f"{ADMINS}/{agent.id}/disable")[1]["status"] == "disabled"
        assert client.get("/api/v1/admin/me", headers=token).status_code == 401
        assert call("POST", f"{ADMINS}/{agent.id}/enable")[1]["status"] == "active"
        assert client.get("/api/v1/admin/me", headers=token).status_code == 401
        assert client.get("/api/v1/admin/me", headers=bearer(admin=agent)).status_code == 200
        assert [action for action, _, _ in changes(engine, agent.id)] == ["admin.disabled", "admin.enabled"]

    def test_nobody_shuts_themselves_out(self, call, mira, add):
        add(role="super_admin")
        assert call("POST", f"{ADMINS}/{mira.id}/disable")[1]["code"] == "OWN_ACCOUNT"

    def test_a_lost_second_factor_is_taken_off_and_every_session_ends(self, call, client, bearer, add):
        agent = add(role="support_agent", totp_confirmed_at=now(), totp_secret="sealed")
        token = bearer(admin=agent)
        assert call("POST", f"{ADMINS}/{agent.id}/reset-mfa")[1]["mfa_enrolled"] is False
        assert client.get("/api/v1/admin/me", headers=token).status_code == 401

    def test_each_act_takes_a_fresh_second_factor(self, call, bearer, add, mira):
        stale, agent = bearer(admin=mira), add(role="support_agent")
        for method, path in [
            ("PATCH", f"{ADMINS}/{agent.id}"),
            ("POST", f"{ADMINS}/{agent.id}/disable"),
            ("POST", f"{ADMINS}/{agent.id}/enable"),
            ("POST", f"{ADMINS}/{agent.id}/reset-mfa"),
            ("POST", INVITATIONS),
        ]:
            assert call(method, path, stale, json={})[1]["code"] == "MFA_REQUIRED", path


class TestInviting:
    def test_an_invitation_is_listed_and_mailed_and_holds_no_secret(self, call, engine, mira):
        status, invited = call("POST", INVITATIONS, json=RAVI)

        assert (status, invited["email"], invited["role"]["id"], invited["invited_by"]) == (
            201, "ravi@example.com", "support_agent", "Mira Sen",
        )  # fmt: skip
        assert call("GET", INVITATIONS)[1] == [invited]
        with Session(engine) as session:
            row, job = session.scalars(select(Invitation)).one(), session.scalars(select(Job)).one()
            assert job.payload == {"notice": "admin_invited", "audience": "invited", "recipient_id": str(row.id)}
            assert not {row.token_hash, row.nonce} & set(str(invited).split("'"))
            assert session.scalars(select(Admin.email)).all() == [mira.email]
        assert call("GET", "/api/v1/admin/roles/support_agent")[1]["user_count"] == 0

    def test_one_address_has_one_invitation_and_one_admin(self, call, mira):
        call("POST", INVITATIONS, json=RAVI)
        assert call("POST", INVITATIONS, json={**RAVI, "email": "ravi@EXAMPLE.com"})[1]["code"] == "ALREADY_INVITED"
        assert call("POST", INVITATIONS, json={**RAVI, "email": mira.email})[1]["code"] == "EMAIL_TAKEN"

    def test_it_is_sent_again_and_withdrawn(self, call, engine):
        invited = call("POST", INVITATIONS, json=RAVI)[1]
        path = f"{INVITATIONS}/{invited['id']}"
        with Session(engine) as session:
            before = session.scalars(select(Invitation.token_hash)).one()

        again = call("POST", f"{path}/resend")[1]
        assert again["expires_at"] > invited["expires_at"]
        with Session(engine) as session:
            assert session.scalars(select(Invitation.token_hash)).one() != before
        assert call("DELETE", path) == (204, None)
        assert call("DELETE", path)[0] == call("POST", f"{path}/resend")[0] == 404
        assert call("GET", INVITATIONS)[1] == []
        assert [action for action, _, _ in changes(engine, invited["id"])] == [
            "admin.invited", "admin.invitation_resent", "admin.invitation_withdrawn",
        ]  # fmt: skip
        assert call("POST", INVITATIONS, json=RAVI)[0] == 201

    def test_a_role_somebody_is_invited_to_stays(self, call, engine):
        role = call("POST", "/api/v1/admin/roles", json={"name": "Night desk", "permissions": ["refunds:list"]})[1]["id"]
        invited = call("POST", INVITATIONS, json={**RAVI, "role": role})[1]

        assert call("DELETE", f"/api/v1/admin/roles/{role}")[1]["code"] == "ROLE_IN_USE"
        call("DELETE", f"{INVITATIONS}/{invited['id']}")
        assert call("DELETE", f"/api/v1/admin/roles/{role}")[0] == 204
