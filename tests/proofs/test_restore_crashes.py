"""Restores that are killed, whose disk runs full, whose database goes away, at every step: the live data are the old or the new ones, and
which, is said; a second try works."""

import hashlib
import random
import shutil
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from adapters.restores import merging
from domain import audit
from domain.access import SYSTEM, operator
from domain.audit.verification import verify
from domain.errors import DomainError
from domain.marketplace.models import User
from domain.restores.restorer import Order
from domain.restores.ways import WAYS, Way
from tests.adapters.backups.conftest import FULL, new_key, silent, wish
from tests.factories import make_refund, make_user
from tests.proofs import disks
from tests.proofs.attempts import CALLS, CHANGING, Vault, assert_all_reached, attempt, part_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

BUSINESS = [table for table, way in WAYS.items() if way in (Way.RESTORED, Way.MONEY, Way.GREATEST)]
REFUSALS = {"BACKUP_ENGINE_UNAVAILABLE", "INSUFFICIENT_STORAGE", "RESTORE_FAILED"}


class Site:
    """A portal's data with a backup of how they were; `put_back` makes everything again what it was before the first restore."""

    def __init__(self, vault, engine, backup_id, server):
        self.vault, self.engine, self.backup_id, self.server = vault, engine, backup_id, server
        self.aside = vault.folder.with_name("aside")
        self.seen = set()
        engine.dispose()
        if server is None:
            shutil.copy(self.file, self.aside.with_suffix(".db"))
        else:
            server.drop_database(server.url("tests_aside"))
            server.new_database("tests", name="tests_aside")
        shutil.copytree(vault.folder, self.aside)
        self.old, self.schema = self.digest(), self.shape()

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
        self.put_back_folder()

    def put_back_folder(self):
        disks.put_back(self.vault.folder, self.aside)

    def left(self):
        """What lies about, by its kind."""
        found = sorted(CHANGING.sub("*", str(path.relative_to(self.vault.folder))) for path in self.vault.folder.rglob("*"))
        return *found, *sorted(CHANGING.sub("*", name) for name in (self.databases() if self.server else ()))

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

    def shape(self):
        """What of SQLite's database is beside rows: a restore puts triggers into it while it is at work."""
        if self.server is not None:
            return None
        with self.engine.connect() as connection:
            found = sorted(connection.execute(text("SELECT type, name, sql FROM sqlite_master")).all())
        self.engine.dispose()
        return found

    def order(self):
        return Order(uuid4(), "Asha Rao", backup_id=self.backup_id)

    def audit_is_whole(self):
        with Session(self.engine) as session:
            found = verify(session, operator())
        self.engine.dispose()
        return found.whole


@pytest.fixture(params=[False])
def by_pages(request, monkeypatch):
    """SQLite has two ways to swap, of which one is for much that differs."""
    if request.param:
        monkeypatch.setattr(merging, "LEAST_ROWS", 0)
        monkeypatch.setattr(merging, "ROWS_PER_PAGE", 0)
    return request.param


@pytest.fixture
def site(database_url, engine, tmp_path, by_pages, request):
    new_key(tmp_path)
    (tmp_path / "storage").mkdir()
    vault = Vault(database_url, tmp_path / "backups", tmp_path / "backup.key", tmp_path / "storage", by_pages)
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
    """A restore that nothing stops: which steps it has, and what it leaves."""
    found = attempt(site.vault, "restore", site.order())
    assert found.error is None
    site.new = site.digest()
    assert site.new != site.old
    site.put_back()
    return found


def judged(site, order):
    """Which side the data are on; `recover` says the same, and then nothing of the restore is left but what was replaced."""
    found = site.digest()
    assert found in (site.old, site.new)
    swapped = found == site.new
    sides = site.vault.restorer().recover()
    assert [(side.restore_id, side.swapped) for side in sides] in ([], [(order.id, swapped)])
    assert site.vault.restorer().recover() == []
    assert site.digest() == found
    assert site.shape() == site.schema
    assert site.audit_is_whole()
    if site.server is not None:
        left = {name for name in site.databases() if "_check_" not in name}  # the next backup drops those, as it says
        assert swapped or left == {"tests", "tests_aside"}
    assert not list(site.vault.folder.rglob("side.db*"))
    return swapped


def judged_full(site, order, full, outcome):
    """The next start comes while the disk is still as full; one after it when there is room again."""
    assert outcome.struck
    assert outcome.error is None or outcome.error in REFUSALS, (outcome.steps[-1], outcome.error)
    if full:
        with suppress(DomainError):
            site.vault.restorer().recover()
    for folder in full:
        disks.free_again(folder)
    swapped = judged(site, order)
    assert swapped or outcome.error, outcome.steps[-1]
    return swapped


