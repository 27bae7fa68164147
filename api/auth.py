"""/api/v1/admin/auth and /api/v1/admin/me"""

from flask import g

from api.blueprints import Blueprint
from api.envelope import envelope
from api.outputs.auth import MeSchema, SignedOutSchema, TokensSchema
from domain.access import Actor
from domain.identity import mfa, sessions, tokens
from domain.identity.models import Door
from domain.identity.sign_in import sign_in
from domain.identity.tokens import TokenPair
from web.access import needs
from web.auth import identity, visitor
from web.db import db
from web.inputs.auth import Code, Refresh, SignIn, SignOut

blp = Blueprint("auth", __name__, url_prefix="/api/v1/admin", description="Signing in, and who is signed in")


@blp.post("/auth/login")
@blp.arguments(SignIn)
@blp.response(200, envelope(TokensSchema))
def login(credentials):
    """Sign in with e-mail and password."""
    opened = sign_in(db.session(), visitor(), identity().passwords, door=Door.API, **credentials)
    pair = tokens.issue(db.session(), identity().tokens, opened.signed_in.row)
    db.session.commit()
    return answer(pair, enrolled=opened.signed_in.admin.mfa_enrolled, verified=False)


@blp.post("/auth/mfa")
@needs()
@blp.arguments(Code)
@blp.response(200, envelope(TokensSchema))
def second_step(given):
    """Take the second step; new tokens take the place of those the call came with."""
    row, _ = mfa.verify_code(db.session(), g.actor, identity().sealer, **given)
    pair = tokens.issue(db.session(), identity().tokens, row)
    db.session.commit()
    return answer(pair, enrolled=True, verified=True)


@blp.post("/auth/refresh")
@blp.arguments(Refresh)
@blp.response(200, envelope(TokensSchema))
def refresh(given):
    """Trade a refresh token for new tokens; one that was used before ends its session."""
    pair, signed_in = tokens.refresh(db.session(), visitor(), identity().tokens, given["refresh_token"])
    return answer(pair, enrolled=signed_in.admin.mfa_enrolled, verified=signed_in.row.mfa_at is not None)


@blp.post("/auth/logout")
@needs()
@blp.arguments(SignOut)
@blp.response(200, envelope(SignedOutSchema))
def logout(given):
    """End this session, or with `everywhere` every one of yours."""
    end = sessions.sign_out_everywhere if given["everywhere"] else sessions.sign_out
    ended = end(db.session(), g.actor)
    db.session.commit()
    return {"data": {"sessions_ended": ended}}


@blp.get("/me")
@needs()
@blp.response(200, envelope(MeSchema))
def me():
    """Say who is signed in, and what they may do."""
    actor: Actor = g.actor
    return {
        "data": {
            "id": actor.admin_id,
            "email": actor.email,
            "name": actor.name,
            "role": {"id": actor.role_id, "name": actor.role_name},
            "permissions": sorted(actor.permissions),
            "mfa": {
                "enrolled": actor.mfa_enrolled,
                "verified": actor.mfa_at is not None,
                "verified_at": actor.mfa_at,
                "fresh": actor.has_fresh_mfa,
            },
            "timezone": actor.timezone,
            "locale": actor.locale,
        }
    }


def answer(pair: TokenPair, *, enrolled: bool, verified: bool) -> dict[str, object]:
    return {
        "data": {
            "access_token": pair.access_token,
            "expires_in": pair.expires_in,
            "refresh_token": pair.refresh_token,
            "mfa": {"enrolled": enrolled, "verified": verified},
        }
    }
