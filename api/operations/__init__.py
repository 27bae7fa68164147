"""What the OpenAPI document says of each operation beyond its code: a worked example, and what in particular it may refuse.

One file per noun; the names are those of the views.
"""

from api.operations import admins, audit, auth, backups, jobs, referrals, refunds, restores, roles, system, webhooks
from api.operations.parts import NOTHING, Operation

__all__ = ["NOTHING", "OPERATIONS", "Operation"]

OPERATIONS: dict[str, Operation] = {
    **admins.OPERATIONS,
    **audit.OPERATIONS,
    **auth.OPERATIONS,
    **backups.OPERATIONS,
    **jobs.OPERATIONS,
    **referrals.OPERATIONS,
    **refunds.OPERATIONS,
    **restores.OPERATIONS,
    **roles.OPERATIONS,
    **system.OPERATIONS,
    **webhooks.OPERATIONS,
}
