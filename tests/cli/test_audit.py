"""`flask audit`: the chain verified from the command line."""

import json

import pytest
from sqlalchemy import select, text

from domain import audit
from domain.access import SYSTEM
from domain.audit.models import AuditEntry
from tests.domain.audit.test_verification import DROP_TRIGGERS


@pytest.fixture
def run(app):
    runner = app.test_cli_runner()
    return lambda *line: runner.invoke(args=["audit", *map(str, line)])


@pytest.fixture
def log(session):
    for number in range(3):
        audit.record(session, SYSTEM, "thing.changed", number=number)
        session.commit()
    return session


@pytest.fixture
def broken(log):
    for statement in (*DROP_TRIGGERS[log.get_bind().dialect.name], "UPDATE audit_entries SET action = 'x' WHERE sequence = 2"):
        log.execute(text(statement))
    log.commit()
    return log


def test_a_whole_log_ends_well_prints_its_end_and_is_said_to_be_whole_in_the_log(run, log):
    done = run("verify")

    said, end = done.stdout.splitlines()
    assert (done.exit_code, said) == (0, "The audit log is whole: 3 entries. Its end, to be noted elsewhere:")
    assert end.startswith("3:") and run("verify", "--noted", end).exit_code == 0
    entries = log.scalars(select(AuditEntry).order_by(AuditEntry.sequence)).all()
    assert [(entry.action, entry.actor_name) for entry in entries[3:]] == [("audit.verified", "operator at the command line")] * 2


def test_a_broken_one_names_the_entry_and_ends_with_1(run, broken):
    done = run("verify")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "broken at entry 2: it was changed. The 1 before it hold." in done.stderr

    scripted = run("verify", "--json")
    told = json.loads(scripted.stdout)
    assert (scripted.exit_code, told["whole"], told["entries"]) == (1, False, 1)
    assert (told["head"]["sequence"], told["broken"]) == (1, {"sequence": 2, "what": "it was changed"})


def test_it_still_tells_where_nothing_can_be_added_to_the_log(run, log):
    log.execute(text("DELETE FROM audit_head"))
    log.commit()

    done = run("verify")

    assert done.exit_code == 1
    assert "could not be added to the log" in done.stderr and "is gone" in done.stderr


def test_the_end_alone_can_be_had_at_once(run, log):
    end = run("head").stdout.strip()

    assert end == f"3:{log.scalar(select(AuditEntry.hash).where(AuditEntry.sequence == 3))}"
    assert json.loads(run("head", "--json").stdout) == {"sequence": 3, "hash": end.partition(":")[2]}


@pytest.mark.parametrize("noted", ["5", "5:xyz", "-1:" + "0" * 64, "5:" + "A" * 64])
def test_what_is_no_end_of_a_chain_is_wrong_usage(run, noted):
    refused = run("verify", f"--noted={noted}")

    assert refused.exit_code == 2
    assert "flask audit head" in refused.stderr
