"""Background jobs.

    pending -> processing -> succeeded | failed        pending | processing -> cancelled

The row is the truth and the queue is only a bell: a job is written in the transaction of the change that wants it, a worker claims
the row (a lease with a heartbeat) before it works, and a sweep rings again for whatever nobody holds. A finished job never changes.
"""
