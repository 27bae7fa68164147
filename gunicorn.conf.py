"""What gunicorn does beside the Procfile's line: it refuses to start on settings that no worker could start with."""

accesslog = None  # the portal writes its own line for each request


def on_starting(_server: object) -> None:
    from wsgi import load_settings

    load_settings()
