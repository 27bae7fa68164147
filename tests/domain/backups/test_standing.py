"""What a backup is worth: no more than what it stands on."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.backups.standing import Standing, State, oldest_allowed, reachable_until, states_of
from domain.backups.vault import Span
from tests.domain.backups.test_retention import BEGIN, made


@pytest.fixture
def chain():
    """A full one, two that stand on each other on it, and a later full one; newest first."""
    full = made(0)
    first = made(10, parent=full)
    second = made(20, parent=first)
    return [made(30), second, first, full]


def states(manifests):
    found = states_of(manifests)
    return [found[manifest.id] for manifest in manifests]


def test_what_stands_on_a_damaged_one_is_cut_off(chain):
    later, second, first, full = chain
    assert states(chain) == [State.VERIFIED] * 4
    damaged = first.with_verification(False, "cut", BEGIN)
    assert states([later, second, damaged, full]) == [State.VERIFIED, State.CUT_OFF, State.DAMAGED, State.VERIFIED]
    assert states([later, second, first]) == [State.VERIFIED, State.CUT_OFF, State.CUT_OFF]
    unknown = replace(full, verified=None)
    assert states([later, second, first, unknown]) == [State.VERIFIED, State.CUT_OFF, State.CUT_OFF, State.UNVERIFIED]


def test_a_clock_that_was_set_back_between_two_cuts_nothing_off(chain):
    *_, full = chain
    early = made(-10, parent=full)
    assert states([full, early]) == [State.VERIFIED] * 2


def test_the_newest_counts_that_can_be_restored(chain):
    later, second, first, full = chain
    broken = [later.with_verification(False, "cut", BEGIN), second, first.with_verification(False, "cut", BEGIN), full]
    standing = Standing(broken, states_of(broken), ["not-to-be-read"])
    assert standing.newest == full
    assert (standing.count(State.VERIFIED), standing.count(State.DAMAGED, State.CUT_OFF)) == (1, 3)
    assert standing.before(second.snapshot_at) == full
    assert standing.before(full.snapshot_at - timedelta(seconds=1)) is None
    assert [each.id for each in standing.chain(second)] == [full.id, first.id, second.id]
    assert Standing([], {}, []).age is None


def test_a_moment_is_reachable_from_a_backup_within_its_span(chain):
    later, second, first, full = chain
    spans = [Span(full.snapshot_at, first.snapshot_at), Span(later.snapshot_at, later.snapshot_at)]
    assert reachable_until(spans, full) == first.snapshot_at
    assert reachable_until(spans, later) == later.snapshot_at
    assert reachable_until(spans, second) is None


@pytest.mark.parametrize(("every", "allowed"), [(0, 26), (6, 26), (24, 26), (168, 170)])
def test_a_backup_may_be_as_old_as_they_are_seldom_and_a_little_more(every, allowed):
    assert oldest_allowed(timedelta(hours=every)) == timedelta(hours=allowed)
