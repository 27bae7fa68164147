"""Changing one's own password under Account."""

import pytest
from sqlalchemy import select

from domain.audit.models import AuditEntry
from tests.portal.conftest import PASSWORD
from tests.portal.person import Person

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

NEW = "another good password"


@pytest.fixture
def fill():
    return {"current": PASSWORD, "password": NEW, "again": NEW}


def test_the_new_one_counts_and_every_other_session_ends(omar, sign_in, fill, app):
    elsewhere = sign_in(omar.admin, fresh=True)

    assert omar.send(omar.form("/account/password"), **fill).headers["Location"] == "/account"

    assert omar.open("/account").status_code == 200
    assert elsewhere.open("/account").status_code == 302
    stranger = Person(app.test_client())
    for password, status in ((PASSWORD, 401), (NEW, 303)):
        assert stranger.send(stranger.form("/login"), email="omar@example.com", password=password).status_code == status


def test_it_takes_the_old_one_and_a_fresh_code_and_keeps_no_password_on_the_page(nisha, fill, code, look):
    refused = nisha.send(nisha.form("/account/password"), **fill)
    assert (refused.status_code, "Enter a fresh code" in refused.text) == (403, True)

    for changes, said in [
        ({"current": "not it at all"}, "not your present password"),
        ({"again": "something else"}, "not the same as above"),
        ({"password": PASSWORD, "again": PASSWORD}, "choose another"),
        ({"password": "password", "again": "password"}, "first passwords"),
    ]:
        form = nisha.form("/account/password")
        sent = {**fill, **changes, **({"mfa_code": code()} if "mfa_code" in form.fields else {})}
        refused = nisha.send(form, **sent)
        assert (refused.status_code, said in refused.text) == (422, True), (said, refused.text[-1500:])
        assert not any(f'value="{password}"' in refused.text for password in (PASSWORD, NEW, *changes.values()))
    refusals = select(AuditEntry.actor_id).where(AuditEntry.action == "admin.password_change_refused")
    assert look.all(refusals) == [nisha.admin.id]


def test_guessing_at_the_old_one_ends_soon(omar, fill):
    form = omar.form("/account/password")
    found = [omar.send(form, **{**fill, "current": f"guess {number}"}).status_code for number in range(6)]
    assert found == [422] * 5 + [429]
