"""The second step inside a form: asked for where it is not fresh, its refusal told at its field.

The code itself is taken before the form is read (`step_up` in portal/__init__.py).
"""

from collections import defaultdict
from dataclasses import replace
from typing import Any

from flask import g

from portal.errors import Refusal


def form_context(refusal: Refusal | None) -> dict[str, Any]:
    """What a form that needs a fresh second factor shows of a refusal, and whether it asks for a code."""
    refusal = refusal and at_its_field(refusal)
    return {
        "refusal": refusal if refusal and not refusal.fields else None,
        "errors": defaultdict(str, refusal.fields if refusal else {}),
        "ask_code": not g.actor.has_fresh_mfa,
    }


def at_its_field(refusal: Refusal) -> Refusal:
    if refusal.code != "MFA_REQUIRED" or not g.actor.mfa_enrolled:
        return refusal
    return replace(refusal, fields={"mfa_code": g.actor.mfa_problem or "Enter a fresh code from your authenticator app."})
