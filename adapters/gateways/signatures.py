"""Webhook signatures: HMAC-SHA256 over the raw bytes, compared in constant time with every secret that is in force."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from domain.refunds.gateway import BadSignature


def check(signed: bytes, signatures: Iterable[str], secrets: Iterable[str]) -> None:
    """Raises BadSignature unless one of the signatures was made with one of the secrets."""
    given = [signature.encode("utf-8", "replace") for signature in signatures]
    right = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode() for secret in secrets]
    if not any(hmac.compare_digest(theirs, ours) for theirs in given for ours in right):
        raise BadSignature("The webhook's signature was made with none of our secrets")
