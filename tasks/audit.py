"""Verifying the audit log."""

from __future__ import annotations

import logging

from sqlalchemy.exc import MultipleResultsFound, NoResultFound

from domain.access import SYSTEM
from domain.audit import checks
from domain.audit.verification import Finding, verify
from domain.db import read_only
from domain.jobs.outcomes import Done, Failed, Outcome
from tasks.work import Work

log = logging.getLogger(__name__)


def audit_verify(work: Work) -> Outcome:
    """Walk the chain, and add what was found to its end. A broken one is a failed job, so that it stands among what wants a look."""

    def tell(done: int, of: int) -> None:
        work.progress(100 * min(done / of, 1) if of else 100, f"{done:,} of {of:,} entries")

    with read_only(), work.context.sessions() as session:
        noted = checks.last_whole_end(session)
    with read_only(), work.context.sessions() as session:
        finding = verify(session, SYSTEM, noted, tell)
    keep(work, finding)
    if finding.broken:
        message = f"The audit log is broken at entry {finding.broken.sequence}: {finding.broken.what}."
        log.error("%s The %d entries before it hold, up to %s", message, finding.entries, finding.head)
        return Failed("AUDIT_LOG_BROKEN", message)
    log.info("the audit log is whole: %d entries, up to %s", finding.entries, finding.head)
    return Done({"entries": finding.entries, "head": str(finding.head)})


def keep(work: Work, finding: Finding) -> None:
    try:
        with work.context.sessions.begin() as session:
            checks.record(session, SYSTEM, finding)
    except (NoResultFound, MultipleResultsFound):
        log.error("the finding cannot be added to the audit log, whose head is not one row")
