"""Restoring: an earlier state of the marketplace's records comes back, and what must never go back in time is carried into it.

    put together -> migrated -> carried forward -> swapped in

Carried forward is whatever happened outside these records and cannot be undone by restoring them: money that moved, the audit log, used
codes, ended sessions, keys that were answered, who the admins are. Each table's way is in `ways.py`, and no table may lack one.
"""
