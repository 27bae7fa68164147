"""SQL that SQLite and PostgreSQL spell differently."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, func, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from domain.db import UtcDateTime


class moved(FunctionElement[Any]):
    """A moment and a number of hours: that much later, or earlier."""

    type = UtcDateTime()
    inherit_cache = True
    name = "moved"


@compiles(moved)
def _strftime(element: Any, compiler: Any, **options: Any) -> str:
    # In the form that moments are stored in, so that they compare as texts; to the millisecond.
    moment, hours = element.clauses
    form: ColumnElement[str] = literal_column("'%Y-%m-%d %H:%M:%f'")
    return str(compiler.process(func.strftime(form, moment, hours.concat(" hours")), **options))


@compiles(moved, "postgresql")
def _interval(element: Any, compiler: Any, **options: Any) -> str:
    moment, hours = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({moment} + {hours} * interval '1 hour')"
