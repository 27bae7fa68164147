"""Who is asking: `g.actor`, from a bearer token under /api/, from the session cookie in the portal, never from the other's.

`g.actor` is missing for a stranger, and in the portal for somebody whose second step is still to come: that one is `g.half_signed_in`,
and may reach nothing but the second step and the way out. Role, permissions and whether the session still lives are read from the
database at every request, in a transaction of their own that is over before the request's begins.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from flask import Flask, current_app, g, request
from flask import session as cookie
from flask_login import AnonymousUserMixin, LoginManager, UserMixin, current_user, login_user, logout_user
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from config import Config
from domain.access import Actor
from domain.db import read_only
from domain.errors import DomainError, Unauthenticated
from domain.identity import invitations, mfa, profile, sessions
from domain.identity.invitations import InvitationLinks
from domain.identity.mfa import Sealer
from domain.identity.models import AdminSession, Door
from domain.identity.passwords import Passwords
from domain.identity.sessions import SignedIn
from domain.identity.sign_in import sign_in as open_with_password
from domain.identity.tokens import AccessTokens, OwnToken, unreadable
from domain.throttle import separately
from web.db import db
from web.requests import client_address, request_id, user_agent

CHEAP = {"memory_kib": 1024, "time_cost": 1}  # argon2id in tests; everywhere else what Passwords itself says


@dataclass(frozen=True)
class Identity:
    """What proving who somebody is takes, made once from the settings."""

    passwords: Passwords
    sealer: Sealer
    tokens: AccessTokens
    links: InvitationLinks


@dataclass(frozen=True)
class Found:
    """Whoever asks, by a session of ours unless an outside issuer speaks for them; `half` is without the second step."""

    actor: Actor
    row: AdminSession | None
    half: bool = False


Caller = Callable[[Session], Found]


def register(app: Flask) -> None:
    settings: Config = app.config["PORTAL"]
    app.extensions["identity"] = Identity(
        Passwords(**CHEAP) if settings.app_env == "test" else Passwords(),
        Sealer(settings.derived_key("totp")),
        AccessTokens(settings.derived_key("jwt"), settings.jwt_issuer, settings.jwt_audience, settings.jwt_jwks_file),
        InvitationLinks(settings.derived_key("invitations"), settings.public_url),
    )
    app.config.update(
        SESSION_COOKIE_NAME="__Host-portal" if settings.secure_cookies else "portal",
        SESSION_COOKIE_SECURE=settings.secure_cookies,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
    )
    manager = LoginManager(app)
    manager.session_protection = None  # the session is a row that can be revoked; an address may change on a train
    manager.user_loader(PortalUser.load)
    app.before_request(identify)


def identity() -> Identity:
    found: Identity = current_app.extensions["identity"]
    return found


def visitor() -> Actor:
    return sessions.visitor(client_address(), user_agent(), request_id())


def identify() -> None:
    """Set g.actor for a request that one of the doors will answer; a view that must answer without the database does it itself."""
    if getattr(current_app.view_functions.get(request.endpoint or ""), "finds_its_caller", False):
        return
    if request.path.startswith("/api/"):
        try:
            g.actor = with_code(bearer())
        except Unauthenticated as error:
            g.unauthenticated = error
    elif (request.blueprint or "").startswith("portal") and request.blueprint != "portal.assets":
        identify_by_cookie()


# Programs


def bearer() -> Actor:
    """The admin whom the request's token speaks for."""
    find = token_bearer()
    with read_only(), Session(db.engine, expire_on_commit=False) as own:
        found = find(own)
    if found.row is not None:
        note_sign_of_life(found.row)
    return found.actor


def token_bearer() -> Caller:
    """The same in two steps: the signature at once, whom it speaks for once there is a session. Either raises Unauthenticated."""
    scheme, _, raw = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise unreadable()
    token, here = identity().tokens.read(raw.strip()), visitor()

    def find(session: Session) -> Found:
        if isinstance(token, OwnToken):
            signed_in = sessions.find_by_id(session, token.session_id, Door.API)
            if signed_in is None or signed_in.admin.id != token.admin_id:
                raise Unauthenticated("This session has ended. Sign in again: POST /api/v1/admin/auth/login.")
            return Found(signed_in.actor(here), signed_in.row)
        found = sessions.find_vouched(session, token.admin_id, token.email)
        if found is None:
            raise Unauthenticated("This token names no active admin by its `sub` or `email`.")
        return Found(sessions.actor_of(*found, here), None)

    return find


def with_code(actor: Actor) -> Actor:
    """The actor, with a fresh second factor where the call carries a good code."""
    code = request.headers.get("X-MFA-Code")
    if not code or actor.has_fresh_mfa:
        return actor
    try:
        return replace(actor, mfa_at=mfa.claim_code(db.session(), actor, identity().sealer, code))
    except DomainError as error:  # told only where the call needs the factor, after the replay of an earlier answer
        return replace(actor, mfa_problem=f"{error.message} (X-MFA-Code)")


