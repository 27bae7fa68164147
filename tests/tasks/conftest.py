"""What a job is run in: a worker's context, without a worker."""

from collections.abc import Iterator

import pytest

import config
from tasks.context import Context, make_context


@pytest.fixture
def context(settings: dict[str, str]) -> Iterator[Context]:
    context = make_context(config.load(settings))
    yield context
    context.engine.dispose()
