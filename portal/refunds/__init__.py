"""/refunds, as people see it."""

from flask import Blueprint, current_app, g, request

from domain.access import Permission
from domain.refunds import queries
from domain.refunds.counts import sum_selected
from domain.refunds.policy import RefundPolicy
from portal.htmx import render
from portal.refunds import deciding, listing, showing
from web.access import needs
from web.db import db

blp = Blueprint("refunds", __name__, url_prefix="/refunds")


@blp.get("")
@needs(Permission.REFUNDS_LIST)
def index():
    query = listing.ListQuery.read(request.args)
    filters, refusals = listing.read_filters(query)
    page = queries.list_refunds(db.session, g.actor, filters, policy())
    context = listing.list_context(query, page, refusals) | showing.addresses()
    status = 422 if refusals else 200
    return render("refunds/index.html", fragment="refunds/_list.html", title=listing.title(query), **context), status


@blp.get("/selection")
@needs(Permission.REFUNDS_LIST)
def selection():
    """How many are selected, and their sums: never one sum over two currencies."""
    chosen = sum_selected(db.session, g.actor, listing.picked(request.args))
    sums = [{"currency": currency, "amount_cents": cents} for currency, cents in chosen.by_currency.items()]
    return render("refunds/selection.html", fragment="refunds/_selection.html", selection={"count": chosen.count, "sums": sums})


@blp.get("/<uuid:refund_id>")
@needs(Permission.REFUNDS_LIST)
def show(refund_id):
    detail = queries.get_refund(db.session, g.actor, refund_id, policy())
    return render("refunds/show.html", fragment="refunds/_detail.html", **showing.detail_context(detail))


@blp.get("/<uuid:refund_id>/approve")
@needs(Permission.REFUNDS_APPROVE)
def approve_form(refund_id):
    return deciding.approve_form(queries.get_refund(db.session, g.actor, refund_id, policy()))


@blp.get("/<uuid:refund_id>/reject")
@needs(Permission.REFUNDS_APPROVE)
def reject_form(refund_id):
    return deciding.reject_form(queries.get_refund(db.session, g.actor, refund_id, policy()))


def policy() -> RefundPolicy:
    settings = current_app.config["PORTAL"]
    return RefundPolicy(settings.dual_approval_limits, settings.default_currency)
