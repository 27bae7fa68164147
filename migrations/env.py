"""Runs migrations on the portal's own engine; one database, online only."""

from alembic import context
from sqlalchemy import text

from domain.db import make_engine
from domain.models import metadata


def run() -> None:
    engine = make_engine(context.config.attributes["database_url"])
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            # Two hosts that start at once must not migrate at once.
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(text("SET lock_timeout = '60s'"))
            connection.execute(text("SELECT pg_advisory_lock(7221001)"))
            connection.commit()
        context.configure(
            connection=connection,
            target_metadata=metadata,
            render_as_batch=connection.dialect.name == "sqlite",
            transaction_per_migration=connection.dialect.name == "postgresql",
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
