"""The blueprint that every noun of the API is made of: strict parsing, and a document that says what `needs` and `idempotent` do."""

from http import HTTPStatus
from typing import Any

import flask_smorest

from api import refusals
from api.operations import NOTHING, OPERATIONS, Operation
from api.parsing import Parser


class Blueprint(flask_smorest.Blueprint):
    ARGUMENTS_PARSER = Parser()

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._prepare_doc_cbks.append(describe)

    def add_url_rule(self, rule: str, *args: Any, **kwargs: Any) -> None:
        super().add_url_rule(rule, *args, **kwargs)
        endpoint = self._endpoints[-1]
        for method, info in self._docs[endpoint].items():
            if method != "parameters":
                info["operation_id"] = f"{self.name}.{endpoint}"
                info["with_id"] = "<" in rule


def describe(doc: dict[str, Any], info: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add to an operation who may use it, its key, its refusals and its examples."""
    access, key = info.get("access"), info.get("idempotent")
    doc["operationId"] = info["operation_id"]
    notes = []
    if access is None:
        doc["security"] = []
    else:
        doc["x-required-permissions"] = [permission.value for permission in access["permissions"]]
        notes.append(said_of_access(access))
    if key is not None:
        doc.setdefault("parameters", []).append(key_parameter(key))
        if key["dry_run"]:
            doc["parameters"].append(DRY_RUN)
        notes.append("Happens once per `Idempotency-Key`; the same call again within 24 hours gets the same answer.")
    add_description(info["docstring"], notes)
    for status, found in refusals.responses(possible(doc, info)).items():
        answers = doc.setdefault("responses", {})
        own = answers.get(status)  # a name, where it is but the library's default
        answers[status] = either(own, found) if isinstance(own, dict) else found
    add_examples(doc, OPERATIONS.get(doc["operationId"], NOTHING))
    doc["responses"] = dict(sorted(doc["responses"].items()))
    if key is not None:
        for status, response in doc["responses"].items():
            if int(status) < 300 and isinstance(response, dict):
                response.setdefault("headers", {})["Idempotent-Replayed"] = {
                    "schema": {"type": "string", "const": "true"},
                    "description": "Present where this is the stored answer of an earlier call.",
                }
    return doc


def said_of_access(access: dict[str, Any]) -> str:
    names = " or ".join(f"`{permission.value}`" for permission in access["permissions"])
    said = f"Needs the permission {names}." if names else "Needs a signed-in admin, whatever the role."
    return f"{said} Needs a fresh second factor." if access["mfa"] else said


def key_parameter(key: dict[str, bool]) -> dict[str, Any]:
    dry_run = key["dry_run"]
    return {
        "in": "header",
        "name": "Idempotency-Key",
        "required": key["required"] and not dry_run,
        "description": "1 to 255 visible ASCII characters, a UUID for instance; the same one when the call is retried."
        + (" Not needed with `dry_run=true`." if dry_run else "" if key["required"] else " May be left out."),
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "example": "6f1b8e0c-2f8e-4f0e-9d35-0a1f4f9a8c11",
    }


DRY_RUN = {
    "in": "query",
    "name": "dry_run",
    "required": False,
    "description": "`true`: every check is made and the answer says what would happen, but nothing does.",
    "schema": {"type": "boolean", "default": False},
}


def add_description(docstring: dict[str, Any], notes: list[str]) -> None:
    parts = [part for part in (docstring.get("description"), " ".join(notes)) if part]
    if parts:
        docstring["description"] = "\n\n".join(parts)


def possible(doc: dict[str, Any], info: dict[str, Any]) -> list[refusals.Refusal]:
    """Everything that this kind of operation may be refused with, its own refusals first."""
    found = list(OPERATIONS.get(doc["operationId"], NOTHING).refusals)
    access = info.get("access")
    if access is not None:
        found += refusals.SIGNED_IN
        if access["permissions"]:
            found.append(refusals.forbidden(permission.value for permission in access["permissions"]))
        if access["mfa"]:
            found += refusals.WITH_MFA
    if info.get("with_id"):
        found += refusals.WITH_ID
    if "requestBody" in doc:
        found += refusals.WITH_BODY
    elif any(parameter.get("in") == "query" for parameter in doc.get("parameters", []) if isinstance(parameter, dict)):
        found += refusals.WITH_QUERY
    if info.get("idempotent") is not None:
        found += refusals.WITH_KEY if info["idempotent"]["required"] else refusals.WITH_KEY[1:]
    return [*found, *refusals.ANYWHERE]


def either(own: dict[str, Any], refusal: dict[str, Any]) -> dict[str, Any]:
    """One status that a view answers with in a shape of its own, and may be refused with as everything may."""
    mine, theirs = own["content"]["application/json"], refusal["content"]["application/json"]
    return {
        **refusal,
        "description": f"{own['description']}. {refusal['description']}",
        "content": {
            "application/json": {
                "schema": {"anyOf": [mine["schema"], theirs["schema"]]},
                "examples": {"answer": {"value": mine["example"]}, **theirs["examples"]},
            }
        },
    }


def add_examples(doc: dict[str, Any], operation: Operation) -> None:
    if operation.request is not None and "requestBody" in doc:
        doc["requestBody"]["content"]["application/json"]["example"] = operation.request
    for status, answer in operation.answers.items():
        response = doc["responses"].setdefault(status, {"description": HTTPStatus(status).phrase})
        response.setdefault("content", {}).setdefault("application/json", {})["example"] = answer
