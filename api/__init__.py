"""The door for programs: JSON under /api/v1, described in /api/openapi.json."""

from flask import Flask

from api import health


def register(app: Flask) -> None:
    app.register_blueprint(health.blp)
