"""What the tests of the ground both doors stand on need."""

import socket
from collections.abc import Iterator

import pytest

from tests.api.conftest import bearer, probe

__all__ = ["bearer", "probe"]


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of something that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
