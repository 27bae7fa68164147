"""Access tokens (signed, short-lived) and refresh tokens (random, kept as hashes, good for one use).

The portal signs its own access tokens with HS256. Those of one outside issuer are accepted as well where its public keys are
configured. The key decides the algorithm, never the token; what cannot be read for whatever reason is one and the same refusal.
"""

from __future__ import annotations

import json
import logging
import math
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import UUID, uuid4

import jwt
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from domain import audit
from domain.access import Actor
from domain.db import now
from domain.errors import Unauthenticated
from domain.identity import sessions
from domain.identity.models import AdminSession, Door, RefreshToken
from domain.identity.sessions import SignedIn, hashed
from domain.throttle import separately

log = logging.getLogger(__name__)

ACCESS_LIFETIME = timedelta(minutes=15)
LEEWAY_SECONDS = 5  # for an outside issuer's clock; there is none for our own
LONGEST = 8192
SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
OWN_ALGORITHM, OWN_TYPE = "HS256", "at+jwt"
OWN_HEADER = {"alg": OWN_ALGORITHM, "typ": OWN_TYPE}
OUTSIDE_TYPES = ("at+jwt", "application/at+jwt", "JWT")
OUTSIDE_HEADERS = {"alg", "kid", "typ", "x5t", "x5t#S256"}


class TokenExpired(Unauthenticated):
    code = "TOKEN_EXPIRED"


@dataclass(frozen=True)
class OwnToken:
    admin_id: UUID
    session_id: UUID


@dataclass(frozen=True)
class OutsideToken:
    """Whom the outside issuer vouches for: an admin's id, or an admin's e-mail address."""

    admin_id: UUID | None
    email: str | None


@dataclass(frozen=True)
class TokenPair:
    access_token: str
    expires_in: int
    refresh_token: str


class AccessTokens:
    def __init__(self, key: bytes, issuer: str, audience: str, jwks_file: Path | None = None):
        self.key, self.issuer, self.audience = key, issuer, audience
        self.outside_keys = OutsideKeys(jwks_file) if jwks_file else None

    def sign(self, row: AdminSession) -> str:
        issued = int(now().timestamp())
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": str(row.admin_id),
            "sid": str(row.id),
            "jti": str(uuid4()),
            "iat": issued,
            "exp": issued + int(ACCESS_LIFETIME.total_seconds()),
        }
        return jwt.encode(claims, self.key, algorithm=OWN_ALGORITHM, headers={"typ": OWN_TYPE})

    def read(self, raw: str) -> OwnToken | OutsideToken:
        """Whom the token speaks for. Raises TokenExpired for one that was good, Unauthenticated for any other."""
        if len(raw) > LONGEST or not SHAPE.fullmatch(raw):
            raise unreadable()
        try:
            header = jwt.get_unverified_header(raw)
            if header == OWN_HEADER:
                return self._read_own(raw)
            return self._read_outside(raw, header)
        except Unauthenticated:
            raise
        except Exception:  # noqa: BLE001  hostile tokens find new ways to be malformed; all of them get one answer
            raise unreadable() from None

    def _read_own(self, raw: str) -> OwnToken:
        claims = self._claims(raw, self.key, OWN_ALGORITHM)
        admin_id, session_id = UUID(text(claims, "sub")), UUID(text(claims, "sid"))
        if claims.get("aud") != self.audience or not text(claims, "jti"):
            raise unreadable()
        self._check_times(claims, leeway=0)
        return OwnToken(admin_id, session_id)

    def _read_outside(self, raw: str, header: Mapping[str, Any]) -> OutsideToken:
        if self.outside_keys is None or not set(header) <= OUTSIDE_HEADERS or header.get("typ", "JWT") not in OUTSIDE_TYPES:
            raise unreadable()
        key = self.outside_keys.find(header.get("kid"))
        if key is None or header.get("alg") != key.algorithm_name:
            raise unreadable()
        claims = self._claims(raw, key.key, key.algorithm_name)
        audiences = claims.get("aud") if isinstance(claims.get("aud"), list) else [claims.get("aud")]
        if self.audience not in audiences:  # type: ignore[operator]
            raise unreadable()
        self._check_times(claims, leeway=LEEWAY_SECONDS)
        return OutsideToken(uuid_or_none(text(claims, "sub")), vouched_email(claims))

    def _claims(self, raw: str, key: Any, algorithm: str) -> dict[str, Any]:
        payload = jwt.api_jws.decode_complete(raw, key, algorithms=[algorithm])["payload"]
        claims = json.loads(payload)
        if not isinstance(claims, dict) or claims.get("iss") != self.issuer:
            raise unreadable()
        return claims

    def _check_times(self, claims: Mapping[str, Any], leeway: int) -> None:
        moment = now().timestamp()
        times = {name: claims[name] for name in ("iat", "exp", "nbf") if name in claims}
        if not {"iat", "exp"} <= set(times) or not all(is_moment(value) for value in times.values()):
            raise unreadable()
        if max(times["iat"], times.get("nbf", 0)) > moment + leeway:
            raise unreadable()
        if not times["exp"] > moment - leeway:
            raise TokenExpired("This access token has expired. Get a new one from /api/v1/admin/auth/refresh, or sign in again.")


