import pytest

from domain.audit.differences import Kind, differences
from domain.audit.models import AuditEntry


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (None, None, []),
        ({"a": 1}, {"a": 2}, [("a", Kind.CHANGED)]),
        ({"a": 1}, None, [("a", Kind.REMOVED)]),
        (None, {"a": None}, [("a", Kind.ADDED)]),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, [("b", Kind.CHANGED), ("a", Kind.SAME)]),
        ({"a": 1}, {"a": True}, [("a", Kind.CHANGED)]),
    ],
)
def test_what_changed_comes_first(before, after, told):
    assert [(one.field, one.kind) for one in differences(AuditEntry(before=before, after=after))] == told


def test_of_two_lists_it_tells_what_came_and_what_went():
    [one] = differences(AuditEntry(before={"permissions": ["a", "b"]}, after={"permissions": ["b", "c", "d"]}))

    assert (one.kind, one.added, one.removed) == (Kind.CHANGED, ["c", "d"], ["a"])
