"""The door for operators: one group of commands per noun. What goes wrong is one line on stderr and exit 1."""

from copy import copy
from typing import Any

import click
from flask import Flask
from sqlalchemy.exc import OperationalError

from cli.admin import admin
from cli.archiver import archiver
from cli.audit import audit
from cli.backup import backup
from cli.data import data
from cli.db import db
from cli.doctor import doctor
from cli.jobs import jobs
from cli.openapi import openapi
from cli.roles import roles
from cli.serve import serve
from config import ConfigError
from domain.errors import DomainError


def register(app: Flask) -> None:
    for command in (admin, archiver, audit, backup, data, db, doctor, jobs, openapi, roles, serve):
        app.cli.add_command(said_plainly(command))


def said_plainly(command: click.Command) -> click.Command:
    """The command, with its errors made into one line each; a copy, since a process may make several applications."""
    invoke, plain = command.invoke, copy(command)

    def run(context: click.Context) -> Any:
        try:
            return invoke(context)
        except ConfigError as error:
            raise click.ClickException("\n".join(error.mistakes)) from None
        except DomainError as error:
            raise click.ClickException(error.message) from None
        except OperationalError as error:
            reason = str(error.orig).strip().splitlines()[0]
            raise click.ClickException(f"The database does not answer, or was never migrated (flask db upgrade): {reason}") from None

    plain.invoke = run  # type: ignore[method-assign,assignment]
    return plain
