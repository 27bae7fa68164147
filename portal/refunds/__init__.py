"""/refunds, as people see it."""

from functools import partial
from uuid import UUID

from flask import Blueprint, Response, g, make_response, request

from domain.access import Permission
from domain.refunds import commands, queries
from domain.refunds.counts import sum_selected
from portal.errors import refusals_go_to
from portal.forms import read_form, typed_version
from portal.htmx import page_arguments, render
from portal.lists import picked
from portal.refunds import deciding, listing, showing
from web.access import needs
from web.db import db
from web.idempotency import idempotent
from web.inputs.refunds import RefundApproval, RefundRejection
from web.refunds import holder, pay_now, policy

blp = Blueprint("refunds", __name__, url_prefix="/refunds")


@blp.get("")
@needs(Permission.REFUNDS_LIST)
def index():
    query = listing.ListQuery.read(request.args)
    filters, refusals = listing.read_filters(query)
    page = queries.list_refunds(db.session(), g.actor, filters, policy())
    context = listing.list_context(query, page, refusals) | showing.addresses(query)
    status = 422 if refusals else 200
    return render("refunds/index.html", fragment="refunds/_queue.html", title=listing.title(query), **context), status


@blp.get("/selection")
@needs(Permission.REFUNDS_LIST)
def selection():
    """How many are selected, and their sums: never one sum over two currencies."""
    chosen = sum_selected(db.session(), g.actor, picked(request.args))
    sums = [{"currency": currency, "amount_cents": cents} for currency, cents in chosen.by_currency.items()]
    return render("refunds/selection.html", fragment="refunds/_selection.html", selection={"count": chosen.count, "sums": sums})


@blp.get("/<uuid:refund_id>")
@needs(Permission.REFUNDS_LIST)
def show(refund_id):
    return render("refunds/show.html", fragment="refunds/_drawer.html", **showing.detail_context(get(refund_id)))


@blp.get("/<uuid:refund_id>/now")
@needs(Permission.REFUNDS_LIST)
def now(refund_id):
    """What a refund that is under way asks for while somebody looks at it."""
    return render("refunds/show.html", fragment="refunds/_now.html", **context_with_tabs(get(refund_id)))


@blp.get("/<uuid:refund_id>/approve")
@needs(Permission.REFUNDS_APPROVE)
def approve_form(refund_id, refusal=None):
    return deciding.approve_form(get(refund_id), refusal)


@blp.get("/<uuid:refund_id>/reject")
@needs(Permission.REFUNDS_APPROVE)
def reject_form(refund_id, refusal=None):
    return deciding.reject_form(get(refund_id), refusal)


def after_the_gateway(_so_far: Response, refund_id: UUID) -> Response:
    """The second phase: the decision has committed, now the money; then the page as things stand."""
    pay_now(refund_id)
    return show_decided(refund_id)


@blp.post("/<uuid:refund_id>/approve")
@needs(Permission.REFUNDS_APPROVE)
@idempotent(second_phase=after_the_gateway)
def approve(refund_id):
    refusals_go_to(partial(approve_form, refund_id))
    currency = get(refund_id).refund.currency
    decision = read_form(RefundApproval, amount=("approved_amount_cents", deciding.amount_in(currency)))
    commands.approve(db.session(), g.actor, policy(), refund_id, **decision, expected_version=typed_version(), holder=holder())
    return show_decided(refund_id)


@blp.post("/<uuid:refund_id>/reject")
@needs(Permission.REFUNDS_APPROVE)
@idempotent()
def reject(refund_id):
    refusals_go_to(partial(reject_form, refund_id))
    commands.reject(db.session(), g.actor, refund_id, **read_form(RefundRejection), expected_version=typed_version())
    return show_decided(refund_id)


@blp.post("/<uuid:refund_id>/retry")
@needs(Permission.REFUNDS_APPROVE)
@idempotent(second_phase=after_the_gateway)
def retry(refund_id):
    commands.retry(db.session(), g.actor, policy(), refund_id, holder=holder())
    return show_decided(refund_id)


def get(refund_id: UUID) -> queries.RefundDetail:
    return queries.get_refund(db.session(), g.actor, refund_id, policy())


def show_decided(refund_id: UUID) -> Response:
    """The refund after an act, with every place on the page that it changes. While a second approval is awaited no money is due."""
    detail = get(refund_id)
    body = render("refunds/show.html", fragment="refunds/_decided.html", said=deciding.said(detail), **context_with_tabs(detail))
    return make_response(body, 202 if detail.refund.awaiting_decision else 200)


def context_with_tabs(detail: queries.RefundDetail) -> dict[str, object]:
    query = listing.ListQuery.read(page_arguments())
    filters, _ = listing.read_filters(query)
    summary = queries.summarise_refunds(db.session(), g.actor, filters, policy())
    return showing.detail_context(detail) | listing.tabs_context(query, summary)
