"""Changing jobs: one file per act."""

from domain.jobs.commands.cancel import cancel
from domain.jobs.commands.delete import delete
from domain.jobs.commands.download import NoResult, download
from domain.jobs.commands.enqueue import Holder, enqueue, enqueue_unless_live
from domain.jobs.commands.retry import retry
from domain.jobs.commands.start import start

__all__ = ["Holder", "NoResult", "cancel", "delete", "download", "enqueue", "enqueue_unless_live", "retry", "start"]
