"""What a restore may be refused for, or fail with."""

from __future__ import annotations

from domain.errors import Conflict, DomainError, NotFound


class RestoreNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("There is no restore with this id.")


class ApprovalsFrozen(Conflict):
    """After a restore nothing is approved until its report was acknowledged."""

    code, settled = "APPROVALS_FROZEN", False


class NotChecked(Conflict):
    code, settled = "NOT_CHECKED", False


class WaitedTooLong(Conflict):
    """No worker came to it for so long that it would take back more than was agreed to."""

    code, settled = "RESTORE_WAITED_TOO_LONG", False


class RestoreInterrupted(Conflict):
    """Whoever restored died before the swap: nothing was changed."""

    code, settled = "RESTORE_INTERRUPTED", False


class SwapBlocked(Conflict):
    """Somebody who cannot be sent away is connected to the database."""

    code, settled = "SWAP_BLOCKED", False


class RestoreFailed(Conflict):
    """What was put together is not fit to take the live data's place."""

    code, settled = "RESTORE_FAILED", False


class NothingToRollBack(Conflict):
    code, settled = "NOTHING_TO_ROLL_BACK", False


class WrongConfirmation(DomainError):
    status, code = 422, "WRONG_CONFIRMATION_CODE"
