"""The door for programs: JSON under /api/v1, described in /api/openapi.json and, for people, at /api/docs."""

from threading import RLock

import flask_smorest
from apispec import APISpec
from flask import Flask

from api import admins, audit, auth, backups, docs, errors, health, jobs, referrals, refunds, restores, roles, system, webhooks
from api.envelope import ErrorAnswer
from web.inputs.fields import Bound

BLUEPRINTS: tuple[flask_smorest.Blueprint, ...] = (
    admins.blp,
    admins.invited,
    audit.blp,
    auth.blp,
    backups.blp,
    jobs.blp,
    referrals.blp,
    refunds.blp,
    refunds.payments,
    restores.blp,
    roles.blp,
    roles.permissions,
    system.blp,
    webhooks.blp,
)

ABOUT = """\
Refunds, jobs, referrals and roles of a services marketplace, for its admins.

Sign in at `POST /api/v1/admin/auth/login` and send `Authorization: Bearer <access_token>`. Every answer has the shape
`{"success", "data", "meta"}`, every error `{"success", "error": {"code", "message", "request_id"}}`. Money is a whole number of the
currency's minor units; times are RFC 3339 in UTC. Calls that change something take an `Idempotency-Key`.
"""


class Api(flask_smorest.Api):
    """The library's, that describes itself when the document is first asked for: to do so is most of what a start would cost."""

    ERROR_SCHEMA = ErrorAnswer
    DEFAULT_ERROR_RESPONSE_NAME = None

    def __init__(self, app: Flask):
        self._undescribed: list[flask_smorest.Blueprint] = []
        self._answers_are_described = False
        self._describing = RLock()
        super().__init__(app)

    @property
    def spec(self) -> APISpec:
        with self._describing:
            undescribed, self._undescribed = self._undescribed, []
            if undescribed and not self._answers_are_described:
                self._answers_are_described = True
                super()._register_responses()
            for blueprint in undescribed:
                blueprint.register_views_in_doc(self, self._app, self._spec, name=blueprint.name, parameters=None)
                self._spec.tag({"name": blueprint.name, "description": blueprint.description})
            return self._spec

    @spec.setter
    def spec(self, spec: APISpec) -> None:
        self._spec = spec

    def register_blueprint(self, blueprint: flask_smorest.Blueprint) -> None:
        self._app.extensions["flask-smorest"]["blp_name_to_api"][blueprint.name] = self
        self._app.register_blueprint(blueprint)
        self._undescribed.append(blueprint)

    def _register_responses(self) -> None:
        """One for each status there is: `spec` sees to them."""

    def _register_error_handlers(self) -> None:
        """Errors are web/problems' business; the library would turn the portal's pages into JSON."""

    def _register_etag_headers(self) -> None:
        """The API has no ETags."""

    def _register_pagination_header(self) -> None:
        """Pages are told of in `meta`."""


def register(app: Flask) -> None:
    app.config.update(
        API_TITLE="Marketplace admin API",
        API_VERSION="v1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/api",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS={
            "info": {"description": ABOUT},
            "security": [{"bearerAuth": []}],
            "components": {"securitySchemes": {"bearerAuth": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}},
        },
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    rest = Api(app)
    rest.register_field(Bound, "string", None)
    for blueprint in BLUEPRINTS:
        rest.register_blueprint(blueprint)
    for plain in (docs.blp, health.blp):
        app.register_blueprint(plain)
    errors.register(app)
