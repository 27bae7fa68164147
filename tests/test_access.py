"""Every door is locked: each role gets through those that are listed for it and 403 from all others, and a new route fails here until
it is listed."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from domain.access import Permission
from domain.audit.models import AuditEntry
from domain.db import now
from domain.identity import sessions
from domain.identity.models import AdminSession, Door
from tests.factories import make_admin, make_role
from tests.system_roles import SYSTEM_ROLES
from web.auth import identity

ANYBODY = {
    "api-docs.openapi_json",
    "api_docs.index",
    "api_docs.static",
    "auth.login",
    "auth.refresh",
    "health.healthz",
    "health.metrics",  # METRICS_TOKEN is what admits
    "health.readyz",
    "portal.assets.static",
    "portal.auth.enter",
    "portal.auth.sign_in",
    "portal.invitation.accept",  # the token in its address is what admits
    "portal.invitation.show",
    "webhooks.razorpay",  # the signature over the body is what admits
    "webhooks.stripe",
}
HALF_SIGNED_IN = {"portal.auth.second_step", "portal.auth.sign_out", "portal.auth.verify"}
ANY_ADMIN = {
    "auth.logout",
    "auth.me",
    "auth.second_step",
    "jobs.cancel",  # the domain admits the job's creator, and others with their permission
    "jobs.delete",
    "jobs.result",
    "jobs.retry",
    "jobs.show",
    "portal.account.change_password",
    "portal.account.choose_time_zone",
    "portal.account.password",
    "portal.account.recovery_codes",
    "portal.account.renew_recovery_codes",
    "portal.account.show",
    "portal.account.sign_out_everywhere",
    "portal.account.stay",
    "portal.account.turn_on",
    "portal.account.two_step",
    "portal.help.keys",
    "portal.home",  # each part of it is for whoever has its permission
    "portal.home_now",
    "portal.jobs.cancel",
    "portal.jobs.cancel_form",
    "portal.jobs.delete",
    "portal.jobs.delete_form",
    "portal.jobs.now_one",
    "portal.jobs.result",
    "portal.jobs.retry",
    "portal.jobs.retry_form",
    "portal.jobs.show",
}
ADMIN_WITH = {
    "admins.change": Permission.ADMINS_MANAGE,
    "admins.disable": Permission.ADMINS_MANAGE,
    "admins.enable": Permission.ADMINS_MANAGE,
    "admins.index": Permission.ADMINS_LIST,
    "admins.reset_mfa": Permission.ADMINS_MANAGE,
    "admins.show": Permission.ADMINS_LIST,
    "audit.chain": Permission.AUDIT_LIST,
    "audit.index": Permission.AUDIT_LIST,
    "audit.show": Permission.AUDIT_LIST,
    "audit.verify": Permission.AUDIT_LIST,
    "backups.backup": Permission.SYSTEM_BACKUP,
    "backups.index": Permission.SYSTEM_BACKUP,
    "backups.show": Permission.SYSTEM_BACKUP,
    "backups.verify": Permission.SYSTEM_BACKUP,
    "invitations.invite": Permission.ADMINS_MANAGE,
    "invitations.resend": Permission.ADMINS_MANAGE,
    "invitations.waiting": Permission.ADMINS_LIST,
    "invitations.withdraw": Permission.ADMINS_MANAGE,
    "jobs.index": Permission.JOBS_LIST,
    "jobs.start": Permission.ANALYTICS_VIEW,
    "payments.refund_payment": Permission.PAYMENTS_REFUND,
    "permissions.catalogue": Permission.ROLES_LIST,
    "permissions.who_can": Permission.ROLES_LIST,
    "portal.admins.disable": Permission.ADMINS_MANAGE,
    "portal.admins.disable_form": Permission.ADMINS_MANAGE,
    "portal.admins.enable": Permission.ADMINS_MANAGE,
    "portal.admins.enable_form": Permission.ADMINS_MANAGE,
    "portal.admins.give_role": Permission.ADMINS_MANAGE,
    "portal.admins.give_role_form": Permission.ADMINS_MANAGE,
    "portal.admins.index": Permission.ADMINS_LIST,
    "portal.admins.invite": Permission.ADMINS_MANAGE,
    "portal.admins.invite_form": Permission.ADMINS_MANAGE,
    "portal.admins.resend": Permission.ADMINS_MANAGE,
    "portal.admins.resend_form": Permission.ADMINS_MANAGE,
    "portal.admins.reset_mfa": Permission.ADMINS_MANAGE,
    "portal.admins.reset_mfa_form": Permission.ADMINS_MANAGE,
    "portal.admins.show": Permission.ADMINS_LIST,
    "portal.admins.withdraw": Permission.ADMINS_MANAGE,
    "portal.admins.withdraw_form": Permission.ADMINS_MANAGE,
    "portal.audit.export": Permission.AUDIT_LIST,
    "portal.audit.export_form": Permission.AUDIT_LIST,
    "portal.audit.index": Permission.AUDIT_LIST,
    "portal.audit.show": Permission.AUDIT_LIST,
    "portal.audit.verify": Permission.AUDIT_LIST,
    "portal.backups.create": Permission.SYSTEM_BACKUP,
    "portal.backups.create_form": Permission.SYSTEM_BACKUP,
    "portal.backups.index": Permission.SYSTEM_BACKUP,
    "portal.backups.now": Permission.SYSTEM_BACKUP,
    "portal.backups.now_one": Permission.SYSTEM_BACKUP,
    "portal.backups.show": Permission.SYSTEM_BACKUP,
    "portal.backups.verify": Permission.SYSTEM_BACKUP,
    "portal.health.index": Permission.SYSTEM_HEALTH,
    "portal.health.now": Permission.SYSTEM_HEALTH,
    "portal.jobs.cancel_several": Permission.JOBS_LIST,
    "portal.jobs.cancel_several_form": Permission.JOBS_LIST,
    "portal.jobs.decide": Permission.REFUNDS_APPROVE,
    "portal.jobs.decide_form": Permission.REFUNDS_APPROVE,
    "portal.jobs.delete_several": Permission.JOBS_LIST,
    "portal.jobs.delete_several_form": Permission.JOBS_LIST,
    "portal.jobs.export": Permission.ANALYTICS_VIEW,
    "portal.jobs.export_form": Permission.ANALYTICS_VIEW,
    "portal.jobs.export_referrals": Permission.ANALYTICS_VIEW,
    "portal.jobs.export_referrals_form": Permission.ANALYTICS_VIEW,
    "portal.jobs.export_refunds": Permission.ANALYTICS_VIEW,
    "portal.jobs.export_refunds_form": Permission.ANALYTICS_VIEW,
    "portal.jobs.failures": Permission.JOBS_LIST,
    "portal.jobs.index": Permission.JOBS_LIST,
    "portal.jobs.now": Permission.JOBS_LIST,
    "portal.jobs.retry_failures": Permission.JOBS_LIST,
    "portal.referrals.index": Permission.REFERRALS_LIST,
    "portal.referrals.show": Permission.REFERRALS_LIST,
    "portal.refunds.approve": Permission.REFUNDS_APPROVE,
    "portal.refunds.approve_form": Permission.REFUNDS_APPROVE,
    "portal.refunds.index": Permission.REFUNDS_LIST,
    "portal.refunds.now": Permission.REFUNDS_LIST,
    "portal.refunds.reject": Permission.REFUNDS_APPROVE,
    "portal.refunds.reject_form": Permission.REFUNDS_APPROVE,
    "portal.refunds.retry": Permission.REFUNDS_APPROVE,
    "portal.refunds.selection": Permission.REFUNDS_LIST,
    "portal.refunds.show": Permission.REFUNDS_LIST,
    "portal.restores.acknowledge": Permission.SYSTEM_RESTORE,
    "portal.restores.acknowledge_form": Permission.SYSTEM_RESTORE,
    "portal.restores.ask": Permission.SYSTEM_RESTORE,
    "portal.restores.check": Permission.SYSTEM_RESTORE,
    "portal.restores.now": Permission.SYSTEM_BACKUP,
    "portal.restores.pick": Permission.SYSTEM_RESTORE,
    "portal.restores.restore": Permission.SYSTEM_RESTORE,
    "portal.restores.rollback": Permission.SYSTEM_RESTORE,
    "portal.restores.rollback_form": Permission.SYSTEM_RESTORE,
    "portal.restores.show": Permission.SYSTEM_BACKUP,
    "portal.roles.change": Permission.ROLES_MANAGE,
    "portal.roles.change_form": Permission.ROLES_MANAGE,
    "portal.roles.compare": Permission.ROLES_LIST,
    "portal.roles.create": Permission.ROLES_MANAGE,
    "portal.roles.create_form": Permission.ROLES_MANAGE,
    "portal.roles.delete": Permission.ROLES_MANAGE,
    "portal.roles.delete_form": Permission.ROLES_MANAGE,
    "portal.roles.index": Permission.ROLES_LIST,
    "portal.roles.show": Permission.ROLES_LIST,
    "portal.roles.who_can": Permission.ROLES_LIST,
    "referrals.index": Permission.REFERRALS_LIST,
    "referrals.show": Permission.REFERRALS_LIST,
    "refunds.approve": Permission.REFUNDS_APPROVE,
    "refunds.index": Permission.REFUNDS_LIST,
    "refunds.reject": Permission.REFUNDS_APPROVE,
    "refunds.retry": Permission.REFUNDS_APPROVE,
    "refunds.show": Permission.REFUNDS_LIST,
    "restores.acknowledge": Permission.SYSTEM_RESTORE,
    "restores.check": Permission.SYSTEM_RESTORE,
    "restores.index": Permission.SYSTEM_RESTORE,
    "restores.restore": Permission.SYSTEM_RESTORE,
    "restores.rollback": Permission.SYSTEM_RESTORE,
    "restores.show": Permission.SYSTEM_RESTORE,
    "roles.change": Permission.ROLES_MANAGE,
    "roles.create": Permission.ROLES_MANAGE,
    "roles.delete": Permission.ROLES_MANAGE,
    "roles.index": Permission.ROLES_LIST,
    "roles.show": Permission.ROLES_LIST,
    "system.health": Permission.SYSTEM_HEALTH,
}
OR_WITH = {
    "backups.index": Permission.SYSTEM_RESTORE,
    "backups.show": Permission.SYSTEM_RESTORE,
    "backups.verify": Permission.SYSTEM_RESTORE,
    "jobs.index": Permission.JOBS_LIST_ALL,
    "jobs.start": (Permission.REFUNDS_APPROVE, Permission.AUDIT_LIST),
    "portal.backups.index": Permission.SYSTEM_RESTORE,
    "portal.backups.now": Permission.SYSTEM_RESTORE,
    "portal.backups.now_one": Permission.SYSTEM_RESTORE,
    "portal.backups.show": Permission.SYSTEM_RESTORE,
    "portal.backups.verify": Permission.SYSTEM_RESTORE,
    "portal.jobs.cancel_several": Permission.JOBS_LIST_ALL,
    "portal.jobs.cancel_several_form": Permission.JOBS_LIST_ALL,
    "portal.jobs.delete_several": Permission.JOBS_LIST_ALL,
    "portal.jobs.delete_several_form": Permission.JOBS_LIST_ALL,
    "portal.jobs.failures": Permission.JOBS_LIST_ALL,
    "portal.jobs.index": Permission.JOBS_LIST_ALL,
    "portal.jobs.now": Permission.JOBS_LIST_ALL,
    "portal.jobs.retry_failures": Permission.JOBS_LIST_ALL,
    "restores.index": Permission.SYSTEM_BACKUP,
    "restores.show": Permission.SYSTEM_BACKUP,
    "portal.restores.now": Permission.SYSTEM_RESTORE,
    "portal.restores.show": Permission.SYSTEM_RESTORE,
}

FRESH_MFA = {  # at the door of the API; the portal's forms ask inside, so that what was typed stays
    "admins.change",
    "admins.disable",
    "admins.enable",
    "admins.reset_mfa",
    "invitations.invite",
    "invitations.resend",
    "invitations.withdraw",
    "roles.change",
    "roles.create",
    "roles.delete",
}
ENDS_THE_SESSION = {"auth.logout", "portal.account.sign_out_everywhere"}

Call = Callable[[Rule], TestResponse]


@pytest.fixture
def stranger(app: Flask) -> Call:
    return lambda rule: call(app, app.test_client(), rule, {})


@pytest.fixture
def caller(app: Flask, engine: Engine) -> Callable[..., Call]:
    """`caller("finance_admin")`: calls a route as an admin of this role, with the token or the cookie that its door reads.

    Without a role: as one whose role has no permission at all.
    """

    def sign_in(role: str | None = None, *, fresh_mfa: bool = True) -> Call:
        client, mfa_at = app.test_client(), now() if fresh_mfa else None
        with app.app_context(), Session(engine, expire_on_commit=False) as session:
            admin = make_admin(session, role=role or make_role(session), totp_confirmed_at=now())
            row = AdminSession(admin_id=admin.id, door=Door.API, expires_at=now() + timedelta(hours=1), mfa_at=mfa_at)
            session.add(row)
            _, secret = sessions.open_session(session, admin.id, Door.PORTAL, sessions.visitor(), mfa_at=mfa_at)
            session.commit()
            bearer = {"Authorization": f"Bearer {identity().tokens.sign(row)}", "Idempotency-Key": str(uuid4())}
        with client.session_transaction() as cookie:
            cookie["_user_id"], cookie["csrf_token"] = secret, "0" * 40
        csrf = {"X-CSRFToken": URLSafeTimedSerializer(app.secret_key, salt="wtf-csrf-token").dumps("0" * 40)}
        return lambda rule: call(app, client, rule, bearer if rule.rule.startswith("/api/") else csrf)

    return sign_in


@pytest.fixture
def powerless(caller: Callable[..., Call]) -> Call:
    return caller()


def call(app: Flask, client: FlaskClient, rule: Rule, headers: dict[str, str]) -> TestResponse:
    with app.test_request_context():
        _, url = rule.build({name: uuid4() for name in rule.arguments})
    return client.open(url, method=method_of(rule), headers=headers)


def method_of(rule: Rule) -> str:
    return "GET" if "GET" in rule.methods else min(rule.methods - {"HEAD", "OPTIONS"})


def asked_for(endpoint: str) -> tuple[Permission, ...]:
    """Any one of these opens the door; none: any admin may."""
    if endpoint in ANY_ADMIN:
        return ()
    others = OR_WITH.get(endpoint, ())
    return (ADMIN_WITH[endpoint], *(others if isinstance(others, tuple) else (others,)))


def rules(app: Flask) -> list[Rule]:
    return [rule for rule in app.url_map.iter_rules() if rule.endpoint in ADMIN_WITH]


def test_every_route_is_listed_once(app: Flask):
    routes = {rule.endpoint for rule in app.url_map.iter_rules()}

    assert routes == ANYBODY | HALF_SIGNED_IN | ANY_ADMIN | set(ADMIN_WITH)
    assert len(routes) == len(ANYBODY) + len(HALF_SIGNED_IN) + len(ANY_ADMIN) + len(ADMIN_WITH)


def test_every_route_asks_for_what_is_listed(app: Flask, subtests):
    listed = {endpoint: asked_for(endpoint) for endpoint in set(ADMIN_WITH) | ANY_ADMIN}
    for endpoint, view in app.view_functions.items():
        with subtests.test(endpoint=endpoint):
            assert getattr(view, "needs", None) == listed.get(endpoint)


def test_an_admin_without_permissions_is_refused_everywhere_and_each_refusal_is_audited(app: Flask, powerless: Call, engine, subtests):
    for rule in rules(app):
        with subtests.test(endpoint=rule.endpoint):
            refused = powerless(rule)
            assert refused.status_code == 403, refused.text[:300]
            assert ADMIN_WITH[rule.endpoint].value in refused.text

    with Session(engine) as session:
        entries = session.scalars(select(AuditEntry).where(AuditEntry.action == "access.refused")).all()
    assert sorted((entry.details["method"], entry.details["path"]) for entry in entries) == sorted(
        (method_of(rule), rule.rule) for rule in rules(app)
    )


@pytest.mark.parametrize("role", [None, *SYSTEM_ROLES])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_each_role_gets_through_each_door_that_is_listed_for_it_and_through_no_other(app: Flask, caller, role, subtests):
    held, calls = SYSTEM_ROLES.get(role, frozenset()), caller(role)
    for rule in app.url_map.iter_rules():
        if rule.endpoint not in set(ADMIN_WITH) | ANY_ADMIN - ENDS_THE_SESSION:
            continue
        needed = asked_for(rule.endpoint)
        with subtests.test(role=role, endpoint=rule.endpoint):
            answer = calls(rule)
            assert answer.status_code != 401 and "/login" not in answer.headers.get("Location", "")
            if not needed or "*" in held or {permission.value for permission in needed} & held:
                assert "required_permission" not in answer.text and answer.status_code != 403, answer.text[:300]
            else:
                assert answer.status_code == 403, answer.text[:300]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_super_admin_whose_second_step_is_old_is_asked_for_it_at_each_door_listed(app: Flask, caller, subtests):
    calls = caller("super_admin", fresh_mfa=False)
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        with subtests.test(endpoint=rule.endpoint):
            assert getattr(view, "_apidoc", {}).get("access", {}).get("mfa", False) == (rule.endpoint in FRESH_MFA)
            if rule.endpoint in FRESH_MFA:
                refused = calls(rule)
                assert (refused.status_code, refused.json["error"]["code"]) == (403, "MFA_REQUIRED")


def test_a_stranger_gets_nowhere(app: Flask, stranger: Call, engine, subtests):
    for rule in app.url_map.iter_rules():
        if rule.endpoint in set(ADMIN_WITH) | ANY_ADMIN:
            with subtests.test(endpoint=rule.endpoint):
                refused = stranger(rule)
                if rule.rule.startswith("/api/"):
                    assert refused.status_code == 401
                else:
                    assert refused.status_code in (302, 303, 401), refused.text[:300]
                    assert "/login" in refused.headers.get("Location", refused.headers.get("HX-Redirect", ""))

    with Session(engine) as session:
        assert session.scalars(select(AuditEntry)).all() == []


def test_a_token_opens_no_page_and_a_cookie_no_endpoint_of_the_api(app: Flask, engine: Engine):
    client = app.test_client()
    with app.app_context(), Session(engine, expire_on_commit=False) as session:
        admin = make_admin(session, role="super_admin")
        row = AdminSession(admin_id=admin.id, door=Door.API, expires_at=now() + timedelta(hours=1), mfa_at=now())
        session.add(row)
        _, secret = sessions.open_session(session, admin.id, Door.PORTAL, sessions.visitor())
        session.commit()
        token = identity().tokens.sign(row)

    assert client.get("/refunds", headers={"Authorization": f"Bearer {token}"}).status_code == 302
    with client.session_transaction() as cookie:
        cookie["_user_id"] = secret
    assert client.get("/api/v1/admin/me").status_code == 401
    assert client.get("/refunds").status_code == 200
