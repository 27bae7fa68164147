"""Roles and admins in a browser: from an invitation to a role of one's own making, and how the pages look."""

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from config import Config
from domain.identity.invitations import InvitationLinks
from domain.identity.models import Admin, Invitation
from domain.identity.sessions import hashed
from tests.browser.conftest import code_of_now
from tests.browser.looks import breaches, too_small_to_touch
from tests.factories import make_admin, make_invitation, make_role

pytestmark = pytest.mark.browser


@pytest.fixture
def mira(house):
    return house.admin(name="Mira Sen", email="mira@example.com", role="super_admin")


def link_of(settings: Config, invitation: Invitation) -> str:
    return f"/invitation/{InvitationLinks(settings.derived_key('invitations'), '').token(invitation)}"


def test_somebody_is_invited_comes_in_and_is_given_a_role_made_for_them(house, visit, mira):
    page = visit(mira)
    page.goto("/admins")
    page.get_by_role("link", name="Invite", exact=True).click()
    page.get_by_label("E-mail").fill("ravi@example.com")
    page.get_by_label("Name").fill("Ravi Menon")
    page.get_by_role("dialog").get_by_label("Role").select_option("content_moderator")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#tab-invited .count")).to_have_text("1")
    expect(page.get_by_role("row", name="Ravi Menon")).to_contain_text("Sent")

    [invitation] = house.all(select(Invitation))
    guest = visit()
    guest.goto(link_of(house.settings, invitation))
    guest.get_by_label("Password").fill("four words to keep")
    guest.get_by_label("The same again").fill("four words to keep")
    guest.keyboard.press("Enter")
    expect(guest.get_by_role("heading", name="Set up two-step sign-in")).to_be_visible()

    page.goto("/roles")
    page.get_by_label("Search permissions").fill("refunds:")
    expect(page.get_by_role("rowheader", name="List vendors")).to_have_count(0)
    expect(page.get_by_label("Search permissions")).to_be_focused()
    page.get_by_role("link", name="New role").click()
    page.get_by_label("Name").fill("Refund desk")
    page.get_by_label("See the refund queue and each refund").check()
    page.get_by_role("button", name="Make the role").click()
    expect(page.get_by_role("heading", name="Refund desk")).to_be_visible()

    [ravi] = house.all(select(Admin).where(Admin.email == "ravi@example.com"))
    page.goto(f"/admins/{ravi.id}")
    page.locator("#act-give_role").click()
    page.get_by_role("dialog").get_by_label("Role").select_option("refund_desk")
    page.get_by_role("button", name="Give the role").click()
    expect(page.locator("dl.facts").first).to_contain_text("Refund desk")
    guest.goto("/refunds")
    expect(guest.get_by_role("heading", name="Refunds")).to_be_visible()

    page.locator("#act-disable").click()
    page.get_by_role("button", name="Disable").click()
    expect(page.locator("dl.facts").first).to_contain_text("Disabled")
    guest.reload()
    expect(guest.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_stale_second_step_is_asked_for_inside_the_dialog(house, visit, mira):
    other = house.make(make_admin, name="Omar Haddad")
    page = visit(mira, stale=True)
    page.goto(f"/admins/{other.id}")
    page.locator("#act-disable").click()
    page.get_by_role("button", name="Disable").click()
    expect(page.locator("#mfa_code-error")).to_be_visible()
    expect(page.locator("#mfa_code")).to_be_focused()
    page.keyboard.type(code_of_now())
    page.keyboard.press("Enter")
    expect(page.locator("dl.facts").first).to_contain_text("Disabled")


def views(page: Page, house, other: Admin) -> dict:
    role = house.make(
        make_role, "refunds:list", "jobs:list", name="A role with a rather long name for a column", description="For the desk"
    )
    house.make(make_invitation, name="Ravi Menon")
    invitation = house.make(lambda session: opened(session, house.settings))

    def dialog(path, opener):
        page.goto(path)
        page.locator(opener).click()
        expect(page.get_by_role("dialog")).to_be_visible()

    def refused():
        dialog("/admins", "#invite")
        page.locator("[data-submit]").click()
        expect(page.locator("#email-error")).to_be_visible()

    return {
        "matrix": lambda: page.goto("/roles"),
        "role": lambda: page.goto("/roles/finance_admin"),
        "compare": lambda: page.goto(f"/roles/compare?a=finance_admin&b={role.id}"),
        "change a role": lambda: page.goto(f"/roles/{role.id}/change"),
        "admins": lambda: page.goto("/admins"),
        "invited": lambda: page.goto("/admins?status=invited"),
        "admin": lambda: page.goto(f"/admins/{other.id}"),
        "invite, refused": refused,
        "welcome": lambda: page.goto(link_of(house.settings, invitation)),
    }


def opened(session, settings: Config) -> Invitation:
    invitation = make_invitation(session, name="Asha Rao")
    invitation.token_hash = hashed(link_of(settings, invitation).rpartition("/")[2])
    return invitation


def test_no_view_breaks_wcag_or_scrolls_sideways(house, visit, mira):
    page = visit(mira)
    other = house.admin(name="Omar Haddad", email="omar@example.com")
    assert breaches(page, views(page, house, other)) == {}
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/roles", "/admins", "/admins?status=invited", f"/admins/{other.id}", "/roles/new"):
        page.goto(path)
        assert too_small_to_touch(page) == [], path
