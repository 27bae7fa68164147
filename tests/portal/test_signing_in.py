"""The way in, the second step, one's own account, and the way out."""

import pytest
from sqlalchemy import select

from domain.identity.models import AdminSession
from tests.factories import make_admin
from tests.portal.conftest import PASSWORD
from tests.portal.person import PARTIAL, Person
from web.auth import identity


@pytest.fixture
def stranger(app):
    return Person(app.test_client())


def enter(person, admin, *, password=PASSWORD, next=""):
    form = person.form(f"/login?next={next}")
    return person.send(form, email=admin.email, password=password)


def test_a_page_asks_to_sign_in_and_comes_back_to_where_one_was_going(stranger, enrolled, code):
    asked = stranger.open("/refunds?q=rao")
    assert (asked.status_code, asked.location) == (302, "/login?next=/refunds?q%3Drao")

    first = stranger.send(stranger.form(asked.location), email=(admin := enrolled()).email, password=PASSWORD)
    assert (first.status_code, first.location) == (303, "/login/second-step?next=/refunds?q%3Drao")
    second = stranger.send(stranger.form(first.location), code=code())
    assert (second.status_code, second.location) == (303, "/refunds?q=rao")
    assert admin.name in stranger.open("/refunds").text


def test_a_fragment_says_so_by_a_header_and_never_holds_the_sign_in_page(stranger):
    answer = stranger.client.get("/refunds?q=rao", headers={**PARTIAL, "HX-Current-URL": "http://localhost/refunds?status=all"})
    assert (answer.status_code, answer.text) == (401, "")
    assert answer.headers["HX-Redirect"] == "/login?next=/refunds?status%3Dall"
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    "next",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "/api/v1/admin/me", "/%0d%0aSet-Cookie:a=b", ""],
)
def test_it_only_ever_leads_to_a_page_of_its_own(stranger, made, app, next):
    admin = made(lambda session: make_admin(session, password_hash=hashed(app)))
    answer = stranger.send(stranger.form("/login"), email=admin.email, password=PASSWORD, next=next)
    assert answer.status_code == 303
    assert answer.location.startswith("/") and not answer.location.startswith(("//", "/api", "/\\"))


def hashed(app):
    with app.app_context():
        return identity().passwords.hash(PASSWORD)


def test_a_wrong_password_keeps_the_address_and_not_the_password(stranger, enrolled):
    answer = enter(stranger, enrolled(email="asha@example.com"), password="wrong but long enough")
    assert answer.status_code == 401
    assert "The e-mail address or the password is wrong." in answer.text
    assert 'value="asha@example.com"' in answer.text
    assert "wrong but long enough" not in answer.text


def test_a_blank_form_is_no_crash(stranger):
    assert stranger.send(stranger.form("/login"), email="", password="").status_code == 422


def test_the_form_needs_its_token(stranger, enrolled):
    form = stranger.form("/login")
    assert stranger.send(form, email=enrolled().email, password=PASSWORD, csrf_token="made up").status_code == 403


def test_nothing_is_in_reach_before_the_second_step(stranger, enrolled):
    enter(stranger, enrolled())
    for path in ("/refunds", "/account", "/account/two-step", "/help/keys"):
        assert stranger.open(path).location.startswith("/login/second-step")


def test_a_wrong_code_is_told_under_its_field(stranger, enrolled):
    enter(stranger, enrolled())
    answer = stranger.send(stranger.form("/login/second-step"), code="000000")
    assert answer.status_code == 401
    assert 'id="code-error"' in answer.text


def test_too_many_codes_are_told_how_long_to_wait(stranger, enrolled):
    enter(stranger, enrolled())
    for _ in range(6):
        answer = stranger.send(stranger.form("/login/second-step"), code="000000")
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0


def test_the_second_step_is_only_for_those_who_took_the_first(stranger, nisha):
    assert stranger.open("/login/second-step").location.startswith("/login")
    assert nisha.open("/login").location == "/"


def test_times_are_told_in_the_zone_that_is_chosen(nisha):
    form = nisha.find_form(nisha.open("/account"), "/account/time-zone")
    assert nisha.send(form, timezone="Asia/Kolkata").status_code == 303
    assert "IST (UTC+5:30)" in nisha.open("/account").text
    refused = nisha.send(form, timezone="Middle/Earth")
    assert refused.status_code == 422
    assert "Choose one of the time zones" in refused.text


def test_signing_out_ends_the_session_on_the_server(nisha, look):
    answer = nisha.send(nisha.find_form(nisha.open("/account"), "/logout"))
    assert (answer.status_code, answer.location) == (303, "/login")
    assert nisha.open("/refunds").location.startswith("/login")
    assert all(row.revoked_at for row in look.all(select(AdminSession)))


def test_signing_out_everywhere_ends_every_session(nisha, sign_in):
    elsewhere = sign_in(nisha.admin)
    nisha.send(nisha.find_form(nisha.open("/account"), "/account/sign-out-everywhere"))
    assert elsewhere.open("/refunds").location.startswith("/login")


class TestTwoStepSignIn:
    @pytest.fixture
    def lena(self, made, sign_in):
        return sign_in(made(make_admin, name="Lena Fischer"))

    def test_the_page_draws_the_code_without_styles_or_scripts(self, lena):
        page = lena.open("/account/two-step")
        picture = page.text.split('<div class="qr-box">')[1].split("</div>")[0]
        assert "<svg" in picture and "<path" in picture
        assert "style" not in picture and "http://" not in picture.replace("http://www.w3.org", "")

    def test_a_good_code_turns_it_on_and_shows_ten_recovery_codes_once(self, lena):
        import pyotp

        page = lena.open("/account/two-step")
        secret = page.text.split('id="secret">')[1].split("<")[0].replace(" ", "")
        answer = lena.send(lena.find_form(page, "/account/two-step"), code=pyotp.TOTP(secret).now())

        assert answer.status_code == 200
        assert answer.text.count("<li>") == 10
        assert "they are not shown again" in answer.text
        code = answer.text.split("<li>")[1].split("<")[0]
        assert code not in lena.open("/account/recovery-codes").text
        assert "10 of 10 recovery codes are left" in lena.open("/account").text

    def test_a_mistyped_code_keeps_the_secret_that_was_scanned(self, lena):
        page = lena.open("/account/two-step")
        answer = lena.send(lena.find_form(page, "/account/two-step"), code="000000")
        secret = page.text.split('id="secret">')[1].split("<")[0]
        assert answer.status_code == 401
        assert secret in answer.text

    def test_a_recovery_code_signs_in_once(self, nisha, stranger, code):
        codes = nisha.send(nisha.form("/account/recovery-codes"), code=code())
        recovery = codes.text.split("<li>")[1].split("<")[0]

        enter(stranger, nisha.admin)
        form = stranger.form("/login/second-step?recovery=1")
        assert stranger.send(form, code=recovery.lower()).location == "/"
        assert "9 of 10 recovery codes are left" in stranger.open("/account").text

    def test_new_recovery_codes_need_a_code_of_now(self, nisha):
        answer = nisha.send(nisha.form("/account/recovery-codes"), code="000000")
        assert answer.status_code == 401
        assert "<li>" not in answer.text
