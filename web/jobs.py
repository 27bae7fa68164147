"""What both doors need for the files of jobs: sending one, and removing it once its job is gone."""

import logging
from urllib.parse import quote
from uuid import UUID

from flask import Response, after_this_request, current_app, g
from werkzeug.http import dump_options_header

from domain.jobs import commands
from domain.jobs.models import Job
from domain.storage import Storage, StorageError
from web.db import writing
from web.problems import Unavailable

log = logging.getLogger(__name__)


def storage() -> Storage:
    found: Storage = current_app.extensions["storage"]
    return found


def send_result(job_id: UUID) -> Response:
    """The result file as a download, piece by piece; it is audited before the first byte leaves."""
    with writing() as session:
        file = commands.download(session, g.actor, job_id)
        try:
            pieces, size = storage().open(file.stored)
        except FileNotFoundError:
            raise commands.NoResult from None
        except StorageError as error:
            log.warning("the result of job %s could not be read: %s", job_id, error)
            raise Unavailable("The file cannot be read right now. Try again in a moment.") from None
    headers = {
        "Content-Length": str(size),
        "Content-Disposition": attachment(file.name),
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return Response(pieces, headers=headers, content_type=file.type)


def attachment(name: str) -> str:
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    full = {} if plain == name else {"filename*": f"UTF-8''{quote(name, safe='')}"}
    return dump_options_header("attachment", {"filename": plain, **full})


def remove_result(job: Job) -> None:
    """Remove a deleted job's file when its deletion has committed; what fails here the clean-up does later."""
    stored = job.result_file

    def remove(response: Response) -> Response:
        if stored is not None and response.status_code < 400:
            try:
                storage().delete(stored)
            except StorageError as error:
                log.warning("the result of a deleted job stays until the next clean-up: %s", error)
        return response

    after_this_request(remove)
