"""Rows by the million, made by the database itself."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, String, cast, func, insert, inspect, literal, select
from sqlalchemy.orm import Session

from domain.db import Identified


def multiply(session: Session, row: Identified, times: int, **changed: Callable[[ColumnElement[int]], Any]) -> None:
    """That many copies of a row, each with an id of its own; `changed` says what else differs, by the number of the copy."""
    first = select(literal(1).label("n")).cte(recursive=True)
    numbers = first.union_all(select(first.c.n + 1).where(first.c.n < times))
    sqlite = session.get_bind().dialect.name == "sqlite"
    new_id = func.lower(func.hex(func.randomblob(16))) if sqlite else func.gen_random_uuid()
    model = type(row)
    columns = [attribute.columns[0] for attribute in inspect(model).column_attrs if attribute.key != "id"]
    names = [attribute.key for attribute in inspect(model).column_attrs if attribute.key != "id"]
    values = [changed[name](numbers.c.n) if name in changed else column for name, column in zip(names, columns, strict=True)]
    copies = select(new_id, *values).select_from(model.__table__.join(numbers, literal(True))).where(model.id == row.id)
    session.execute(insert(model.__table__).from_select(["id", *(column.name for column in columns)], copies))


def numbered(prefix: str) -> Callable[[ColumnElement[int]], Any]:
    return lambda n: literal(prefix).concat(cast(n, String))


def earlier(session: Session, moment: datetime, step: timedelta) -> Callable[[ColumnElement[int]], Any]:
    """Each copy a step before the one that came before it."""
    if session.get_bind().dialect.name == "sqlite":
        return lambda n: func.strftime("%Y-%m-%d %H:%M:%f000", moment.timestamp() - n * step.total_seconds(), "unixepoch")
    return lambda n: func.to_timestamp(moment.timestamp() - n * step.total_seconds())
