"""What a worker works with."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event

from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from adapters.backups import make_vault
from adapters.gateways import make_gateways
from adapters.mail import make_mailer
from adapters.restores import make_restorer
from adapters.storage import make_storage
from config import Config
from domain.backups.vault import Vault
from domain.db import make_engine
from domain.notifications.delivery import Mailer
from domain.refunds.gateway import Gateways
from domain.restores.restorer import Restorer
from domain.storage import Storage


@dataclass(frozen=True)
class Context:
    """`sessions()` opens a session, `sessions.begin()` one whose block is a transaction. `stopping` is set when the worker is to end."""

    config: Config
    engine: Engine
    sessions: sessionmaker[Session]
    gateways: Gateways
    mailer: Mailer
    storage: Storage
    vault: Vault
    restorer: Restorer
    stopping: Event = field(default_factory=Event)


def make_context(config: Config) -> Context:
    engine = make_engine(config.database_url)
    vault = make_vault(config)
    return Context(
        config=config,
        engine=engine,
        sessions=sessionmaker(engine, expire_on_commit=False),
        gateways=make_gateways(config),
        mailer=make_mailer(config),
        storage=make_storage(config),
        vault=vault,
        restorer=make_restorer(config, vault),
    )
