"""The schema's history, run by Alembic: `upgrade(url)` brings a database to the newest revision."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.config import Config

HERE = Path(__file__).parent


@cache
def revisions() -> tuple[str, ...]:
    """All that this code knows, oldest first: their files are named after them. To ask Alembic costs each process its import."""
    return tuple(sorted(file.name.partition("_")[0] for file in (HERE / "versions").glob("[0-9]*_*.py")))


def newest() -> str:
    """The revision this code needs."""
    return revisions()[-1]


def upgrade(database_url: str, revision: str = "head") -> None:
    from alembic import command

    command.upgrade(configuration(database_url), revision)


def downgrade(database_url: str, revision: str) -> None:
    from alembic import command

    command.downgrade(configuration(database_url), revision)


def configuration(database_url: str) -> Config:
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(HERE))
    settings.attributes["database_url"] = database_url
    return settings
