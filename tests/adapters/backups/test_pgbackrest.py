"""Backups by pgBackRest, on a cluster with a repository of its own. What takes longer is in tests/proofs/test_pgbackrest.py."""

from datetime import timedelta

import pytest

from domain.backups.errors import OperationInProgress, PitrOutOfRange, TargetBeforeBackup
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
    assert portal.staged(vault, second, late) == (all_before | {"after the second", "late"}, late)
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
