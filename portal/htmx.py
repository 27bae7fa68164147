"""The only module that reads htmx's headers."""

from hashlib import sha256
from urllib.parse import parse_qsl, urlsplit

from flask import Response, make_response, redirect, render_template, request
from werkzeug.datastructures import MultiDict


def partial() -> bool:
    """Whether only a part of the page was asked for. A page restored from history says `full`, a browser says nothing."""
    return request.headers.get("HX-Request-Type") == "partial"


def render(template: str, *, fragment: str, **context: object) -> str:
    """The whole page for a browser, only the part htmx asked for otherwise."""
    part = partial()
    return render_template(fragment if part else template, in_dialog=part, **context)


def unless_seen(body: str) -> Response:
    """What a poll is answered: nothing where this is what it brought last."""
    tag = sha256(body.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    seen = request.headers.get("HX-PTag") == tag
    response = make_response("" if seen else body, 304 if seen else 200)
    response.headers["HX-PTag"] = tag
    return response


def page_arguments() -> MultiDict[str, str]:
    """The query of the page a fragment will land in; a whole page, and a link to one, carry it themselves."""
    if request.args or not partial():
        return request.args
    return MultiDict(parse_qsl(urlsplit(request.headers.get("HX-Current-URL", "")).query[:4000])[:50])


def page_path() -> str | None:
    """The address of the page as the person sees it, to come back to; None for the target of a form."""
    if partial():
        shown = urlsplit(request.headers.get("HX-Current-URL", ""))
        return shown.path + (f"?{shown.query}" if shown.query else "")
    return request.full_path.rstrip("?") if request.method == "GET" else None


def refusal_place() -> str:
    """Where a refusal that no form answers is seen: inside an open dialog, since what lies behind one is out of reach."""
    return "#refusal" if request.headers.get("HX-Target") == "div#dialog-body" and request.method != "GET" else "#alerts"


def go(url: str, status: int = 303) -> Response:
    """Send the browser to another page; a fragment that would swallow a redirect is told so by a header."""
    if partial():
        return Response(status=401 if status == 401 else 204, headers={"HX-Redirect": url})
    return redirect(url, 302 if status == 401 else status)  # type: ignore[return-value]
