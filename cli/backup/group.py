"""The group itself, and what its commands share."""

import click
from flask.cli import AppGroup

backup = AppGroup("backup", help="Backups of the database: made while the portal works, put together again before they count.")

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
backup_id = click.argument("backup_id", metavar="ID", type=click.UUID)
