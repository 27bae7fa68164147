"""Joins the doors to the house. `create_app()` is what gunicorn and `flask` run."""
# ruff: noqa: E402

import gc

collects = gc.isenabled()
gc.disable()  # nothing of what is imported is ever garbage, and to look for some takes half of a command's start and end

import sys

from flask import Flask, current_app

import api
import cli
import config
import portal
import web
from adapters.backups import make_vault
from adapters.gateways import make_gateways
from adapters.mail import make_mailer
from adapters.restores import make_restorer
from adapters.storage import make_storage
from tasks import outbox, worker
from tasks.queue import Bell
from web.db import db

gc.freeze()
if collects:
    gc.enable()

outbox.connect(db.session, lambda job_ids: current_app.extensions["bell"].ring(job_ids))


def create_app(settings: config.Config | None = None) -> Flask:
    settings = settings or load_settings()
    app = Flask(__name__, static_folder=None)
    app.config.update(PORTAL=settings, SECRET_KEY=settings.derived_key("cookies"))
    web.register(app)
    app.extensions["gateways"] = make_gateways(settings)
    app.extensions["storage"] = make_storage(settings)
    app.extensions["vault"] = vault = make_vault(settings)
    app.extensions["restorer"] = make_restorer(settings, vault)
    app.extensions["bell"] = Bell(settings)
    app.cli.add_command(worker.command(settings))
    for door in (api, portal, cli):
        door.register(app)
    return app


def load_settings() -> config.Config:
    try:
        settings = config.load()
        make_mailer(settings)  # whose settings have parts that only it understands
        make_storage(settings)
        make_vault(settings)
        return settings
    except config.ConfigError as error:
        for mistake in error.mistakes:
            print(mistake, file=sys.stderr)
        raise SystemExit(1) from None
