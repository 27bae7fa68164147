"""Other origins whose pages may call the API: exactly those of CORS_ORIGINS. Credentials stay off, since the API reads no cookie."""

from flask import Flask, Response, current_app, request

METHODS = "GET, POST, PATCH, PUT, DELETE"
SENT = "Authorization, Content-Type, Idempotency-Key, X-MFA-Code"
READ = "X-Request-ID, Retry-After, Idempotent-Replayed, Location, WWW-Authenticate"


def register(app: Flask) -> None:
    app.before_request(answer_preflight)
    app.after_request(allow)


def answer_preflight() -> Response | None:
    asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    return Response(status=204) if asks and allowed() else None


def allow(response: Response) -> Response:
    if not request.path.startswith("/api/") or not current_app.config["PORTAL"].cors_origins:
        return response
    response.vary.add("Origin")
    if allowed():
        response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        response.headers["Access-Control-Expose-Headers"] = READ
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = METHODS
            response.headers["Access-Control-Allow-Headers"] = SENT
            response.headers["Access-Control-Max-Age"] = "600"
    return response


def allowed() -> bool:
    return request.path.startswith("/api/") and request.headers.get("Origin") in current_app.config["PORTAL"].cors_origins
