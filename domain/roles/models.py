from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from domain.access import EVERYTHING
from domain.db import Base, JsonList, LongText, Timestamp, now

SUPER_ADMIN = "super_admin"


class Role(Base):
    """Ids are words ("finance_admin"), since programs and people both write them."""

    __tablename__ = "roles"

    id: Mapped[str] = mapped_column(String(50), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[LongText]
    permissions: Mapped[JsonList]
    is_system_role: Mapped[bool] = mapped_column(default=False)
    can_be_assigned: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[Timestamp] = mapped_column(default=now)
    version: Mapped[int] = mapped_column(default=1, server_default="1")

    __mapper_args__ = {"version_id_col": version}

    @property
    def allows_everything(self) -> bool:
        return EVERYTHING in self.permissions

    def allows(self, permission: str) -> bool:
        return self.allows_everything or permission in self.permissions
