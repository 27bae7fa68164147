"""Changes happen once per key: the key, the effect and the answer commit together, and a retry gets the answer again.

The order is: key, replay, budget, second factor, then the view (which validates, loads, locks and acts). An act with a second phase
commits its decision first, with an answer that is good enough should the process die; what the second phase finds out replaces it.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from hashlib import sha256
from typing import Any

from flask import Response, current_app, g, make_response, request
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from domain import idempotency
from domain.access import Actor
from domain.errors import DomainError
from domain.idempotency import Answer
from web import limits, refusals
from web.access import View, current_actor
from web.db import db
from web.json_bodies import canonical, read_json
from web.problems import InvalidInput

log = logging.getLogger(__name__)

SecondPhase = Callable[..., ResponseReturnValue | None]
BEYOND_THE_GATEWAY = timedelta(seconds=5)
KEPT_HEADERS = ("Content-Type", "Location")


def idempotent(second_phase: SecondPhase | None = None, *, dry_run: bool = False, required: bool = True) -> Callable[[View], View]:
    """Run a view once per Idempotency-Key (or form field `idempotency_key`); stands right under `needs`.

    `second_phase(provisional, **path_arguments)` runs after the decision has committed, with transactions of its own on `db.session`.
    It answers the final response, or None where the first one stands. `dry_run` lets `?dry_run=true` through without a key; nothing of
    it stays. Where the key is not `required`, a call without one happens each time it is made.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def once(*args: Any, **kwargs: Any) -> Response:
            actor = current_actor()
            if asks_for_dry_run(dry_run):
                return rehearse(actor, view, *args, **kwargs)
            if not required and sent_key() is None:
                return act_once(actor, view, *args, **kwargs)
            return Attempt(actor, second_phase, kwargs).run(lambda: view(*args, **kwargs))

        once.is_idempotent = True  # type: ignore[attr-defined]
        once._apidoc = {**getattr(view, "_apidoc", {}), "idempotent": {"dry_run": dry_run, "required": required}}  # type: ignore[attr-defined]
        return once

    return decorate


def asks_for_dry_run(possible: bool) -> bool:
    """Whoever writes dry_run in whatever way must not find the act done."""
    asked = request.args.get("dry_run")
    if asked is None or asked == "false":
        return False
    if asked != "true" or not possible:
        raise InvalidInput({"dry_run": ["Write true or false." if possible else "There is no dry run of this: leave it out."]})
    return True


def rehearse(actor: Actor, view: View, *args: Any, **kwargs: Any) -> Response:
    g.dry_run = True
    admit(actor)
    try:
        return make_response(view(*args, **kwargs))
    finally:
        db.session.rollback()


def act_once(actor: Actor, view: View, *args: Any, **kwargs: Any) -> Response:
    admit(actor)
    response = make_response(view(*args, **kwargs))
    db.session.commit()
    return response


def admit(actor: Actor) -> None:
    limits.spend(actor)
    if g.get("mfa_needed"):
        actor.require_fresh_mfa()


class Attempt:
    """One call with a key."""

    def __init__(self, actor: Actor, second_phase: SecondPhase | None, path_arguments: dict[str, Any]):
        self.actor, self.second_phase, self.path_arguments = actor, second_phase, path_arguments
        self.key = idempotency.read_key(sent_key())
        self.fingerprint = sha256(sent_body()).hexdigest()

    def run(self, act: Callable[[], Any]) -> Response:
        try:
            answer, first = self.claim()
            if not first:
                return self.resume(answer) if answer.unfinished else replay(answer)
            admit(self.actor)
            response = make_response(act())
            if response.status_code >= 400:
                db.session.rollback()
                return response
            return self.commit(answer, response)
        except DomainError as refusal:
            db.session.rollback()
            if not refusal.settled:
                raise
            return self.keep_refusal(refusal)
        except BaseException:
            db.session.rollback()
            raise

    def claim(self) -> tuple[Answer, bool]:
        return idempotency.claim(db.session(), self.actor, request.method, request.path[:500], self.key, self.fingerprint)

    def commit(self, answer: Answer, response: Response) -> Response:
        if self.second_phase is None or response.status_code != 200:
            answer.keep(*kept(response))
            db.session.commit()
            return response
        answer.keep_for_now(*kept(response), lease())
        db.session.commit()
        return self.go_on(answer, response)

    def resume(self, answer: Answer) -> Response:
        """The process that decided died, or gave up, before it had the final answer."""
        answer.extend(lease())
        provisional = stored(answer)
        db.session.commit()
        return self.go_on(answer, provisional)

    def go_on(self, answer: Answer, provisional: Response) -> Response:
        """The decision stands, whatever happens from here on: no error may take its answer away."""
        answer_id = answer.id
        final = None
        try:
            if self.second_phase is not None:
                final = self.second_phase(provisional, **self.path_arguments)
        except Exception:
            log.exception("the second phase of a decision broke off; its job goes on")
        response = provisional if final is None else make_response(final)
        try:
            db.session.rollback()
            if final is None:
                idempotency.confirm(db.session(), answer_id)
            else:
                idempotency.finish(db.session(), answer_id, *kept(response))
            db.session.commit()
        except SQLAlchemyError:
            db.session.rollback()
            log.exception("the final answer could not be stored; the next call with its key looks again")
        return response

    def keep_refusal(self, refusal: DomainError) -> Response:
        """Store a refusal that the same request would meet again, with its audit row; a twin's answer that came first is given instead."""
        response = make_response(current_app.handle_user_exception(refusal))
        answer, first = self.claim()
        if not first:
            return self.resume(answer) if answer.unfinished else replay(answer)
        answer.keep(*kept(response))
        refusals.note(db.session(), self.actor, refusal)
        db.session.commit()
        return response


def sent_key() -> str | None:
    given = request.headers.get("Idempotency-Key")
    return given if given is not None or is_api() else request.form.get("idempotency_key")


def sent_body() -> bytes:
    """What makes two requests the same request: canonical JSON, or the form's fields."""
    if is_api():
        return canonical(read_json())
    return canonical(
        sorted((name, value) for name, value in request.form.items(multi=True) if name not in ("csrf_token", "idempotency_key", "mfa_code"))
    )


def is_api() -> bool:
    return request.path.startswith("/api/")


def lease() -> timedelta:
    return timedelta(seconds=current_app.config["PORTAL"].gateway_timeout_seconds) + BEYOND_THE_GATEWAY


def kept(response: Response) -> tuple[int, str, dict[str, str]]:
    headers = {name: value for name, value in response.headers.items() if name in KEPT_HEADERS or name.upper().startswith("HX-")}
    body = "" if response.status_code == 204 else response.get_data(as_text=True)
    return response.status_code, body, headers


def stored(answer: Answer) -> Response:
    assert answer.status is not None
    response = Response(answer.body, answer.status, answer.headers)
    if answer.status == 204:
        response.headers.pop("Content-Type", None)
    return response


def replay(answer: Answer) -> Response:
    response = stored(answer)
    db.session.rollback()
    response.headers["Idempotent-Replayed"] = "true"
    return response
