"""What both doors share about HTTP: the request's session, identity and limits, keys, headers, and what may be asked."""

from flask import Flask

from web import auth, cache, cors, db, headers, health, limits, logs, problems, requests, traffic


def register(app: Flask) -> None:
    """Prepare an application whose settings are in `app.config["PORTAL"]`. What is registered first sees each answer last."""
    logs.register(app)
    traffic.register(app)
    headers.register(app)
    cors.register(app)
    requests.register(app)
    problems.register(app)
    limits.register(app)
    db.register(app)
    cache.register(app)
    auth.register(app)
    health.register(app)
