"""Somebody at the portal: a client that is signed in, opens pages, and sends the forms that it finds on them."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from domain.identity.models import Admin

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}


@dataclass
class Form:
    action: str
    fields: dict[str, str] = field(default_factory=dict)


class FormReader(HTMLParser):
    """The forms of a page with what a browser would send of them untouched."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.text_of: str | None = None
        self.choice: str | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.forms.append(Form(given.get("action", "")))
        elif self.forms and tag == "input" and "name" in given:
            if given.get("type") not in ("checkbox", "radio") or "checked" in given:
                self.forms[-1].fields[given["name"]] = given.get("value", "")
        elif self.forms and tag == "textarea":
            self.text_of = given["name"]
            self.forms[-1].fields[self.text_of] = ""
        elif tag == "select":
            self.choice = given["name"]
        elif self.forms and tag == "option" and self.choice and ("selected" in given or self.choice not in self.forms[-1].fields):
            self.forms[-1].fields[self.choice] = given.get("value", "")

    def handle_data(self, data: str) -> None:
        if self.text_of:
            self.forms[-1].fields[self.text_of] += data.removeprefix("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self.text_of = None
        elif tag == "select":
            self.choice = None


def forms_of(response: TestResponse) -> list[Form]:
    reader = FormReader()
    reader.feed(response.text)
    return reader.forms


@dataclass
class Person:
    client: FlaskClient
    admin: Admin | None = None

    def open(self, path: str, *, partial: bool = False, shown: str | None = None) -> TestResponse:
        """Go to a page, or have htmx fetch a part of one that is shown at another address."""
        return self.client.get(path, headers=self.headers(partial, shown))

    def form(self, path: str, *, partial: bool = False) -> Form:
        """The form on that page which is sent to where it stands."""
        return self.find_form(self.open(path, partial=partial), path.partition("?")[0])

    @staticmethod
    def find_form(response: TestResponse, action: str) -> Form:
        return next(form for form in forms_of(response) if form.action.partition("?")[0] == action)

    def send(self, form: Form, *, partial: bool = False, shown: str | None = None, **changes: str | None) -> TestResponse:
        """Send a form with these changes; a field that is None is not sent, as a box without its tick is not."""
        fields = {name: value for name, value in {**form.fields, **changes}.items() if value is not None}
        headers: dict[str, Any] = self.headers(partial, shown)
        if partial:
            headers["HX-Target"] = "div#dialog-body"
        return self.client.post(form.action, data=fields, headers=headers)

    @staticmethod
    def headers(partial: bool, shown: str | None) -> dict[str, str]:
        return {**PARTIAL, "HX-Current-URL": f"http://localhost{shown or '/refunds'}"} if partial else {}
