"""Restores that are killed, whose disk runs full, whose database goes away, at every step: the live data are the old or the new ones, and
which, is said; a second try works."""

import hashlib
import random
import shutil
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from domain import audit
from domain.access import SYSTEM, operator
from domain.audit.verification import verify
from domain.marketplace.models import User
from domain.restores.restorer import Order
from domain.restores.ways import WAYS, Way
from tests.adapters.backups.conftest import FULL, new_key, silent, wish
from tests.factories import make_refund, make_user
from tests.proofs.attempts import Vault, attempt

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

BUSINESS = [table for table, way in WAYS.items() if way in (Way.RESTORED, Way.MONEY, Way.GREATEST)]
REFUSALS = {"BACKUP_ENGINE_UNAVAILABLE", "INSUFFICIENT_STORAGE", "RESTORE_FAILED"}


class Site:
    """A portal's data with a backup of how they were; `put_back` makes everything again what it was before the first restore."""

    def __init__(self, vault, engine, backup_id, server):
        self.vault, self.engine, self.backup_id, self.server = vault, engine, backup_id, server
        self.aside = vault.folder.with_name("aside")
        engine.dispose()
        if server is None:
            shutil.copy(self.file, self.aside.with_suffix(".db"))
        else:
            server.drop_database(server.url("tests_aside"))
            server.new_database("tests", name="tests_aside")
        shutil.copytree(vault.folder, self.aside)
        self.old = self.digest()

    @property
    def file(self):
        return Path(make_url(self.vault.database_url).database)

    def put_back(self):
        self.engine.dispose()
        if self.server is None:
            for ending in ("-wal", "-shm"):
                self.file.with_name(self.file.name + ending).unlink(missing_ok=True)
            shutil.copy(self.aside.with_suffix(".db"), self.file)
        else:
            for name in self.databases() - {"tests_aside"}:
                self.server.drop_database(self.server.url(name))
            self.server.new_database("tests_aside", name="tests")
        shutil.rmtree(self.vault.folder)
        shutil.copytree(self.aside, self.vault.folder)

    def databases(self):
        """Of the portal: what is live, what is put together, what was replaced."""
        with self.server.connect("postgres") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE 'tests%'")
            return {name for (name,) in cursor.fetchall()}

    def digest(self):
        """Every row of what a restore brings back, in no order."""
        whole = hashlib.sha256()
        with self.engine.connect() as connection:
            for table in BUSINESS:
                rows = sorted(str(row) for row in connection.execute(text(f"SELECT * FROM {table}")))
                whole.update("\n".join([table, *rows]).encode())
        self.engine.dispose()
        return whole.hexdigest()

    def order(self):
        return Order(uuid4(), "Asha Rao", backup_id=self.backup_id)

    def audit_is_whole(self):
        with Session(self.engine) as session:
            found = verify(session, operator())
        self.engine.dispose()
        return found.whole


@pytest.fixture
def site(database_url, engine, tmp_path, request):
    new_key(tmp_path)
    (tmp_path / "storage").mkdir()
    vault = Vault(database_url, tmp_path / "backups", tmp_path / "backup.key", tmp_path / "storage")
    with Session(engine) as session:
        for _ in range(10):
            make_refund(session)
        changing = make_user(session, name="As it was")
        session.commit()
        backup = vault.open().create(replace(wish(FULL), uploads=True), silent)
        session.get_one(User, changing.id).name = "As it is"
        for _ in range(5):
            make_refund(session)
            audit.record(session, SYSTEM, "test.happened")
        session.commit()
    server = request.getfixturevalue("postgres") if database_url.startswith("postgresql") else None
    return Site(vault, engine, backup.id, server)


@pytest.fixture
def whole(site):
    """A restore that nothing stops: how many steps it has, and what it leaves."""
    found = attempt(site.vault, "restore", site.order())
    assert found.error is None
    site.new = site.digest()
    assert site.new != site.old
    site.put_back()
    return found


def points(found, few):
    """Some steps of each part, and those around the swap all."""
    marks = dict(found.marks)
    chosen = {at + 1 for at in marks.values()} | {at + 2 for at in marks.values()}
    chosen |= set(range(1, found.steps, max(1, found.steps // few)))
    swap = range(marks["swapping"], min(marks["swapped"] + 12, found.steps))
    return sorted(chosen | set(swap[:: max(1, len(swap) // few)]))


def few(site):
    return 40 if site.server is None else 10


def judged(site, order):
    """Which side the data are on; `recover` says the same, and then nothing of the restore is left but what was replaced."""
    found = site.digest()
    assert found in (site.old, site.new)
    swapped = found == site.new
    sides = site.vault.restorer().recover()
    assert [(side.restore_id, side.swapped) for side in sides] in ([], [(order.id, swapped)])
    assert site.vault.restorer().recover() == []
    assert site.digest() == found
    assert site.audit_is_whole()
    if site.server is not None:
        left = {name for name in site.databases() if "_check_" not in name}  # the next backup drops those, as it says
        assert swapped or left == {"tests", "tests_aside"}
    assert not list(site.vault.folder.rglob("side.db*"))
    return swapped


def tried_again(site):
    again = attempt(site.vault, "restore", site.order())
    assert again.error is None
    assert site.digest() == site.new
    assert site.audit_is_whole()
    site.put_back()


def test_killed_at_any_step_the_data_are_the_old_or_the_new_ones(site, whole):
    sides = []
    for at in points(whole, few(site)):
        order = site.order()
        if not attempt(site.vault, "restore", order, die_at=at).died:
            assert at > whole.steps - 15  # it waited less often this time
            site.put_back()
            continue
        sides.append(judged(site, order))
        if len(sides) % 4 == 0:
            tried_again(site)
        else:
            site.put_back()
    assert sides == sorted(sides)  # once it has come to be it stays
    assert {False, True} == set(sides)
    print(f"killed at {len(sides)} of {whole.steps} steps, {sum(sides)} of them after the swap")


def test_killed_at_any_moment_of_the_swap(site, whole):
    dice, sides = random.Random(5), []
    for _ in range(10):
        order = site.order()
        outcome = attempt(site.vault, "restore", order, die_within=0.001 + dice.random() * 0.15)
        if outcome.died:
            sides.append(judged(site, order))
        tried_again(site)
    print(f"{sides.count(False)} died before the swap, {sides.count(True)} after it")


def test_a_file_that_may_not_grow_leaves_the_old_data(site, whole):
    refused = 0
    least = 40_000 if site.server is None else 300  # with less, SQLite cannot even be asked
    for most in [int(least * 1.2**number) for number in range(30)]:
        order = site.order()
        error = attempt(site.vault, "restore", order, most_bytes=most).error
        swapped = judged(site, order)
        assert error is None or error in REFUSALS, (most, error)
        refused += not swapped
        if swapped:
            break
        site.put_back()
    assert refused > 5
    tried_again(site)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_connections_that_are_cut_at_any_step_leave_the_old_or_the_new_data(site, whole):
    sides = []
    for at in points(whole, few(site)):
        order = site.order()
        outcome = attempt(site.vault, "restore", order, cut_at=at)
        assert outcome.error is None or outcome.error in REFUSALS, (at, outcome.error)
        swapped = judged(site, order)
        assert swapped or outcome.error, at
        sides.append(swapped)
        if len(sides) % 4 == 0:
            tried_again(site)
        else:
            site.put_back()
    assert False in sides
    print(f"cut at {len(sides)} steps: {sides.count(False)} restores failed, {sides.count(True)} came to be")
