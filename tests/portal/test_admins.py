"""Admins as people see and change them, and the way in for somebody who is invited."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from domain.audit.models import AuditEntry
from domain.db import now
from domain.identity.models import Admin, Invitation
from domain.jobs.models import Job
from domain.notifications.letters import compose
from domain.notifications.message import Link
from tests.factories import make_admin, make_invitation
from tests.portal.person import Person
from web.auth import identity

RAVI = {"email": "ravi@example.com", "name": "Ravi Menon", "role": "support_agent"}
WORDS = "four words to keep"
ON_ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def mailed(app, engine):
    """The path of the link in the newest mail."""

    def path():
        with app.app_context(), Session(engine) as session:
            job = session.scalars(select(Job).order_by(Job.created_at.desc())).first()
            letter = compose(session, job, "http://localhost", identity().links.url)
            assert letter.to == "ravi@example.com"
            [link] = [part.url for part in letter.parts if isinstance(part, Link)]
        return re.sub(r"^https?://[^/]+", "", link)

    return path


@pytest.fixture
def guest(app):
    return Person(app.test_client())


@pytest.fixture
def invited(mira, mailed):
    """Mira has invited Ravi: the path of his link."""
    assert mira.send(mira.form("/admins/invite", partial=True), partial=True, **RAVI).headers["HX-Redirect"] == "/admins?status=invited"
    return mailed()


@ON_ONE_DATABASE
class TestTheList:
    def test_the_number_on_each_tab_is_that_of_the_rows_behind_it(self, mira, made):
        for number in range(3):
            made(make_admin, name=f"Asha {number}")
            made(make_admin, name=f"Asha gone {number}", disabled_at=now())
        made(make_invitation, name="Asha invited")
        for query in ("", "&q=asha", "&q=gone", "&role=finance_admin", "&role=support_agent", "&q=%3Cb%3E"):
            for status, rows in (("active", "admin"), ("disabled", "admin"), ("invited", "invitation")):
                page = mira.open(f"/admins?status={status}{query}").text
                count = re.search(rf'id="tab-{status}".*?<span class="count">(\d+)</span>', page, re.DOTALL)[1]
                assert int(count) == len(re.findall(rf'<tr id="{rows}-', page)), (status, query)

    def test_a_filter_that_makes_no_sense_says_so(self, mira):
        answer = mira.open("/admins?status=gone&role=emperor&mfa=maybe")
        assert answer.status_code == 422
        assert "There is no such role." in answer.text


@ON_ONE_DATABASE
class TestActing:
    def test_a_role_is_given_and_counts_at_the_next_click(self, mira, omar):
        assert omar.open("/refunds").status_code == 200
        assert mira.send(mira.form(f"/admins/{omar.admin.id}/role"), role="content_moderator").status_code == 303
        assert omar.open("/refunds").status_code == 403

    def test_a_disabled_admin_is_signed_out_at_once(self, mira, omar, look):
        done = mira.send(mira.form(f"/admins/{omar.admin.id}/disable", partial=True), partial=True)
        assert (done.status_code, done.headers["HX-Redirect"]) == (204, f"/admins/{omar.admin.id}")
        assert omar.open("/refunds").headers["Location"].startswith("/login")
        page = mira.open(f"/admins/{omar.admin.id}").text
        assert "Admin disabled" in page and "/enable" in page and "/disable" not in page
        assert mira.send(mira.form(f"/admins/{omar.admin.id}/enable")).status_code == 303
        assert look.get(Admin, omar.admin.id).active

    def test_whoever_disables_one_of_two_approvers_is_told_what_comes_of_it(self, mira, omar, enrolled):
        path = f"/admins/{omar.admin.id}/disable"
        assert "Large refunds will wait" in mira.open(path).text
        enrolled(email="third@example.com")
        assert "Large refunds will wait" not in mira.open(path).text

    def test_a_second_step_is_taken_off(self, mira, omar, look):
        assert mira.send(mira.form(f"/admins/{omar.admin.id}/reset-mfa")).status_code == 303
        assert not look.get(Admin, omar.admin.id).mfa_enrolled

    def test_the_last_super_admin_stays(self, mira):
        refused = mira.send(mira.form(f"/admins/{mira.admin.id}/role", partial=True), partial=True, role="finance_admin")
        assert refused.status_code == 409
        assert "This is the last active super admin." in refused.text
        assert "/disable" not in mira.open(f"/admins/{mira.admin.id}").text

    def test_it_asks_for_a_fresh_code(self, mira, omar, enrolled, sign_in, code):
        stale = sign_in(enrolled(role="super_admin", email="late@example.com"))
        form = stale.form(f"/admins/{omar.admin.id}/disable", partial=True)
        refused = stale.send(form, partial=True)
        assert (refused.status_code, "Enter a fresh code" in refused.text) == (403, True)
        form = stale.find_form(refused, f"/admins/{omar.admin.id}/disable")
        assert stale.send(form, partial=True, mfa_code=code()).status_code == 204


class TestBeingInvited:
    def test_the_link_leads_to_a_password_then_to_two_step_sign_in_and_works_once(self, invited, guest, look):
        assert "Mira Sen</span> invites you" in guest.open(invited).text
        assert "Mira Sen</span> invites you" in guest.open(invited).text  # a mail program looked first

        form = guest.form(invited)
        entered = guest.send(form, password=WORDS, again=WORDS)
        assert (entered.status_code, entered.headers["Location"]) == (303, "/account/two-step")
        assert guest.open("/account/two-step").status_code == 200

        [ravi] = look.all(select(Admin).where(Admin.email == "ravi@example.com"))
        assert (ravi.name, ravi.role_id) == ("Ravi Menon", "support_agent")
        again = Person(guest.client.application.test_client())
        assert again.open(invited).status_code == 410
        accepted = select(AuditEntry.actor_id).where(AuditEntry.action == "admin.invitation_accepted")
        assert look.all(accepted) == [ravi.id]

    @ON_ONE_DATABASE
    def test_what_is_wrong_with_a_password_is_said_at_its_field(self, invited, guest, look):
        form = guest.form(invited)
        for password, again, said in [
            ("short", "short", "8 to 256 characters"),
            (WORDS, "other", "not the same"),
            ("password", "password", "first passwords"),
            ("ravi@example.com", "ravi@example.com", "not the e-mail address"),
            ("", "", "Fill this in"),
        ]:
            refused = guest.send(form, password=password, again=again)
            assert (refused.status_code, said in refused.text) == (422, True), (password, refused.text[-900:])
        assert look.all(select(Admin).where(Admin.email == "ravi@example.com")) == []

    def test_a_link_sent_again_withdrawn_or_old_opens_nothing(self, mira, invited, mailed, guest, engine, look):
        [invitation] = look.all(select(Invitation))
        mira.send(mira.form(f"/admins/invitations/{invitation.id}/resend"))
        assert guest.open(invited).status_code == 410
        assert guest.open(mailed()).status_code == 200

        with Session(engine) as session:
            session.execute(update(Invitation).values(expires_at=now() - timedelta(seconds=1)))
            session.commit()
        path = f"/admins/invitations/{invitation.id}/resend"
        assert "Expired" in mira.open("/admins?status=invited").text
        mira.send(mira.form(path))
        fresh = mailed()
        assert guest.open(fresh).status_code == 200
        mira.send(mira.form(f"/admins/invitations/{invitation.id}/withdraw"))
        assert guest.open(fresh).status_code == guest.open("/invitation/" + "x" * 43).status_code == 410

    def test_it_is_worth_what_its_sender_is_worth(self, mira, invited, guest, engine, enrolled, sign_in):
        other = sign_in(enrolled(role="super_admin", email="other@example.com", name="Other"), fresh=True)
        assert other.send(other.form(f"/admins/{mira.admin.id}/role"), role="support_agent").status_code == 303
        assert guest.open(invited).status_code == 410
        other.send(other.form(f"/admins/{mira.admin.id}/role"), role="super_admin")
        assert guest.open(invited).status_code == 200
        other.send(other.form(f"/admins/{mira.admin.id}/disable"))
        assert guest.open(invited).status_code == 410

    def test_two_who_open_one_link_at_once_are_one_admin(self, invited, guest, app, look):
        form = guest.form(invited)
        second = Person(app.test_client())
        twin = second.form(invited)
        assert guest.send(form, password=WORDS, again=WORDS).status_code == 303
        assert second.send(twin, password="another four words", again="another four words").status_code == 410
        assert len(look.all(select(Admin).where(Admin.email == "ravi@example.com"))) == 1
