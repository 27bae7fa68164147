"""The OpenAPI document: complete, valid, and the one that is committed."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from domain.access import Permission

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
OPEN = {"auth.login", "auth.refresh", "webhooks.stripe", "webhooks.razorpay"}
NOT_OPERATIONS = {"api-docs.openapi_json", "api_docs.index", "api_docs.static"}


@pytest.fixture
def document(client) -> dict[str, Any]:
    return client.get("/api/openapi.json").json


def operations(document: dict[str, Any]):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield method, path, operation


def test_it_is_valid_openapi_3_1(document):
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_the_committed_one_is_current(document):
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == document, "write: .venv/bin/flask openapi write docs/openapi.json"


def test_it_names_every_route_under_api(app, document):
    described = {(method, re.sub(r"{\w+}", "{}", path)) for method, path, _ in operations(document)}
    routes = {
        (method.lower(), re.sub(r"<[^>]+>", "{}", rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/") and rule.endpoint not in NOT_OPERATIONS
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }

    assert routes == described


def test_each_operation_has_its_summary_permission_refusals_and_example(document, subtests):
    for method, path, operation in operations(document):
        with subtests.test(operation=f"{method} {path}"):
            assert operation["summary"].endswith(".")
            assert operation["tags"]
            statuses = set(operation["responses"])
            assert {"429", "503"} <= statuses
            if operation["operationId"] in OPEN:
                assert operation["security"] == []
            else:
                assert "401" in statuses
                assert all(name in {permission.value for permission in Permission} for name in operation["x-required-permissions"])
                assert "403" in statuses or not operation["x-required-permissions"]
                assert "Needs" in operation["description"]
            if "{" in path:
                assert "404" in statuses
            if "requestBody" in operation:
                assert {"400", "413", "415", "422"} <= statuses
                assert "example" in operation["requestBody"]["content"]["application/json"]
            for status, response in operation["responses"].items():
                if status.startswith("2") and status != "204" and not is_file(response):
                    assert "example" in response["content"]["application/json"], status
                if status >= "400":
                    assert "`" in response["description"]
                    assert response["content"]["application/json"]["examples"]


def is_file(response):
    return "application/octet-stream" in response["content"]


def test_each_example_is_what_its_schema_says(document, subtests):
    for method, path, operation in operations(document):
        bodies = {"request": operation.get("requestBody", {})} | operation["responses"]
        for name, body in bodies.items():
            content = body.get("content", {}).get("application/json")
            if content and "schema" in content:
                examples = [content["example"]] if "example" in content else [each["value"] for each in content["examples"].values()]
                for example in examples:
                    with subtests.test(operation=f"{method} {path} {name}"):
                        schema = {**content["schema"], "components": document["components"]}
                        Draft202012Validator(schema).validate(example)


def test_changes_ask_for_an_idempotency_key(document):
    keyed = {
        operation["operationId"]
        for _, _, operation in operations(document)
        if any(parameter.get("name") == "Idempotency-Key" for parameter in operation.get("parameters", []))
    }

    assert {"refunds.approve", "refunds.reject", "refunds.retry", "payments.refund_payment"} <= keyed


def test_the_command_writes_it_and_says_nothing(settings, tmp_path):
    flask = Path(sys.executable).with_name("flask")
    environment = {"PATH": str(flask.parent), **settings}
    written = subprocess.run(
        [flask, "openapi", "write", tmp_path / "openapi.json"],
        env=environment, cwd=COMMITTED.parents[1], capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (written.returncode, written.stdout, written.stderr) == (0, "", "")
    assert (tmp_path / "openapi.json").read_text(encoding="utf-8") == COMMITTED.read_text(encoding="utf-8")


def test_the_page_for_people_brings_everything_with_it(client):
    page = client.get("/api/docs")

    assert page.status_code == 200
    assert "<script>" not in page.text
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert address.startswith(("/api/", "data:,"))
        if address.startswith("/api/"):
            with client.get(address) as file:
                assert file.status_code == 200
