"""No money moves between a restore and somebody's word that its report was read."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.restores.errors import ApprovalsFrozen
from domain.restores.models import Restore


def frozen_by(session: Session) -> UUID | None:
    """The newest restore whose report nobody has acknowledged yet, if there is one."""
    unread = select(Restore.id).where(Restore.acknowledged_at.is_(None)).order_by(Restore.swapped_at.desc()).limit(1)
    return session.scalar(unread)


def restored_since(session: Session, moment: datetime) -> bool:
    return session.scalar(select(Restore.id).where(Restore.swapped_at >= moment).limit(1)) is not None


def require_unfrozen(session: Session) -> None:
    restore_id = frozen_by(session)
    if restore_id is not None:
        raise ApprovalsFrozen(
            "Data was restored, and its report is not acknowledged yet: no refund is approved or paid until it is. "
            "Ask whoever may restore to read the report and acknowledge it.",
            restore_id=str(restore_id),
        )
