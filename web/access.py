"""Who may come through a door. The domain decides for itself; this asks early, so that a stranger learns nothing from a 422."""

from collections.abc import Callable
from copy import deepcopy
from functools import wraps
from typing import Any

from flask import g

from domain.access import Actor, Permission
from domain.errors import DomainError, Forbidden, Unauthenticated
from web import limits, refusals

View = Callable[..., Any]


def needs(*permissions: Permission, mfa: bool = False) -> Callable[[View], View]:
    """The outermost decorator of a view: signed in, holding one of these permissions (none named: any admin), within the budget.

    `mfa` asks for a fresh second factor as well. What is refused here or further in is audited here.
    """

    def decorate(view: View) -> View:
        once = getattr(view, "is_idempotent", False)

        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            actor = current_actor()
            try:
                require_one(actor, permissions)
                if once:
                    g.mfa_needed = mfa  # a replay comes first: it spends no budget and asks for no code
                else:
                    limits.spend(actor)
                    if mfa:
                        actor.require_fresh_mfa()
                return view(*args, **kwargs)
            except DomainError as error:
                if error.status == 403:
                    limits.spend(actor)  # guessing at doors is not free, and each guess is an audit row
                refusals.record(actor, error)
                raise

        guarded.needs = permissions  # type: ignore[attr-defined]
        guarded._apidoc = deepcopy(getattr(view, "_apidoc", {}))  # type: ignore[attr-defined]
        guarded._apidoc["access"] = {"permissions": permissions, "mfa": mfa}  # type: ignore[attr-defined]
        return guarded

    return decorate


def current_actor() -> Actor:
    actor: Actor | None = g.get("actor")
    if actor is None:
        raise g.get("unauthenticated") or Unauthenticated(
            "Sign in first: send Authorization: Bearer with an access token from /api/v1/admin/auth/login."
        )
    return actor


def require_one(actor: Actor, permissions: tuple[Permission, ...]) -> None:
    if not permissions or any(actor.can(permission) for permission in permissions):
        return
    if len(permissions) == 1:
        actor.require(permissions[0])
    names = " or ".join(permission.value for permission in permissions)
    raise Forbidden(
        f"This needs the permission {names}. Ask a super admin for a role that has it.", required_permission=permissions[0].value
    )
