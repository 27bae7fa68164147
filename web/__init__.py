"""What both doors share about HTTP: the request's session, identity and limits, keys, headers, and what may be asked."""

from flask import Flask

from web import db, requests


def register(app: Flask) -> None:
    """Prepare an application whose settings are in `app.config["PORTAL"]`."""
    requests.register(app)
    db.register(app)
