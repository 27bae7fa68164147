"""The portal's own files: scripts and styles joined into one of each, named by their content so that they may be kept for ever."""

import gzip
import re
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from flask import Blueprint, Response, abort, request, url_for

STATIC = Path(__file__).parent / "static"
STYLES = "tokens base layout button field pill notice table tabs chart dialog detail".split()  # then one for each noun
SCRIPTS = "page money refunds live jobs keys".split()
LIBRARIES = ("htmx-4.0.1.min.js", "tinykeys-4.0.0.umd.js")
TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "woff2": "font/woff2"}

blp = Blueprint("assets", __name__, url_prefix="/assets")


@blp.get("/<version>/<name>")  # named `static`, as what is the same for everybody is called
def static(version: str, name: str) -> Response:
    if name not in contents():
        abort(404)
    plain, packed = contents()[name]
    kind = name.rpartition(".")[2]
    zipped = packed is not None and request.accept_encodings["gzip"] > 0
    response = Response(packed if zipped else plain, content_type=TYPES[kind] + ("" if kind == "woff2" else "; charset=utf-8"))
    if zipped:
        response.content_encoding = "gzip"
    response.vary.add("Accept-Encoding")
    response.cache_control.public = True
    if version == fingerprint():
        response.cache_control.max_age, response.cache_control.immutable = 31_536_000, True
    else:
        response.cache_control.no_cache = True
    return response


def asset(name: str) -> str:
    """The address of a file under its present version."""
    return url_for("portal.assets.static", version=fingerprint(), name=name)


@lru_cache
def fingerprint() -> str:
    return sha256(b"".join(name.encode() + plain for name, (plain, _) in sorted(contents().items()))).hexdigest()[:12]


@lru_cache
def contents() -> dict[str, tuple[bytes, bytes | None]]:
    """Each file by its public name, as it is and packed (a font is packed already)."""
    files = {
        "portal.css": style(),
        "portal.js": script(),
        "theme.js": (STATIC / "js" / "theme.js").read_bytes(),
        "favicon.svg": (STATIC / "icons" / "favicon.svg").read_bytes(),
        "inter-variable.woff2": (STATIC / "fonts" / "inter-variable.woff2").read_bytes(),
    }
    return {name: (body, None if name.endswith(".woff2") else gzip.compress(body, 9, mtime=0)) for name, body in files.items()}


def style() -> bytes:
    """The parts in order, without comments and the space that only readers need."""
    nouns = sorted({file.stem for file in (STATIC / "css").glob("*.css")} - set(STYLES))
    text = "\n".join((STATIC / "css" / f"{part}.css").read_text("utf-8") for part in [*STYLES, *nouns])
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.sub(r"\s*([{};,])\s*", r"\1", text).replace(": ", ":").encode()


def script() -> bytes:
    """The libraries, then our own parts in one scope that nothing on the page can reach into."""
    libraries = b"\n".join((STATIC / "vendor" / name).read_bytes().split(b"//# sourceMappingURL")[0] for name in LIBRARIES)
    own = b"\n".join(lines(STATIC / "js" / f"{part}.js") for part in SCRIPTS)
    return libraries + b"\n;(() => {\n" + own + b"\n})();\n"


def lines(file: Path) -> bytes:
    """A script of ours without its indentation and the lines that are comments: what readers need and browsers do not."""
    stripped = (line.strip() for line in file.read_bytes().splitlines())
    return b"\n".join(line for line in stripped if line and not line.startswith(b"//"))
