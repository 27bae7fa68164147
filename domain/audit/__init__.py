"""Who did what, to which object, when, from where: one row per act, in the transaction of the act itself.

Rows are only ever added (the database refuses change and deletion) and each carries the hash of the one before, so that
`flask audit verify` names the first that was altered, removed or slipped in.
"""

from domain.audit.recording import record

__all__ = ["record"]
