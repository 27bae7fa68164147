"""`flask backup`: backups made, looked at, checked and removed from the command line. One module per kind of act."""

from cli.backup import keeping, making, moments, restoring
from cli.backup.group import backup

__all__ = ["backup", "keeping", "making", "moments", "restoring"]
