"""Roles over the API: what the ticket asks for, custom roles, and that each change acts at once."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.access import Permission
from domain.audit.models import AuditEntry
from domain.db import now
from domain.roles.models import Role
from tests.factories import make_admin, make_role
from tests.system_roles import SYSTEM_ROLES

ROLES = "/api/v1/admin/roles"
WISH = {"name": "Regional finance", "description": "For the region", "permissions": ["refunds:approve", "refunds:list", "refunds:list"]}


@pytest.fixture
def chief(bearer, engine):
    """The headers of a super admin whose second factor is fresh."""
    with Session(engine, expire_on_commit=False) as session:
        admin = make_admin(session, role="super_admin", name="Mira Sen")
        session.commit()
    return bearer(admin=admin, fresh_mfa=True)


@pytest.fixture
def call(client, chief):
    def call(method, path="", headers=chief, **options):
        answer = client.open(f"{ROLES}{path}", method=method, headers=headers, **options)
        return answer.status_code, answer.json and answer.json.get("data", answer.json.get("error"))

    return call


class TestReading:
    def test_the_list_is_the_tickets_field_by_field(self, client, engine, bearer):
        with Session(engine) as session:
            for active in (True, True, False):
                make_admin(session, role="finance_admin", disabled_at=None if active else now())
            session.commit()

        answer = client.get(ROLES, headers=bearer("roles:list")).json

        rows = {row["id"]: row for row in answer["data"]}
        assert answer["data"][0]["id"] == "super_admin"
        assert {id: set(rows[id]["permissions"]) for id in SYSTEM_ROLES} == SYSTEM_ROLES
        assert {name: rows["finance_admin"][name] for name in ("name", "is_system_role", "can_be_assigned", "user_count")} == {
            "name": "Finance Admin",
            "is_system_role": True,
            "can_be_assigned": True,
            "user_count": 2,
        }
        assert answer["meta"]["total_roles"] == len(answer["data"]) == 6
        assert answer["meta"]["total_permissions"] == len(Permission)

    def test_one_names_its_holders_to_those_who_may_see_admins(self, client, engine, bearer):
        with Session(engine) as session:
            make_admin(session, role="finance_admin", email="asha@example.com", name="Asha", disabled_at=now())
            session.commit()

        seen = client.get(f"{ROLES}/finance_admin", headers=bearer("roles:list", "admins:list")).json["data"]
        unseen = client.get(f"{ROLES}/finance_admin", headers=bearer("roles:list")).json["data"]

        assert (seen["user_count"], seen["holder_count"]) == (unseen["user_count"], unseen["holder_count"]) == (0, 1)
        assert [(admin["email"], admin["active"]) for admin in seen["admins"]] == [("asha@example.com", False)]
        assert unseen["admins"] is None

    def test_the_catalogue_says_what_each_permission_is_and_who_can(self, client, engine, bearer):
        headers = bearer("roles:list", "admins:list")
        with Session(engine) as session:
            make_admin(session, role="super_admin", email="mira@example.com")
            make_admin(session, role="finance_admin", email="asha@example.com", disabled_at=now())
            session.commit()

        listed = {each["id"]: each for each in client.get("/api/v1/admin/permissions", headers=headers).json["data"]}
        one = client.get("/api/v1/admin/permissions/refunds:approve", headers=headers).json["data"]

        assert len(listed) == len(Permission)
        assert all(each["description"] for each in listed.values())
        assert listed["refunds:approve"]["roles"] == one["roles"] == ["super_admin", "finance_admin"]
        assert (one["user_count"], [admin["email"] for admin in one["admins"]]) == (1, ["mira@example.com"])
        missing = client.get("/api/v1/admin/permissions/refund:approve", headers=headers)
        assert (missing.status_code, missing.json["error"]["message"]) == (
            404,
            "There is no such permission. Did you mean refunds:approve?",
        )


class TestCustomRoles:
    def test_one_is_made_changed_and_deleted_and_each_is_audited(self, call, engine):
        status, made = call("POST", json=WISH)
        assert (status, made["id"], made["permissions"]) == (201, "regional_finance", ["refunds:list", "refunds:approve"])
        assert (made["is_system_role"], made["can_be_assigned"], made["user_count"], made["admins"]) == (False, True, 0, [])

        status, changed = call("PATCH", "/regional_finance", json={"permissions": ["*"], "can_be_assigned": False})
        assert (status, changed["permissions"], changed["name"]) == (200, ["*"], "Regional finance")
        assert call("PATCH", "/regional_finance", json={"can_be_assigned": False})[0] == 200
        assert call("DELETE", "/regional_finance") == (204, None)
        assert call("GET", "/regional_finance")[0] == 404

        with Session(engine) as session:
            entries = session.scalars(select(AuditEntry).where(AuditEntry.object_id == made["id"]).order_by(AuditEntry.sequence)).all()
        assert [entry.action for entry in entries] == ["role.created", "role.changed", "role.deleted"]
        assert entries[1].before == {"permissions": ["refunds:list", "refunds:approve"], "can_be_assigned": True}
        assert entries[1].after == {"permissions": ["*"], "can_be_assigned": False}

    @pytest.mark.parametrize("method", ["PATCH", "DELETE"])
    def test_the_systems_own_stay_as_they_are(self, call, method):
        status, error = call(method, "/finance_admin", **({"json": {"permissions": ["*"]}} if method == "PATCH" else {}))
        assert (status, error["code"]) == (403, "SYSTEM_ROLE")

    def test_one_that_somebody_holds_stays(self, call, engine):
        with Session(engine) as session:
            role = make_role(session, "refunds:list").id
            make_admin(session, role=session.get(Role, role), disabled_at=now())
            session.commit()

        status, error = call("DELETE", f"/{role}")
        assert (status, error["code"], error["holder_count"]) == (409, "ROLE_IN_USE", 1)

    def test_two_are_not_called_the_same(self, call):
        call("POST", json=WISH)
        assert call("POST", json={**WISH, "name": " regional FINANCE "})[1]["code"] == "ROLE_EXISTS"
        assert call("POST", json={**WISH, "name": "Other", "id": "finance_admin"})[1]["code"] == "ROLE_EXISTS"
        assert call("PATCH", "/regional_finance", json={"name": "Finance Admin"})[1]["code"] == "ROLE_EXISTS"
        assert call("PATCH", "/regional_finance", json={"name": "REGIONAL finance"})[0] == 200

    @pytest.mark.parametrize(
        ("wish", "field", "said"),
        [
            ({"permissions": ["refund:approve"]}, "permissions.0", "Did you mean refunds:approve?"),
            ({"permissions": ["refunds:list", "refunds:*"]}, "permissions.1", "no pattern but *"),
            ({"permissions": []}, "permissions", "at least one"),
            ({"permissions": "*"}, "permissions", "Send a list"),
            ({"permission": ["*"]}, "permission", "no such field"),
            ({"name": "   "}, "name", "1 to 100"),
            ({"name": "two\nlines"}, "name", "one line"),
            ({"name": "Super\u200b Admin"}, "name", "without invisible ones"),
            ({"id": "Größe"}, "id", "small letters"),
        ],
    )
    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_what_is_wrong_says_what_to_write(self, call, wish, field, said):
        status, error = call("POST", json={**WISH, **wish})
        assert (status, error["code"], error["details"][0]["field"]) == (422, "VALIDATION_ERROR", field)
        assert said in error["details"][0]["message"]

    def test_nobody_grants_what_they_do_not_hold_nor_touches_a_role_that_may_more(self, call, bearer, engine):
        manager = bearer("roles:manage", "refunds:list", fresh_mfa=True)
        with Session(engine) as session:
            more = make_role(session, "refunds:list", "refunds:approve").id
            session.commit()

        for method, path, body in [
            ("POST", "", WISH),
            ("POST", "", {**WISH, "permissions": ["*"]}),
            ("PATCH", f"/{more}", {"permissions": ["refunds:list"]}),
            ("PATCH", f"/{more}", {"name": "Mine now"}),
            ("DELETE", f"/{more}", None),
        ]:
            status, error = call(method, path, manager, json=body)
            assert (status, error["code"]) == (403, "FORBIDDEN"), (method, path)
            assert error["required_permission"] in ("refunds:approve", "*")
        assert call("POST", headers=manager, json={**WISH, "permissions": ["refunds:list"]})[0] == 201
        assert call("PATCH", "/regional_finance", manager, json={"permissions": ["refunds:approve"]})[0] == 403

    def test_each_change_takes_a_fresh_second_factor(self, call, bearer):
        stale = bearer("*")
        for method, path, body in [("POST", "", WISH), ("PATCH", "/finance_admin", {"name": "x"}), ("DELETE", "/finance_admin", None)]:
            assert call(method, path, stale, json=body)[1]["code"] == "MFA_REQUIRED"

    def test_a_key_makes_it_happen_once(self, call, chief):
        keyed = {**chief, "Idempotency-Key": "one"}
        assert call("POST", headers=keyed, json=WISH) == call("POST", headers=keyed, json=WISH)
        assert call("DELETE", "/regional_finance", keyed) == call("DELETE", "/regional_finance", keyed) == (204, None)


def test_a_permission_taken_from_a_role_is_gone_at_the_holders_next_call(call, client, engine, bearer):
    with Session(engine, expire_on_commit=False) as session:
        role = make_role(session, "refunds:list")
        admin = make_admin(session, role=role)
        session.commit()
    token = bearer(admin=admin)
    assert client.get("/api/v1/admin/refunds", headers=token).status_code == 200

    call("PATCH", f"/{role.id}", json={"permissions": ["reviews:list"]})
    assert client.get("/api/v1/admin/refunds", headers=token).status_code == 403

    call("PATCH", f"/{role.id}", json={"permissions": ["refunds:list"]})
    assert client.get("/api/v1/admin/refunds", headers=token).status_code == 200
