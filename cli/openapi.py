"""`flask openapi`: the document of the API, as the code describes itself."""

import json
from typing import TextIO

import click
from flask import current_app
from flask.cli import AppGroup

openapi = AppGroup("openapi", help="The API's OpenAPI document.")


@openapi.command("write")
@click.argument("file", type=click.File("w", encoding="utf-8", atomic=True))
def write(file: TextIO) -> None:
    """Write the OpenAPI document to FILE (- for standard output).

    \b
    Example: flask openapi write docs/openapi.json
    """
    api = current_app.extensions["flask-smorest"]["apis"][""]["ext_obj"]
    json.dump(api.spec.to_dict(), file, indent=2, ensure_ascii=False)
    file.write("\n")
