"""/login and the way out."""

from flask import Blueprint, g, redirect, render_template, request, url_for

from domain.errors import Unauthenticated
from portal.errors import Refusal, refusals_go_to
from portal.forms import read_form
from web import auth, limits
from web.inputs.auth import Code, SignIn
from web.requests import client_address

blp = Blueprint("auth", __name__)


@blp.get("/login")
def sign_in():
    if g.get("actor"):
        return redirect(destination())
    return sign_in_page()


@blp.post("/login")
def enter():
    """The first step. What was typed as an e-mail address is kept after a refusal, the password never."""
    limits.spend_stranger(client_address())
    refusals_go_to(sign_in_page)
    signed_in = auth.sign_in(**read_form(SignIn))
    if signed_in.awaits_second_step:
        return redirect(url_for("portal.auth.second_step", next=next_path()), 303)
    return redirect(destination(), 303)


@blp.get("/login/second-step")
def second_step():
    auth.half_signed_in()
    return second_step_page()


@blp.post("/login/second-step")
def verify():
    """A code from the phone, or one of the ten recovery codes."""
    auth.half_signed_in()
    refusals_go_to(second_step_page)
    auth.take_second_step(**read_form(Code))
    return redirect(destination(), 303)


@blp.post("/logout")
def sign_out():
    if not (g.get("actor") or g.get("half_signed_in")):
        raise Unauthenticated("Sign in first.")
    auth.sign_out()
    return redirect(url_for("portal.auth.sign_in"), 303)


def sign_in_page(refusal: Refusal | None = None) -> str:
    return render_template("auth/sign_in.html", refusal=refusal, next_url=next_path() or "", email=request.form.get("email", "")[:320])


def second_step_page(refusal: Refusal | None = None) -> str:
    recovery = bool(request.values.get("recovery"))
    return render_template("auth/second_step.html", refusal=refusal, next_url=next_path() or "", recovery=recovery)


def next_path() -> str | None:
    return auth.same_origin_path(request.values.get("next"))


def destination() -> str:
    """Where they were going before they were asked to sign in; only ever a page of our own."""
    return next_path() or url_for("portal.home")
