"""Roles as people see and change them."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.audit.models import AuditEntry
from domain.identity.models import Admin
from domain.roles.models import Role
from tests.factories import make_admin, make_role

pytestmark = pytest.mark.parametrize(
    "database_url", ["sqlite"], indirect=True
)  # the rules are tested on both, in tests/domain and tests/api


@pytest.fixture
def ines(enrolled, sign_in, engine):
    """Sees roles and admins, and may change roles within what she holds; her last code is a while ago."""
    with Session(engine, expire_on_commit=False) as session:
        role = make_role(session, "roles:list", "roles:manage", "refunds:list", "reviews:list", name="Desk lead")
        session.commit()
    return sign_in(enrolled(name="Ines Prado", email="ines@example.com", role=role))


class TestTheMatrix:
    def test_it_shows_every_role_and_spells_everything(self, mira, made):
        made(make_role, "refunds:list", name="<script>alert(1)</script>")
        page = mira.open("/roles").text
        assert page.count('scope="col"') == 7
        assert "&lt;script&gt;alert(1)" in page and "<script>alert" not in page
        assert "Yes, everything" in page
        assert "Approve, reject and retry refunds" in page

    def test_a_search_narrows_the_permissions(self, mira):
        part = mira.open("/roles?q=REFUNDS:", partial=True).text
        assert "Approve, reject and retry refunds" in part and "List vendors" not in part
        assert "<!doctype html>" not in part
        assert "No permission holds" in mira.open("/roles?q=%3Cb%3E\x00").text

    def test_it_warns_until_two_can_give_the_approvals_of_a_large_refund(self, mira, made, enrolled):
        assert "Only one admin may approve refunds" in mira.open("/roles").text
        second = made(make_admin)
        assert "only one of them has two-step sign-in" in mira.open("/roles").text
        enrolled(email="third@example.com")
        assert "Large refunds cannot" not in mira.open("/roles").text
        assert second.name in mira.open("/roles/can/refunds:approve").text


class TestOneRole:
    def test_its_page_says_what_it_allows_and_who_holds_it(self, mira, omar):
        page = mira.open("/roles/finance_admin").text
        assert "Approve, reject and retry refunds" in page and "Omar Haddad" in page and "System role" in page
        assert "/roles/finance_admin/delete" not in page
        assert mira.open("/roles/nobody").status_code == mira.open("/roles/%00").status_code == 404

    def test_two_are_compared(self, mira):
        page = mira.open("/roles/compare?a=finance_admin&b=support_agent").text
        assert 'Only Finance Admin <span class="count">9' in page
        assert 'Both <span class="count">1' in page
        assert mira.open("/roles/compare").status_code == 200
        assert mira.open("/roles/compare?a=nobody").status_code == 404


class TestChanging:
    def test_a_role_is_made_copied_from_another_changed_and_deleted(self, mira, look):
        form = mira.form("/roles/new?like=content_moderator")
        assert mira.send(form, name="Review desk", permissions=["reviews:list", "reviews:hide"]).status_code == 303
        assert look.get(Role, "review_desk").permissions == ["reviews:list", "reviews:hide"]

        form = mira.form("/roles/review_desk/change")
        assert mira.send(form, permissions="*", can_be_assigned=None).status_code == 303
        assert (look.get(Role, "review_desk").permissions, look.get(Role, "review_desk").can_be_assigned) == (["*"], False)

        gone = mira.send(mira.form("/roles/review_desk/delete", partial=True), partial=True)
        assert (gone.status_code, gone.headers["HX-Redirect"]) == (204, "/roles")
        assert look.all(select(Role).where(Role.id == "review_desk")) == []

    def test_what_is_wrong_is_said_at_its_field_and_what_was_typed_stays(self, mira):
        form = mira.form("/roles/new")
        refused = mira.send(form, name="Typed name", description="x" * 501)
        assert refused.status_code == 422
        assert "at most 500" in refused.text and 'value="Typed name"' in refused.text
        refused = mira.send(form, name="Typed name", description="", permissions=None)
        assert "Choose at least one permission." in refused.text

    def test_a_form_older_than_the_last_change_undoes_nothing(self, mira, look):
        mira.send(mira.form("/roles/new"), name="Review desk", permissions="reviews:list")
        stale = mira.form("/roles/review_desk/change")
        mira.send(mira.form("/roles/review_desk/change"), permissions="reviews:hide")

        refused = mira.send(stale, permissions="reviews:remove")
        assert (refused.status_code, "This role has changed" in refused.text) == (409, True)
        assert look.get(Role, "review_desk").permissions == ["reviews:hide"]

    def test_it_asks_for_a_fresh_code_and_gives_no_more_than_one_holds(self, ines, code, look):
        form = ines.form("/roles/new")
        assert 'value="refunds:approve" disabled' in ines.open("/roles/new").text
        refused = ines.send(form, name="Reading", permissions="refunds:list")
        assert (refused.status_code, "Enter a fresh code" in refused.text) == (403, True)

        form = ines.find_form(refused, "/roles/new")
        assert ines.send(form, name="Reading", permissions="refunds:list", mfa_code=code()).status_code == 303
        too_much = ines.send(ines.form("/roles/new"), name="More", permissions=["refunds:list", "refunds:approve"])
        assert (too_much.status_code, "do not hold yourself: refunds:approve" in too_much.text) == (403, True)
        assert "more" not in look.all(select(Role.id))

    def test_a_role_that_somebody_holds_is_not_deleted(self, mira, ines, look):
        role = look.all(select(Admin.role_id).where(Admin.email == "ines@example.com"))[0]
        page = mira.open(f"/roles/{role}/delete").text
        assert "1 admin holds it" in page and "Delete role" not in page


def test_a_permission_taken_away_closes_the_page_at_the_next_click(mira, ines, look):
    assert ines.open("/roles").status_code == 200
    role = ines.admin.role_id
    assert mira.send(mira.form(f"/roles/{role}/change"), permissions="reviews:list").status_code == 303
    assert ines.open("/roles").status_code == 403
    assert look.all(select(AuditEntry.after).where(AuditEntry.action == "role.changed")) == [{"permissions": ["reviews:list"]}]
