"""The API's document to read and to try, under the same strict policy as every page."""

import json

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PASSWORD

pytestmark = pytest.mark.browser


def test_an_operation_can_be_tried_out(visit, house, nisha):
    page = visit()
    page.goto("/api/docs")
    sign_in = page.locator(".opblock", has_text="/auth/login")
    sign_in.locator("button.opblock-summary-control").click()
    sign_in.get_by_role("button", name="Try it out").click()
    sign_in.locator("textarea").fill(json.dumps({"email": nisha.email, "password": PASSWORD}))
    sign_in.get_by_role("button", name="Execute").click()

    expect(sign_in.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    expect(sign_in.locator(".live-responses-table .response-col_description").last).to_contain_text("access_token")


def test_every_operation_is_on_the_page(visit, house):
    page = visit()
    document = page.request.get("/api/openapi.json").json()
    page.goto("/api/docs")

    operations = sum(1 for item in document["paths"].values() for method in item if method != "parameters")
    expect(page.locator(".opblock")).to_have_count(operations)
