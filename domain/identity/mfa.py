"""The second factor: TOTP codes from a phone, and ten recovery codes for the day it is lost.

A code is good once. Whoever claims its step first has it; the database decides, in one statement, so that twenty posts of one code
at the same moment are one success. Secrets are sealed with a key that is not in the database.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import secrets
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import pyotp
import segno
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from domain import audit, throttle
from domain.access import Actor
from domain.db import now
from domain.errors import Conflict, MfaRequired
from domain.identity import sessions
from domain.identity.models import Admin, AdminSession, RecoveryCode
from domain.identity.sessions import hashed
from domain.identity.sign_in import InvalidCredentials
from domain.throttle import Limit, separately

log = logging.getLogger(__name__)

STEP_SECONDS = 30
ISSUER = "Admin portal"
RECOVERY_CODES = 10
RECOVERY_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # 5 bits a character, 25 characters: 125 bits
BURST = Limit("second_step_burst", 5, timedelta(minutes=5))
HOURLY = Limit("second_step_hourly", 20, timedelta(hours=1))


class NotEnrolling(Conflict):
    code = "MFA_NOT_ENROLLING"


class Sealer:
    """Seals TOTP secrets with AES-GCM, each to its own admin: one moved to another row opens for nobody."""

    def __init__(self, key: bytes):
        self.cipher = AESGCM(key)

    def seal(self, secret: str, admin_id: UUID) -> str:
        nonce = secrets.token_bytes(12)
        return base64.b64encode(nonce + self.cipher.encrypt(nonce, secret.encode(), admin_id.bytes)).decode()

    def open(self, sealed: str, admin_id: UUID) -> str | None:
        """The secret; None where it was sealed with another SECRET_KEY, or for another admin."""
        try:
            raw = base64.b64decode(sealed)
            return self.cipher.decrypt(raw[:12], raw[12:], admin_id.bytes).decode()
        except (InvalidTag, ValueError, binascii.Error):
            return None


@dataclass(frozen=True)
class Enrolment:
    """What a phone needs to make codes. `qr_svg` is an inline picture of `otpauth_url`, without styles or scripts."""

    secret: str
    otpauth_url: str

    @property
    def qr_svg(self) -> str:
        svg = segno.make(self.otpauth_url, error="m").svg_inline(border=2, omitsize=True, svgclass="qr", lineclass=None)
        return svg.replace("<svg ", '<svg role="img" aria-label="QR code for your authenticator app" ', 1)

    @property
    def grouped_secret(self) -> str:
        """The secret as a person types it, four characters at a time."""
        return " ".join(self.secret[i : i + 4] for i in range(0, len(self.secret), 4))


def begin_enrolment(session: Session, actor: Actor, sealer: Sealer) -> Enrolment:
    """A new secret to scan. What the admin has now stays good until the new one is confirmed."""
    admin = lock_own(session, actor)
    secret = pyotp.random_base32(32)
    admin.totp_pending_secret = sealer.seal(secret, admin.id)
    audit.record(session, actor, "mfa.enrolment_begun", admin)
    return enrolment_of(admin, secret)


def pending_enrolment(session: Session, actor: Actor, sealer: Sealer) -> Enrolment | None:
    """The secret that was begun and not confirmed yet, to show its QR code again."""
    admin = session.get_one(Admin, actor.admin_id)
    secret = admin.totp_pending_secret and sealer.open(admin.totp_pending_secret, admin.id)
    return enrolment_of(admin, secret) if secret else None


def confirm_enrolment(session: Session, actor: Actor, sealer: Sealer, code: str) -> tuple[list[str], AdminSession, str | None]:
    """Take the begun secret into use, given a code that it makes. Answers the recovery codes, shown this once, and the renewed session."""
    count_the_try(session, actor)
    with separately(session) as own:
        admin = lock_own(own, actor)
        pending = admin.totp_pending_secret
        secret = pending and sealer.open(pending, admin.id)
        step = matching_step(secret, code) if secret else None
        if step is not None:
            admin.totp_secret, admin.totp_pending_secret = pending, None
            admin.totp_confirmed_at, admin.totp_last_step = now(), step
            codes = replace_recovery_codes(own, admin.id)
            forgive(own, actor)
            audit.record(own, actor, "mfa.enrolled", admin)
        else:
            audit.record(own, actor, "mfa.enrolment_refused", admin)
    if not pending:
        raise NotEnrolling("Begin the set-up first: there is no secret waiting to be confirmed.")
    if step is None:
        raise wrong_code()
    row, cookie = sessions.renew(session, actor, now())
    return codes, row, cookie


def verify_code(session: Session, actor: Actor, sealer: Sealer, code: str) -> tuple[AdminSession, str | None]:
    """The second step, by TOTP or recovery code: a new session takes the place of the one the actor came with."""
    if actor.session_id is None:
        raise MfaRequired("Your token has no session here: send the code as X-MFA-Code, with the call that needs it.")
    moment = claim_code(session, actor, sealer, code)
    return sessions.renew(session, actor, moment)


def claim_code(session: Session, actor: Actor, sealer: Sealer, code: str) -> datetime:
    """Use a code up. Answers when; raises InvalidCredentials for one that is wrong or was used before."""
    if not actor.mfa_enrolled:
        raise MfaRequired("No second factor is set up for your account. Set one up in the portal, then try again.")
    count_the_try(session, actor)
    with separately(session) as own:
        admin = own.get_one(Admin, actor.admin_id)
        if looks_like_totp(code):
            good, how = claim_totp(own, admin, sealer, code), "totp"
        else:
            good, how = claim_recovery_code(own, admin, code), "recovery_code"
        if good:
            forgive(own, actor)
        audit.record(own, actor, "mfa.verified" if good else "mfa.refused", admin, how=how)
    if not good:
        raise wrong_code()
    return now()


def claim_totp(session: Session, admin: Admin, sealer: Sealer, code: str) -> bool:
    secret = admin.totp_secret and sealer.open(admin.totp_secret, admin.id)
    if not secret:
        log.error("The second factor of admin %s cannot be opened: was SECRET_KEY changed? `flask admin reset-mfa` helps.", admin.id)
        return False
    step = matching_step(secret, code)
    if step is None:
        return False
    claimed = session.execute(
        update(Admin).where(Admin.id == admin.id, Admin.totp_last_step < step).values(totp_last_step=step).returning(Admin.id),
        execution_options={"synchronize_session": False},
    )
    if claimed.scalar_one_or_none() is not None:
        return True
    for limit in (BURST, HOURLY):  # a code sent again, as by a client that retries, is no guess
        throttle.give_back(session, limit, str(admin.id))
    return False


def claim_recovery_code(session: Session, admin: Admin, code: str) -> bool:
    claimed = session.execute(
        update(RecoveryCode)
        .where(
            RecoveryCode.admin_id == admin.id, RecoveryCode.code_hash == hashed(plain_recovery_code(code)), RecoveryCode.used_at.is_(None)
        )
        .values(used_at=now())
        .returning(RecoveryCode.id),
        execution_options={"synchronize_session": False},
    )
    return claimed.scalar_one_or_none() is not None


def renew_recovery_codes(session: Session, actor: Actor) -> list[str]:
    """Ten new codes in place of what is left of the old ones; shown this once."""
    actor.require_fresh_mfa()
    admin = lock_own(session, actor)
    audit.record(session, actor, "mfa.recovery_codes_renewed", admin)
    return replace_recovery_codes(session, admin.id)


def recovery_codes_left(session: Session, admin_id: UUID | None) -> int:
    return session.scalar(select(func.count()).where(RecoveryCode.admin_id == admin_id, RecoveryCode.used_at.is_(None))) or 0


def forget_recovery_codes(session: Session, admin_id: UUID) -> None:
    session.execute(delete(RecoveryCode).where(RecoveryCode.admin_id == admin_id))


def replace_recovery_codes(session: Session, admin_id: UUID) -> list[str]:
    forget_recovery_codes(session, admin_id)
    codes = ["".join(secrets.choice(RECOVERY_ALPHABET) for _ in range(25)) for _ in range(RECOVERY_CODES)]
    session.add_all(RecoveryCode(admin_id=admin_id, code_hash=hashed(code)) for code in codes)
    return ["-".join(code[i : i + 5] for i in range(0, 25, 5)) for code in codes]


def count_the_try(session: Session, actor: Actor) -> None:
    with separately(session) as own:
        blocked = throttle.count_try(own, BURST, str(actor.admin_id)) or throttle.count_try(own, HOURLY, str(actor.admin_id))
        if blocked and blocked.first:
            audit.record(own, actor, "mfa.throttled", object_type="admin_users", object_id=actor.admin_id)
    if blocked:
        raise throttle.refusal(blocked, "Too many codes were tried.")


def forgive(session: Session, actor: Actor) -> None:
    for limit in (BURST, HOURLY):
        throttle.forgive(session, limit, str(actor.admin_id))


def lock_own(session: Session, actor: Actor) -> Admin:
    """The actor's own row, to change its factor. Replacing a factor needs the one that is there."""
    admin = session.get_one(Admin, actor.admin_id, with_for_update=True, populate_existing=True)
    if admin.mfa_enrolled:
        actor.require_fresh_mfa()
    return admin


