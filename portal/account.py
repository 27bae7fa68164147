"""/account: one's own second factor and sessions."""

from flask import Blueprint, g, redirect, render_template, url_for
from markupsafe import Markup

from domain.identity import mfa, profile
from portal.errors import Refusal, refusals_go_to
from portal.formats import zone_words
from portal.forms import read_form
from portal.mfa import form_context
from web import auth
from web.access import needs
from web.db import db, writing
from web.inputs.admins import PasswordChange
from web.inputs.auth import Code, TimeZone

blp = Blueprint("account", __name__, url_prefix="/account")


@blp.get("")
@needs()
def show():
    return account_page()


@blp.post("/time-zone")
@needs()
def choose_time_zone():
    refusals_go_to(account_page)
    profile.tell_times_in(db.session(), g.actor, **read_form(TimeZone))
    db.session.commit()
    return redirect(url_for("portal.account.show"), 303)


@blp.get("/password")
@needs()
def password(refusal=None):
    return render_template("account/password.html", **form_context(refusal))


@blp.post("/password")
@needs()
def change_password():
    """The old one, the new one twice, and a fresh code; every other session ends."""
    refusals_go_to(password)
    wish = read_form(PasswordChange)
    auth.change_password(wish["current"], wish["password"])
    return redirect(url_for("portal.account.show"), 303)


@blp.get("/two-step")
@needs()
def two_step():
    return two_step_page()


@blp.post("/two-step")
@needs()
def turn_on():
    """Take the scanned secret into use; the answer holds the recovery codes, this once."""
    refusals_go_to(two_step_page)
    return codes_page(codes=auth.confirm_enrolment(**read_form(Code)))


@blp.get("/recovery-codes")
@needs()
def recovery_codes():
    return codes_page()


@blp.post("/recovery-codes")
@needs()
def renew_recovery_codes():
    refusals_go_to(codes_page)
    auth.take_second_step(**read_form(Code))
    auth.identify_by_cookie()
    codes = mfa.renew_recovery_codes(db.session(), g.actor)
    db.session.commit()
    return codes_page(codes=codes)


@blp.get("/stay")
@needs()
def stay():
    """A sign of life from somebody who reads longer than a session may rest: being asked is all it takes."""
    return "", 204


@blp.post("/sign-out-everywhere")
@needs()
def sign_out_everywhere():
    auth.sign_out(everywhere=True)
    return redirect(url_for("portal.auth.sign_in"), 303)


def account_page(refusal: Refusal | None = None) -> str:
    return render_template(
        "account/show.html",
        refusal=refusal,
        zone=zone_words(),
        zones=profile.time_zones(),
        codes_left=mfa.recovery_codes_left(db.session(), g.actor.admin_id),
    )


def two_step_page(refusal: Refusal | None = None) -> str:
    """The secret to scan: the one that was begun, so that a mistyped code does not mean scanning again."""
    enrolment = mfa.pending_enrolment(db.session(), g.actor, auth.identity().sealer)
    if enrolment is None:
        with writing() as session:
            enrolment = mfa.begin_enrolment(session, g.actor, auth.identity().sealer)
    return render_template("account/two_step.html", refusal=refusal, qr=Markup(enrolment.qr_svg), secret=enrolment.grouped_secret)


def codes_page(refusal: Refusal | None = None, codes: list[str] | None = None) -> str:
    return render_template("account/recovery_codes.html", refusal=refusal, codes=codes)
