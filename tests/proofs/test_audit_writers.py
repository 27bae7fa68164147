"""Sixteen processes write to the log at once, some are killed: what is left is one whole chain, with all that committed."""

import os
import signal
import subprocess
import sys
import time

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.access import operator
from domain.audit.models import AuditEntry
from domain.audit.verification import verify
from domain.db import make_engine

pytestmark = pytest.mark.slow

WRITERS, ACTS, KILLED = 16, 60, 4


def write(url: str, writer: int) -> None:
    """One process: acts of one to three entries each, now and then rolled back; says what committed."""
    from domain import audit
    from domain.access import SYSTEM

    engine = make_engine(url)
    print("ready", flush=True)
    sys.stdin.readline()
    for act in range(ACTS):
        with Session(engine) as session:
            for part in range(act % 3 + 1):
                audit.record(session, SYSTEM, "thing.changed", object_type="writers", object_id=writer, act=act, part=part)
            if act % 7 == 6:
                session.rollback()
                continue
            session.commit()
        print(act, flush=True)


def test_sixteen_processes_leave_one_whole_chain(database_url, engine):
    program = "import sys; from tests.proofs.test_audit_writers import write; write(sys.argv[1], int(sys.argv[2]))"
    command = [sys.executable, "-c", program, database_url]
    writers = [
        subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        for number in range(WRITERS)
    ]
    try:
        for writer in writers:
            assert writer.stdout.readline() == "ready\n"
        begun = time.monotonic()
        for writer in writers:
            writer.stdin.write("go\n")
            writer.stdin.flush()
        for writer in writers[:KILLED]:
            for _ in range(10):
                writer.stdout.readline()
            os.killpg(writer.pid, signal.SIGKILL)
        said = [[int(line) for line in writer.stdout] for writer in writers]
        took = time.monotonic() - begun
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()

    with Session(engine) as session:
        finding = verify(session, operator())
        assert finding.whole
        acts = session.execute(
            select(AuditEntry.object_id, AuditEntry.details["act"].as_integer(), func.count()).group_by(
                AuditEntry.object_id, AuditEntry.details["act"].as_integer()
            )
        ).all()
    kept = {(int(writer), act): count for writer, act, count in acts}
    print(f"{engine.dialect.name}: {finding.entries} entries by {WRITERS} processes in {took:.1f} s, {finding.entries / took:.0f} a second")
    assert [count for (_, act), count in kept.items() if count != act % 3 + 1] == []  # an act's entries are all there or none
    assert [act for _, act in kept if act % 7 == 6] == []
    for number, committed in enumerate(said):
        assert {(number, act) for act in committed} <= set(kept)
    assert all(len(committed) == ACTS - ACTS // 7 for committed in said[KILLED:])
