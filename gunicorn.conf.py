"""What gunicorn does beside the Procfile's line: it refuses to start on settings that no worker could start with, and has each worker
write down what it answered."""

accesslog = None  # the portal writes its own line for each request


def on_starting(_server: object) -> None:
    from wsgi import load_settings

    load_settings()


def post_worker_init(worker: object) -> None:
    from web import db, traffic

    db.hold_open(worker.wsgi)  # type: ignore[attr-defined]
    traffic.of(worker.wsgi).begin()  # type: ignore[attr-defined]


def worker_exit(_server: object, worker: object) -> None:
    from web import traffic

    if app := getattr(worker, "wsgi", None):
        traffic.of(app).end()