def enrolment_of(admin: Admin, secret: str) -> Enrolment:
    return Enrolment(secret, pyotp.TOTP(secret).provisioning_uri(name=admin.email, issuer_name=ISSUER))


def matching_step(secret: str, code: str) -> int | None:
    """The time step this code belongs to: the present one, or a neighbour, since phones' clocks are a little off."""
    digits, totp, present = plain_totp(code), pyotp.TOTP(secret), int(now().timestamp()) // STEP_SECONDS
    candidates: Iterable[int] = (present, present - 1, present + 1)
    return next((step for step in candidates if hmac.compare_digest(totp.generate_otp(step), digits)), None)


def looks_like_totp(code: str) -> bool:
    return plain_totp(code) != ""


def plain_totp(code: str) -> str:
    """The six ASCII digits in what was typed (full-width digits, spaces and hyphens are how phones show them); else empty."""
    compact = "".join(c for c in unicodedata.normalize("NFKC", code[:64]) if not c.isspace() and c != "-")
    return compact if len(compact) == 6 and compact.isascii() and compact.isdigit() else ""


def plain_recovery_code(code: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", code[:128]).upper() if c.isalnum())


def wrong_code() -> InvalidCredentials:
    return InvalidCredentials("That code is wrong or was used before. Wait for the next one, or use a recovery code.")
