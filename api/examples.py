"""One worked example for each operation, as the OpenAPI document shows it: the request's body, and the answers."""

from typing import Any

EXAMPLES: dict[str, dict[str, Any]] = {}
