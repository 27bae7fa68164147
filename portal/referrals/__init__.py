"""/referrals, as people see them."""

from flask import Blueprint, current_app, g, request

from domain.access import Permission
from domain.referrals import detail, queries
from domain.referrals.summary import count_risks
from portal.htmx import render
from portal.referrals import listing, showing
from web.access import needs
from web.cache import cache
from web.db import db

blp = Blueprint("referrals", __name__, url_prefix="/referrals")


@blp.get("")
@needs(Permission.REFERRALS_LIST)
def index():
    query = listing.ReferralsQuery.read(request.args)
    filters, refusals = listing.read_filters(query)
    page = queries.list_referrals(db.session(), g.actor, filters, cache(), current_app.config["PORTAL"].default_currency)
    context = listing.list_context(query, page, count_risks(db.session(), g.actor, cache()), refusals)
    status = 422 if refusals else 200
    return render("referrals/index.html", fragment="referrals/_fragment.html", title=listing.title(query), **context), status


@blp.get("/<uuid:referral_id>")
@needs(Permission.REFERRALS_LIST)
def show(referral_id):
    found = detail.get_referral(db.session(), g.actor, referral_id)
    return render("referrals/show.html", fragment="referrals/_detail.html", **showing.detail_context(found))
