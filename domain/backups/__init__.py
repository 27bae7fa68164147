"""Backups: a snapshot of the database in files of its own, outside the database, that is applied again and compared before it counts.

A backup is made by a job, one at a time: copied while the portal works, stored (compressed, encrypted where there is a key), put
together again from what is stored, compared with the snapshot, and only then entered in the catalog. An incremental one holds the pages
that changed since its parent; its chain leads back to a full one.
"""
