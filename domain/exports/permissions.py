"""What an export needs beside the permission to export at all: whoever may not list a thing may not carry it away either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.access import Permission

LISTED_WITH = {"refunds": (Permission.REFUNDS_LIST,), "referrals": (Permission.REFERRALS_LIST,)}


def permissions_for(parameters: Mapping[str, Any]) -> tuple[Permission, ...]:
    return LISTED_WITH.get(str(parameters.get("report_type")), ())
