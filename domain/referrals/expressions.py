"""SQL that SQLite and PostgreSQL spell differently, or that is long."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Integer, case, func, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from domain.db import UtcDateTime


class position(FunctionElement[int]):
    """Where in a text a part of it begins, from 1; 0 where it is not there."""

    type = Integer()
    inherit_cache = True
    name = "position"


@compiles(position)
def _instr(element: Any, compiler: Any, **options: Any) -> str:
    return str(compiler.process(func.instr(*element.clauses), **options))


@compiles(position, "postgresql")
def _strpos(element: Any, compiler: Any, **options: Any) -> str:
    return str(compiler.process(func.strpos(*element.clauses), **options))


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


DOTLESS = ("gmail.com", "googlemail.com")
"""Where mail to a.sha@ and asha@ arrives in one box."""


def mailbox(email: ColumnElement[str]) -> ColumnElement[str]:
    """The box that mail to this address arrives in: case, a tag behind a plus, and the dots that Gmail overlooks make no difference."""
    address = func.lower(func.trim(email))
    at = position(address, "@")
    local, host = func.substr(address, 1, at - 1), func.substr(address, at + 1)
    plus = position(local, "+")
    plain = case((plus > 1, func.substr(local, 1, plus - 1)), else_=local)
    box = case(
        (host.in_(DOTLESS), func.replace(plain, ".", "").concat("@gmail.com")),
        else_=plain.concat("@").concat(host),
    )
    return case((at > 1, box), else_=address)


def plain_name(name: ColumnElement[str]) -> ColumnElement[str]:
    """A name without its case and its spaces."""
    return func.replace(func.lower(name), " ", "")
