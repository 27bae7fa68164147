"""/help: the keyboard shortcuts, as a dialog or a page."""

from flask import Blueprint

from portal.htmx import render
from web.access import needs

blp = Blueprint("help", __name__, url_prefix="/help")

KEYS = (
    ("Next, previous row", ("J", "K"), "/"),
    ("Open", ("O", "Enter"), "/"),
    ("Close", ("Esc",), ""),
    ("Approve…", ("A",), ""),
    ("Reject…", ("R",), ""),
    ("Select", ("X",), ""),
    ("Search", ("/",), ""),
    ("Previous, next page", ("[", "]"), "/"),
    ("Send the form", ("Ctrl", "Enter"), "+"),
    ("Go to refunds", ("G", "R"), "then"),
    ("Go to jobs", ("G", "J"), "then"),
    ("Go to health", ("G", "H"), "then"),
    ("Go to backups", ("G", "B"), "then"),
    ("Pause live updates", ("P",), ""),
    ("Change theme", ("T",), ""),
    ("These shortcuts", ("?",), ""),
)


@blp.get("/keys")
@needs()
def keys():
    rows = [{"does": does, "press": press, "between": between} for does, press, between in KEYS]
    return render("help/keys.html", fragment="help/_keys.html", keys=rows)