# People


class PortalUser(UserMixin):
    """For Flask-Login, a user is one session: its id is the secret in the cookie, so ending the row signs it out."""

    def __init__(self, secret: str, signed_in: SignedIn):
        self.secret, self.signed_in = secret, signed_in

    def get_id(self) -> str:
        return self.secret

    @classmethod
    def load(cls, secret: object) -> "PortalUser | None":
        if not isinstance(secret, str):
            return None
        with read_only(), Session(db.engine, expire_on_commit=False) as own:
            signed_in = sessions.find_by_secret(own, secret)
        return cls(secret, signed_in) if signed_in else None


def identify_by_cookie() -> None:
    try:
        known = current_user.is_authenticated
    except SQLAlchemyError:
        g._login_user = AnonymousUserMixin()  # Flask-Login's own place: the page that tells of the error asks no more
        raise
    if not known:
        return
    signed_in: SignedIn = current_user.signed_in
    note_sign_of_life(signed_in.row)
    actor = signed_in.actor(visitor())
    if signed_in.awaits_second_step:
        g.half_signed_in = actor
    else:
        g.actor = actor


def cookie_bearer() -> Caller:
    """Whose cookie this is, in the same two steps as `token_bearer`."""
    secret, here = cookie.get("_user_id"), visitor()
    if not isinstance(secret, str):
        raise Unauthenticated("Sign in first.")

    def find(session: Session) -> Found:
        signed_in = sessions.find_by_secret(session, secret)
        if signed_in is None:
            raise Unauthenticated("This session has ended. Sign in again.")
        return Found(signed_in.actor(here), signed_in.row, signed_in.awaits_second_step)

    return find


def half_signed_in() -> Actor:
    """Whoever gave the password and owes the second step."""
    actor: Actor | None = g.get("half_signed_in")
    if actor is None:
        raise Unauthenticated("Sign in first.")
    return actor


def sign_in(email: str, password: str) -> SignedIn:
    """The first step in the portal: opens a session and sets its cookie. `awaits_second_step` says whether there is a second."""
    opened = open_with_password(db.session(), visitor(), identity().passwords, email, password, Door.PORTAL)
    db.session.commit()
    return remember(opened.secret)


def accept_invitation(token: str, password: str) -> None:
    """Become an admin, signed in."""
    secret = invitations.accept(db.session(), visitor(), identity().passwords, token, password)
    db.session.commit()
    remember(secret)


def change_password(current: str, password: str) -> None:
    """A new password of one's own; the cookie changes, and every other session ends."""
    secret = profile.change_password(db.session(), g.actor, identity().passwords, current, password)
    db.session.commit()
    remember(secret)


def take_second_step(code: str) -> None:
    """The second step, or the same again to act on something that needs a fresh one; the cookie changes."""
    actor = g.get("actor") or half_signed_in()
    _, secret = mfa.verify_code(db.session(), actor, identity().sealer, code)
    db.session.commit()
    remember(secret)


def confirm_enrolment(code: str) -> list[str]:
    """Take the begun second factor into use; answers the recovery codes, to be shown this once."""
    codes, _, secret = mfa.confirm_enrolment(db.session(), g.actor, identity().sealer, code)
    db.session.commit()
    remember(secret)
    return codes


def sign_out(everywhere: bool = False) -> None:
    """End this session, or each one there is, and forget the cookie."""
    actor = g.pop("actor", None) or g.pop("half_signed_in", None)
    if actor is not None:
        sessions.sign_out_everywhere(db.session(), actor) if everywhere else sessions.sign_out(db.session(), actor)
        db.session.commit()
    logout_user()
    forget_cookie()


def remember(secret: str | None) -> SignedIn:
    """Put a session's secret into a clean cookie: nothing planted before survives it. The request goes on as that session."""
    user = PortalUser.load(secret) if secret else None
    if user is None:
        raise Unauthenticated("This session has ended. Sign in again.")
    forget_cookie()
    login_user(user)
    g.pop("half_signed_in", None)
    identify_by_cookie()
    return user.signed_in


def forget_cookie() -> None:
    cookie.clear()
    g.pop("csrf_token", None)  # Flask-WTF keeps the page's token here; the next one belongs to the new session


# Both


def note_sign_of_life(row: AdminSession) -> None:
    if sessions.stale(row):
        with separately(db.session()) as own:
            sessions.note_sign_of_life(own, row)


def same_origin_path(raw: str | None) -> str | None:
    """`next=` as far as it may be followed: a path of the portal's own, in plain characters; None for all else."""
    if not raw or len(raw) > 2000 or not raw.startswith("/") or not raw.isascii() or not raw.isprintable():
        return None
    path = re.split("[?#]", raw)[0]
    if "//" in path or "\\" in raw or " " in raw or path.startswith(("/api/", "/static/")):
        return None
    return raw
