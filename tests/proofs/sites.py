"""The same portal on much data and on little, and what a request costs on each."""

import gc
import time
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

from sqlalchemy import event, text

import config
import migrations
from domain.db import make_engine, now
from domain.identity import sessions
from domain.identity.models import AdminSession, Door
from web.auth import identity
from web.db import db
from wsgi import create_app

ROUNDS, WARM = 60, 5


class Site:
    """An application on a database that `fill(engine, size)` has filled; it answers the admins who then come, by a name for each."""

    def __init__(self, url, folder, size, fill):
        migrations.upgrade(url)
        with ExitStack() as stack:
            engine = make_engine(url)
            stack.callback(engine.dispose)
            admins = fill(engine, size)
        settings = {"APP_ENV": "test", "DATA_DIR": str(folder), "DATABASE_URL": url, "RATE_LIMIT": "1000000 per minute"}
        self.app = create_app(config.load(settings))
        self.statements, self.backends = [], set()
        with self.app.app_context():
            self.callers = {name: self.sign_in(admin) for name, admin in admins.items()}
            event.listen(db.engine, "before_cursor_execute", self.note)

    def close(self):
        with self.app.app_context():
            db.engine.dispose()

    def sign_in(self, admin):
        """Opens an address as this admin: with a token at the API, with a cookie at the portal."""
        row = AdminSession(admin_id=admin.id, door=Door.API, expires_at=now() + timedelta(hours=1))
        db.session.add(row)
        _, secret = sessions.open_session(db.session(), admin.id, Door.PORTAL, sessions.visitor())
        db.session.commit()
        client, headers = self.app.test_client(), {"Authorization": f"Bearer {identity().tokens.sign(row)}"}
        with client.session_transaction() as cookie:
            cookie["_user_id"] = secret
        return lambda path: client.get(path, headers=headers if path.startswith("/api") else {})

    def note(self, connection, _cursor, statement, parameters, *_):
        self.statements.append((statement, parameters))
        if connection.dialect.name == "postgresql":
            self.backends.add(connection.connection.dbapi_connection.info.backend_pid)

    def spent(self):
        """CPU seconds so far of this process, and of the database's processes that it talks to."""
        there = sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in self.backends)
        return time.process_time() + there / 1e9

    def open(self, who, path):
        """The seconds of CPU that it costs; `statements` then holds what was asked of the database."""
        self.statements.clear()
        begun = self.spent()
        answer = self.callers[who](path)
        cost = self.spent() - begun
        assert answer.status_code == 200, answer.text[:500]
        return cost

    def blocks(self):
        """How many blocks PostgreSQL looks at for the statements of the request before."""
        found = 0
        with self.app.app_context(), db.engine.connect() as connection:
            for statement, parameters in list(self.statements):
                if statement.lstrip().upper().startswith(("SELECT", "WITH")):
                    plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters).scalar()
                    found += plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"]
        return found


@contextmanager
def sites_of(request, tmp_path_factory, name, sizes, fill):
    """One for each size, on the database that the fixture's parameter names."""
    with ExitStack() as stack:
        made = []
        for size in sizes:
            folder = tmp_path_factory.mktemp(f"{name}-{size}")
            if request.param == "sqlite":
                url = f"sqlite:///{folder}/portal.db"
            else:
                server = request.getfixturevalue("postgres")
                url = server.new_database()
                stack.callback(server.drop_database, url)
            begun = time.monotonic()
            made.append(Site(url, folder, size, fill))
            stack.callback(made[-1].close)
            print(f"{size} {name} made in {time.monotonic() - begun:.0f} s")
        yield made


def vacuum(engine, table=""):
    """What PostgreSQL does by itself, every minute, to what has changed much."""
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"VACUUM (ANALYZE) {table}"))


def measure(few, many, sees, path):
    """The CPU of each request, in turns, so that whatever else the machine does strikes both alike."""
    costs = {few: [], many: []}
    gc.collect()
    for number in range(WARM + ROUNDS):
        for site, found in costs.items():
            spent = site.open(sees, path)
            if number >= WARM:
                found.append(spent)
    return costs
