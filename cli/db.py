"""`flask db`: the schema."""

import click
from flask import current_app
from flask.cli import AppGroup

import migrations

db = AppGroup("db", help="The database's schema.")


@db.command("upgrade")
def upgrade() -> None:
    """Bring the database to the schema this version needs; a second run changes nothing.

    \b
    Example: flask db upgrade
    """
    settings = current_app.config["PORTAL"]
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    migrations.upgrade(settings.database_url)
    click.echo(f"The database is at revision {migrations.newest()}.")
