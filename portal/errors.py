"""Refusals and mishaps as people see them: beside the field, in the form, above the page, or as a page of their own."""

from collections.abc import Callable
from dataclasses import dataclass, field

from flask import Flask, Response, g, make_response, render_template, request, url_for

from portal.htmx import go, page_path, partial, refusal_place
from web.inputs.fields import Said
from web.problems import Problem, shown_by
from web.requests import request_id

TITLES = {
    400: "That did not make sense",
    403: "You may not do this",
    404: "Not found",
    405: "Not found",
    409: "Somebody was faster",
    410: "No longer here",
    413: "Too much at once",
    422: "Something is missing",
    429: "Too many tries",
    500: "Something went wrong here",
    503: "The portal cannot reach its data",
    507: "Not enough space",
}
CODES = {
    "SAME_APPROVER": "Someone else must give the second approval",
    "APPROVAL_MISMATCH": "The first approval is for another amount",
    "NOT_PENDING": "Already decided",
    "STALE": "This refund has changed",
    "NOT_FAILED": "Already under way",
    "CANNOT_CANCEL": "Too late to cancel",
    "CANNOT_DELETE": "Not finished yet",
    "CANNOT_RETRY": "Not run again",
    "LAST_SUPER_ADMIN": "Somebody must be left",
    "OWN_ACCOUNT": "Not your own account",
    "EMAIL_TAKEN": "There is such an admin already",
    "ALREADY_INVITED": "Invited already",
    "INVITATION_OVER": "This invitation is over",
    "VERIFICATION_UNDER_WAY": "Already under way",
    "SYSTEM_ROLE": "A system role stays as it is",
    "ROLE_EXISTS": "There is such a role already",
    "ROLE_IN_USE": "Somebody holds this role",
    "ROLE_CHANGED": "This role has changed",
    "FOREIGN_PAGE": "This came from another site",
    "STALE_PAGE": "This page is out of date",
    "IDEMPOTENCY_KEY_REUSED": "This form was sent before",
    "IDEMPOTENCY_IN_FLIGHT": "Still working on it",
    "OPERATION_IN_PROGRESS": "Something is under way",
    "BACKUP_CORRUPT": "This backup is damaged",
    "DATABASE_DAMAGED": "The database itself is damaged",
    "BACKUP_KEY_MISMATCH": "Made with another key",
    "BACKUP_SCHEMA_NEWER": "Made by a newer version",
    "BACKUP_ENGINE_UNAVAILABLE": "The backup's programs are missing",
    "BACKUP_DIR_UNUSABLE": "Nothing can be written where backups are kept",
    "ENGINE_MISMATCH": "A backup of another database",
    "INSUFFICIENT_STORAGE": "Not enough space",
    "TARGET_BEFORE_BACKUP": "This backup was made later",
    "PITR_OUT_OF_RANGE": "This moment cannot be reached",
    "PITR_GAP": "This moment cannot be reached",
    "PITR_NOT_SUPPORTED": "Only backups themselves can be restored here",
    "APPROVALS_FROZEN": "Approvals are frozen",
    "NOT_CHECKED": "Not compared yet",
    "NOTHING_TO_ROLL_BACK": "Nothing to put back",
}
MISSING = Said.default_error_messages["required"]
SENTENCES = {
    404: "There is nothing at this address. It may have moved, or never been.",
    405: "There is nothing at this address. It may have moved, or never been.",
    500: "It has been noted. Try again; if it happens again, pass on the request number.",
}


@dataclass(frozen=True)
class Refusal:
    """What a form says: a title and a sentence above it, and a sentence under each field that is wrong."""

    title: str = ""
    message: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    code: str = ""
    status: int = 422


Form = Callable[[Refusal], str]


def register(app: Flask) -> None:
    shown_by(app, "/", answer)


def refusals_go_to(form: Form) -> None:
    """While this request lasts, a refusal is answered by its form, with everything in it as it was typed."""
    g.refusal_form = form


def answer(problem: Problem) -> Response:
    """A problem in the form it came from, else above the page or as a page. Whoever is not signed in is sent to do that."""
    if problem.code == "UNAUTHENTICATED":
        return signed_out(problem)
    refusal = explain(problem)
    form: Form | None = g.pop("refusal_form", None)
    if form is not None and problem.status < 500 and problem.status not in (404, 413):
        response = make_response(form(refusal), problem.status)
    else:
        response = page(refusal)
    response.headers.extend({name: value for name, value in problem.headers.items() if name != "WWW-Authenticate"})
    return response


def signed_out(problem: Problem) -> Response:
    """Off to sign in and then back here; only a form that was typed into stays where it is, with what was typed."""
    if partial() and request.method != "GET":
        said = "Your session has ended, and nothing was sent. Sign in in another tab, then send this again: what you typed is still here."
        return page(Refusal("Signed out", said, code=problem.code, status=401))
    here = page_path()
    if g.get("half_signed_in"):
        return go(url_for("portal.auth.second_step", next=here), 401)
    return go(url_for("portal.auth.sign_in", next=here), 401)


def explain(problem: Problem) -> Refusal:
    named = problem.details.get("details")
    fields: dict[str, str] = {}
    for item in named if isinstance(named, list) else []:
        fields.setdefault(item["field"], "Fill this in." if item["message"] == MISSING else item["message"])
    message = SENTENCES.get(problem.status, problem.message)
    return Refusal(CODES.get(problem.code, TITLES.get(problem.status, TITLES[400])), message, fields, problem.code, problem.status)


def page(refusal: Refusal) -> Response:
    number = request_id() if refusal.status >= 500 else None
    if partial():
        body = render_template("errors/_notice.html", refusal=refusal, request_id=number)
        return make_response(body, refusal.status, {"HX-Retarget": refusal_place(), "HX-Reswap": "innerHTML"})
    return make_response(render_template("errors/page.html", refusal=refusal, request_id=number), refusal.status)
