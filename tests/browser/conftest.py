"""The portal in production's processes, people with browsers at it, and a watch over what their pages do."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pyotp
import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright
from sqlalchemy import Engine, Select, delete
from sqlalchemy.orm import Session

import config
import domain.models  # noqa: F401  every table, so that each can be emptied
from domain.db import Base, make_engine, now
from domain.identity import sessions
from domain.identity.mfa import Sealer
from domain.identity.models import Admin, Door
from domain.identity.passwords import Passwords
from domain.roles.models import Role
from tests.factories import make_admin
from tests.servers.portal import Portal
from tests.servers.tools import chromium

PASSWORD = "correct horse battery staple"
TOTP = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
SLOWEST = 15_000
SLOWED = float(os.environ.get("BROWSER_SLOWED", 1))  # how many times slower than this machine the browser's is to be
expect.set_options(timeout=SLOWEST)


class House:
    """A running portal with an empty database, and the keys to it."""

    def __init__(self, portal: Portal):
        self.portal, self.url = portal, portal.url
        self.settings = config.load(portal.environment)
        self.engine: Engine = make_engine(self.settings.database_url)

    def make(self, factory: Callable[..., object], *arguments: object, **fields: object) -> object:
        """What the factory makes, committed."""
        with Session(self.engine, expire_on_commit=False) as session:
            row = factory(session, *arguments, **fields)
            session.commit()
            return row

    def get(self, model: type, id: object) -> object:
        with Session(self.engine) as session:
            return session.get_one(model, id)

    def all(self, statement: Select) -> list[object]:
        with Session(self.engine) as session:
            return list(session.scalars(statement))

    def admin(self, **fields: object) -> Admin:
        """Somebody who can sign in with PASSWORD and codes made from TOTP."""
        with Session(self.engine, expire_on_commit=False) as session:
            admin = make_admin(session, password_hash=Passwords(1024, 1).hash(PASSWORD), totp_confirmed_at=now(), **fields)
            admin.totp_secret = Sealer(self.settings.derived_key("totp")).seal(TOTP, admin.id)
            session.commit()
            return admin

    def cookie(self, admin: Admin, stale: bool = False) -> dict[str, str]:
        """The cookie of a session that is open already, its second step just taken, or (`stale`) a while ago."""
        with Session(self.engine) as session:
            row, secret = sessions.open_session(session, admin.id, Door.PORTAL, sessions.visitor())
            row.mfa_at = now() - timedelta(hours=stale) if admin.mfa_enrolled else None
            session.commit()
        signer = Flask("signer")
        signer.secret_key = self.settings.derived_key("cookies")
        value = SecureCookieSessionInterface().get_signing_serializer(signer).dumps({"_user_id": secret})
        return {"name": "portal", "value": value, "url": self.url}


@pytest.fixture(scope="session")
def running_house(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("data")
    (folder / "portal.db").write_bytes(sqlite_template.read_bytes())
    with Portal({"DATA_DIR": str(folder), "RATE_LIMIT": "3000 per minute", "GATEWAY_TIMEOUT_SECONDS": "2"}, workers=0) as portal:
        house = House(portal)
        yield house
        house.engine.dispose()


@pytest.fixture
def house(running_house: House) -> House:
    """The portal, emptied of everything but the system's roles and its audit."""
    with running_house.engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            if table.name != "roles" and not table.name.startswith("audit_"):
                connection.execute(table.delete())
        connection.execute(delete(Role).where(Role.is_system_role.is_(False)))
    return running_house


@pytest.fixture(scope="session")
def chromium_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium()), args=["--disable-dev-shm-usage", "--disable-gpu"])
        yield browser
        browser.close()


@dataclass
class Watch:
    """What pages did that they never should: break the policy, ask another host, throw."""

    host: str
    wrongs: list[str] = field(default_factory=list)

    def over(self, context: BrowserContext) -> None:
        context.on("request", self.request)
        context.on("console", self.console)
        context.on("weberror", lambda error: self.wrongs.append(f"script error: {error.error}"))

    def request(self, request: Request) -> None:
        if urlsplit(request.url).netloc != self.host and not request.url.startswith(("data:", "blob:")):
            self.wrongs.append(f"asked another host: {request.url}")

    def console(self, message: ConsoleMessage) -> None:
        # A refusal's status is noted by the browser itself; everything else that it minds is ours to mend.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.wrongs.append(f"{message.type} on {message.page and message.page.url}: {message.text}")


@pytest.fixture
def watch(house: House) -> Iterator[Watch]:
    watch = Watch(urlsplit(house.url).netloc)
    yield watch
    assert watch.wrongs == []


@pytest.fixture
def visit(chromium_browser: Browser, house: House, watch: Watch) -> Iterator[Callable[..., Page]]:
    """`visit(admin, width=390)`: a browser of their own, signed in unless nobody is named."""
    contexts = []

    def open_browser(admin: Admin | None = None, *, width: int = 1440, height: int = 900, stale: bool = False, **options: object) -> Page:
        context = chromium_browser.new_context(base_url=house.url, viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.set_default_timeout(SLOWEST)
        watch.over(context)
        if admin is not None:
            context.add_cookies([house.cookie(admin, stale)])
        page = context.new_page()
        if SLOWED > 1:
            context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWED})
        return page

    yield open_browser
    for context in contexts:
        context.close()


@pytest.fixture
def nisha(house: House) -> Admin:
    return house.admin(name="Nisha Kapoor", email="nisha@example.com", timezone="Asia/Kolkata")


def code_of_now(step: int = 0) -> str:
    """What the phone shows; `step` 1 is the next code, already good a little early."""
    return pyotp.TOTP(TOTP).at(int(now().timestamp()) + 30 * step)
