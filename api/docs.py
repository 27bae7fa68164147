"""/api/docs: the OpenAPI document to read and try out. Swagger UI comes from this host, with no script inside the page."""

from flask import Blueprint, render_template

blp = Blueprint("api_docs", __name__, template_folder="templates", static_folder="static", static_url_path="/api/docs/static")


@blp.get("/api/docs")
def index() -> str:
    return render_template("api/docs.html")
