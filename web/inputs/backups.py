"""What may be asked about backups, whichever door it comes through."""

from typing import Any

from marshmallow import post_load

from domain.backups.manifest import BackupType
from domain.pagination import PageRequest
from web.inputs import Input, Query
from web.inputs.fields import Choice, Flag, Id, Moment, QueryInteger, Text


class BackupQuery(Query):
    page = QueryInteger(load_default=1, min=1, max=1_000_000, metadata={"description": "Counts from 1; past the end the list is empty."})
    page_size = QueryInteger(load_default=25, min=1, max=100)
    cursor = Text(max=200, metadata={"description": "`meta.next_cursor` of the page before: reads on from there."})

    @post_load
    def build(self, data: dict[str, Any], **_: object) -> PageRequest:
        return PageRequest(**data)


class BackupRequest(Input):
    backup_type = Choice(
        BackupType, required=True, metadata={"description": "`incremental` holds what changed since the newest verified one; SQLite only."}
    )
    include_uploads = Flag(load_default=False, metadata={"description": "With the files of the storage."})
    description = Text(max=500, allow_none=True, load_default=None)


class RestoreRequest(Input):
    backup_id = Id(required=True)
    confirmation_code = Text(
        required=True,
        max=40,
        metadata={"description": "`RESTORE-` and the UTC date of `target_timestamp`, or else of the backup's `snapshot_at`."},
    )
    target_timestamp = Moment(
        allow_none=True,
        load_default=None,
        metadata={"description": "Another moment than the backup's own, after it. Left out: the backup exactly as it is."},
    )
    include_uploads = Flag(
        load_default=True,
        metadata={
            "description": "Stored files that the backup has and that are not there come back. They are read before anything changes, "
            "and a damaged one refuses the restore: `false` leaves them out."
        },
    )


class RollbackRequest(Input):
    confirmation_code = Text(required=True, max=40, metadata={"description": "`ROLLBACK-` and the UTC date of the restore's `swapped_at`."})


class AcknowledgeRequest(Input):
    note = Text(
        max=2000,
        allow_none=True,
        load_default=None,
        metadata={
            "description": "How you made sure of refunds that a gateway could not tell of, or tells otherwise; needed where there are any."
        },
    )
