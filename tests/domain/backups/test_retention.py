"""Which backups may go."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from domain.backups.manifest import BackupType, Engine, Manifest, Verification
from domain.backups.retention import KEPT_FULLS, surplus

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def made(day, parent=None, ok=True):
    at = BEGIN + timedelta(days=day)
    type = BackupType.INCREMENTAL if parent else BackupType.FULL
    return Manifest(
        id=uuid4(),
        type=type,
        effective_type=type,
        engine=Engine.SQLITE,
        started_at=at,
        snapshot_at=at,
        finished_at=at,
        schema_revision="0001",
        app_version="1",
        engine_version="3",
        database_bytes=1,
        snapshot_sha256="",
        files=(),
        row_counts={},
        audit_sequence=0,
        audit_hash="",
        parent_id=parent and parent.id,
        verified=Verification(at, ok, "") if ok is not None else None,
    )


def test_the_newest_fulls_stay_with_all_that_stands_on_them():
    fulls = [made(day) for day in range(KEPT_FULLS + 2)]
    first = made(0.5, parent=fulls[0])
    second = made(0.6, parent=first)
    kept = made(2.5, parent=fulls[2])
    gone = surplus([*fulls, first, second, kept])
    assert gone == [fulls[1], second, first, fulls[0]]  # children before what they stand on


def test_the_newest_verified_one_stays_however_old():
    verified = made(0)
    broken = [made(day, ok=day % 2 == 0 and None) for day in range(1, KEPT_FULLS + 3)]
    assert verified not in surplus([verified, *broken])
    assert broken[0] in surplus([verified, *broken])


def test_many_on_one_day_do_not_take_those_of_the_days_before_with_them():
    daily = [made(day) for day in range(KEPT_FULLS)]
    of_a_bad_day = [made(KEPT_FULLS - 1 + number / 100) for number in range(1, KEPT_FULLS + 2)]
    assert surplus([*daily, *of_a_bad_day]) == [of_a_bad_day[0], daily[-1]]


def test_those_that_are_dated_ahead_of_the_clock_do_not_crowd_out_the_others():
    ahead = [made(36500 + day) for day in range(KEPT_FULLS)]
    today = made(0)
    assert surplus([*ahead, today]) == ahead[:1]


def test_few_all_stay():
    assert surplus([made(1), made(2)]) == []
    assert surplus([]) == []
