"""Backups by pgBackRest, on a cluster with a repository of its own. What takes longer is in tests/proofs/test_pgbackrest.py."""

import re
from datetime import timedelta

import pytest

import config
from adapters.backups.pgbackrest import live
from adapters.backups.pgbackrest.programs import Account
from domain.backups.errors import (
    BackupCorrupt,
    BackupKeyMismatch,
    EngineMismatch,
    EngineUnavailable,
    OperationInProgress,
    PitrOutOfRange,
    TargetBeforeBackup,
)
from domain.backups.manifest import plain
from tests.adapters.backups.archived import Archived, rests
from tests.adapters.backups.conftest import FULL, INCREMENTAL, silent, wish


@pytest.fixture(scope="module")
def portal(archived):
    portal = Archived(archived)
    yield portal
    portal.close()


@pytest.fixture(scope="module")
def vault(portal):
    return portal.new_vault()


@pytest.fixture(scope="module")
def full(portal, vault):
    """While it is made, another is refused: one of an administrator's own would hold pgBackRest's lock, and none of ours."""
    portal.mark("before the first")
    refused = []

    def told(percent, stage):
        if stage == "Copying the cluster" and percent > 5 and not refused:
            with pytest.raises(OperationInProgress):
                portal.new_vault().create(wish(FULL), silent)
            refused.append(stage)

    made = vault.create(wish(FULL), told)
    assert refused
    return made


@pytest.fixture(scope="module")
def second(portal, vault, full):
    portal.mark("after the first")
    return vault.create(wish(INCREMENTAL), silent)


def test_full_and_incremental_ones_come_back_and_so_does_each_moment_after_them(portal, vault, full, second):
    assert full.verified.ok
    assert "each table equal to what was there" in full.verified.what
    assert full.row_counts["refund_requests"] == 1
    assert (second.effective_type, second.parent_id) == (INCREMENTAL, full.id)
    assert 0 < second.stored_bytes < full.stored_bytes / 5
    between = portal.mark("after the second")
    late = portal.mark("late")

    all_before = {"before the first", "after the first"}
    assert portal.staged(vault, full) == ({"before the first"}, full.snapshot_at)
    assert portal.staged(vault, full, between) == (all_before | {"after the second"}, between)
    vault.check_moment(second, late)
    [span] = vault.coverage()
    assert span.start == full.snapshot_at
    assert span.end > late
    assert rests(vault) == []


def test_what_cannot_be_reached_is_refused_before_anything_is_begun(vault, full, second):
    instant, hour = timedelta(microseconds=1), timedelta(hours=1)
    with pytest.raises(TargetBeforeBackup) as refused:
        vault.check_moment(second, second.snapshot_at - instant)
    assert refused.value.details["use_backup_id"] == str(full.id)
    for moment in (full.snapshot_at - instant, second.snapshot_at + hour):
        with pytest.raises(PitrOutOfRange) as out:
            vault.check_moment(full, moment)
        assert out.value.details["earliest"] == plain(full.snapshot_at)
        assert plain(second.snapshot_at) < out.value.details["latest"] < plain(second.snapshot_at + hour)
    for moment in (None, full.snapshot_at, second.snapshot_at + instant):
        vault.check_moment(full, moment)


def test_what_is_needed_is_looked_at(vault, second):
    assert {finding.name: finding.ok for finding in vault.examine()} == {
        "backup engine": True,
        "archive": True,
        "backup key": True,
        "backup space": True,
        "backups": True,
    }


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({"PGBACKREST_STANZA": "por tal"}, "PGBACKREST_STANZA: 'por tal' does not fit"),
        ({"PGBACKREST_STANZA": "portal"}, "PGBACKREST_STANZA: DATABASE_URL is no PostgreSQL"),
        ({"PGBACKREST_CONFIG": __file__}, "PGBACKREST_STANZA: it is not set"),
        ({"PGBACKREST_RESTORE_CONFIG": "/nowhere"}, "PGBACKREST_RESTORE_CONFIG: there is no file '/nowhere'"),
    ],
)
def test_settings_that_do_not_fit_each_other_are_named(settings, mistake, tmp_path):
    with pytest.raises(config.ConfigError, match=mistake):
        config.load({"DATA_DIR": str(tmp_path), **settings})


def test_another_passphrase_and_another_tool_are_told_from_damage(portal, vault, full, tmp_path):
    wrong = portal.server.folder / "wrong.conf"
    wrong.write_text(re.sub("(?m)^repo1-cipher-pass=.*", "repo1-cipher-pass=another", portal.server.config.read_text()))
    wrong.chmod(0o644)
    other = portal.new_vault(vault.folder, config=wrong)
    for act in (lambda: other.check_moment(full, None), lambda: other.create(wish(FULL), silent)):
        with pytest.raises(BackupKeyMismatch):
            act()
    with pytest.raises(EngineMismatch, match="PGBACKREST_STANZA"):
        vault.dumps.check_moment(full, None)
    with pytest.raises(EngineUnavailable, match="PGBACKREST_USER"):
        Account.named("nobody-of-that-name")
    with pytest.raises(EngineUnavailable, match="stanza-create"):
        portal.new_vault(stanza="nowhere").check_wish(wish(FULL))
    assert portal.new_vault(vault.folder, stanza="nowhere").coverage() == []
    assert vault.get(full.id).verified.ok


def test_what_stands_on_no_backup_of_ours_begins_anew(portal, vault, second):
    """pgBackRest would let it stand on an administrator's own, which may go at any time."""
    portal.server.pgbackrest("backup", "--type=full")
    parent, note = vault.parent_for(wish(INCREMENTAL))
    assert parent is None
    assert "none that the portal verified" in note


def test_what_somebody_removed_from_the_repository_is_not_called_verified(portal, vault, full, second):
    newest = vault.list()[0]
    portal.server.pgbackrest("expire", f"--set={newest.archive['label']}")
    vault.prune()
    assert not vault.get(newest.id).verified.ok
    assert "not in pgBackRest's repository" in vault.get(newest.id).verified.what
    with pytest.raises(BackupCorrupt):
        vault.check_moment(newest, None)
    assert vault.get(full.id).verified.ok


def test_a_table_that_the_portal_may_read_and_no_more_makes_no_writer_wait(portal):
    with portal.server.connect(portal.engine.url.database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE of_somebody_else (); GRANT SELECT ON of_somebody_else TO PUBLIC")
        with live.connected(portal.engine.url) as gate:
            with live.writers_wait(gate) as paused:
                assert not paused
            cursor.execute("DROP TABLE of_somebody_else")
            with live.writers_wait(gate) as paused:
                assert paused