def tried_again(site):
    site.vault.restorer().restore(site.order(), silent, lambda: None)
    assert site.digest() == site.new
    assert site.shape() == site.schema
    assert site.audit_is_whole()
    site.put_back()


def tried_again_unless_known(site, swapped):
    """Once for each kind of rests, beside data that were just compared."""
    left = swapped, site.left()
    if left not in site.seen:
        site.seen.add(left)
        tried_again(site)
    elif swapped:
        site.put_back()
    else:
        site.put_back_folder()


PARTS = 8
"""Of the steps, which several processes share."""


@pytest.mark.parametrize(
    ("database_url", "by_pages"),
    [("sqlite", False), ("sqlite", True), ("postgresql", False)],
    indirect=True,
    ids=["sqlite", "sqlite-by-pages", "postgresql"],
)
@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_any_step_the_data_are_the_old_or_the_new_ones(site, whole, part):
    sides, missed = [], []
    for step in part_of(whole.from_the_swap_on() if site.vault.by_pages else whole.changing(), part, PARTS):
        order = site.order()
        if attempt(site.vault, "restore", order, die_at=step).died:
            sides.append(judged(site, order))
            tried_again_unless_known(site, sides[-1])
        else:
            missed.append(step)
            site.put_back()
    assert_all_reached(missed)
    assert site.server is not None or sides == sorted(sides)  # once it has come to be it stays
    assert {False, True} == set(sides)
    print(f"killed at {len(sides)} of {len(whole.steps)} steps, {sum(sides)} of them after the swap; {len(site.seen)} kinds of rests")


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


@pytest.mark.parametrize(("database_url", "full"), [("sqlite", "one disk")], indirect=True)
@pytest.mark.parametrize("by_pages", [False, True], indirect=True, ids=["by rows", "by pages"])
def test_a_disk_that_fills_up_in_the_middle_of_the_swap_leaves_the_old_or_the_new_data(site, full, whole):
    """Within the one statement that copies all pages, and the one that commits."""
    sides = []
    for pages in range(0, 240, 4):
        order = site.order()
        outcome = attempt(site.vault, "restore", order, full_at=("journal swapping", 1), disks=full, room=pages * 4096)
        sides.append(judged_full(site, order, full, outcome))
        tried_again_unless_known(site, sides[-1])
    assert {False, True} == set(sides)
    print(f"full in the swap with {len(sides)} amounts of room: {sides.count(False)} failed")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("part", range(PARTS))
def test_connections_that_are_cut_at_any_step_leave_the_old_or_the_new_data(site, whole, part):
    sides, missed = [], []
    for step in part_of(whole.asking(), part, PARTS):
        order = site.order()
        outcome = attempt(site.vault, "restore", order, cut_at=step)
        assert outcome.error is None or outcome.error in REFUSALS, (step, outcome.error)
        if not outcome.struck:
            missed.append(step)
        swapped = judged(site, order)
        assert swapped or outcome.error, step
        sides.append(swapped)
        tried_again_unless_known(site, swapped)
    assert_all_reached(missed)
    assert False in sides
    print(f"cut at {len(sides)} of {len(whole.steps)} steps: {sides.count(False)} failed, {sides.count(True)} came to be")


@pytest.fixture(params=["its own disk", "one disk"])
def full(request, site):
    """The folders that a full disk has: that of the backups, or that of the live data as well. PostgreSQL's is on another machine."""
    folders = [site.vault.folder] + [site.file.parent] * (request.param == "one disk")
    with ExitStack() as stack:
        yield tuple(folder for folder in folders if stack.enter_context(disks.own_disk(folder)))


@pytest.mark.parametrize(
    ("database_url", "full", "by_pages"),
    [
        ("sqlite", "its own disk", False),
        ("sqlite", "one disk", False),
        ("sqlite", "one disk", True),
        ("postgresql", "its own disk", False),
    ],
    indirect=True,
    ids=["sqlite", "sqlite-one-disk", "sqlite-one-disk-by-pages", "postgresql"],
)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_disk_full_from_any_step_on_leaves_the_old_or_the_new_data(site, full, whole, part):
    sides = []
    for step in part_of(whole.from_the_swap_on() if site.vault.by_pages else whole.changing(), part, PARTS):
        if site.server is not None and step[0] not in CALLS:
            continue
        order = site.order()
        outcome = attempt(site.vault, "restore", order, full_at=step, disks=full)
        sides.append(judged_full(site, order, full, outcome))
        tried_again_unless_known(site, sides[-1])
    assert False in sides
    print(f"full from each of {len(sides)} steps on: {sides.count(False)} failed, {sides.count(True)} came to be")
