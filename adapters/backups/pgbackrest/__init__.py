"""Backups of PostgreSQL by pgBackRest: full and incremental ones, and any moment after them that its archive of changes reaches.

pgBackRest copies the files of the whole cluster and, by the server's own `archive_command`, each piece of its write-ahead log. What is in
the catalog beside it are manifests alone: which backup is which, and what was in the portal's database at its moment. A backup counts
after it was restored into a data directory of its own and a server on that has shown each table as it was.
"""

from adapters.backups.pgbackrest.vault import PgBackRestVault

__all__ = ["PgBackRestVault"]