class OutsideKeys:
    """The outside issuer's public keys: a JSON Web Key Set in a file, read again whenever the file changes."""

    ALGORITHMS = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}

    def __init__(self, path: Path):
        self.path = path
        self.lock = Lock()
        self.version: tuple[int, int] | None = None
        self.keys: dict[str | None, jwt.PyJWK] = {}
        self.refresh()

    def find(self, kid: object) -> jwt.PyJWK | None:
        """The key of this id; without an id, the only key there is."""
        self.refresh()
        if kid is None:
            return next(iter(self.keys.values())) if len(self.keys) == 1 else None
        return self.keys.get(kid) if isinstance(kid, str) else None

    def refresh(self) -> None:
        with self.lock:
            try:
                found = self.path.stat()
                if (found.st_mtime_ns, found.st_size) == self.version:
                    return
                self.version = (found.st_mtime_ns, found.st_size)
                self.keys = self._read()
            except (
                OSError,
                ValueError,
                KeyError,
                TypeError,
                AttributeError,
                jwt.PyJWTError,
            ) as error:  # a file half written or gone: the keys read before stay good
                log.warning("JWT_JWKS_FILE could not be read (%s): the keys read before stay in use", type(error).__name__)

    def _read(self) -> dict[str | None, jwt.PyJWK]:
        keys = {}
        for entry in json.loads(self.path.read_text("utf-8"))["keys"]:
            algorithm = self.ALGORITHMS.get((entry.get("kty"), entry.get("crv")))
            if algorithm is None or entry.get("use", "sig") != "sig" or entry.get("alg", algorithm) != algorithm:
                continue
            key = jwt.PyJWK.from_dict({k: v for k, v in entry.items() if k != "d"}, algorithm)
            if algorithm == "RS256" and key.key.key_size < 2048:
                log.warning("JWT_JWKS_FILE: an RSA key shorter than 2048 bits is left out")
                continue
            keys[entry.get("kid")] = key
        return keys


def is_moment(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def unreadable() -> Unauthenticated:
    return Unauthenticated("Send a valid access token as `Authorization: Bearer <token>`; POST /api/v1/admin/auth/login gives one.")


def text(claims: Mapping[str, Any], name: str) -> str:
    value = claims[name]
    if not isinstance(value, str):
        raise unreadable()
    return value


def uuid_or_none(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None


def vouched_email(claims: Mapping[str, Any]) -> str | None:
    """The address, unless the issuer itself says that nobody has shown it to be theirs."""
    email = claims.get("email")
    return email if isinstance(email, str) and claims.get("email_verified", True) is True else None


def issue(session: Session, tokens: AccessTokens, row: AdminSession) -> TokenPair:
    """An access token for the session, and the refresh token that follows it up until the session ends."""
    secret = secrets.token_urlsafe(32)
    session.add(RefreshToken(session_id=row.id, token_hash=hashed(secret), expires_at=row.expires_at))
    return TokenPair(tokens.sign(row), int(ACCESS_LIFETIME.total_seconds()), secret)


def refresh(session: Session, visitor: Actor, tokens: AccessTokens, secret: str) -> tuple[TokenPair, SignedIn]:
    """Trade a refresh token for a new pair. One that was used before has been stolen: its whole session ends.

    Has a transaction of its own, since either outcome stays.
    """
    with separately(session) as own:
        spent = own.execute(
            update(RefreshToken)
            .where(RefreshToken.token_hash == hashed(secret), RefreshToken.used_at.is_(None), RefreshToken.expires_at > now())
            .values(used_at=now())
            .returning(RefreshToken.session_id)
        ).scalar_one_or_none()
        signed_in = None
        if spent is None:
            end_the_family(own, visitor, secret)
        else:
            signed_in = sessions.find_by_id(own, spent, Door.API)
        pair = issue(own, tokens, signed_in.row) if signed_in else None
    if signed_in is None or pair is None:
        raise Unauthenticated("This refresh token is not, or no longer, good. Sign in again: POST /api/v1/admin/auth/login.")
    return pair, signed_in


def end_the_family(session: Session, visitor: Actor, secret: str) -> None:
    used = RefreshToken.token_hash == hashed(secret), RefreshToken.used_at.is_not(None)
    row = session.scalars(select(AdminSession).join(RefreshToken, RefreshToken.session_id == AdminSession.id).where(*used)).one_or_none()
    if row is not None and row.revoked_at is None:
        row.revoked_at = now()
        audit.record(session, visitor, "session.refresh_token_reused", row, admin_id=row.admin_id)
