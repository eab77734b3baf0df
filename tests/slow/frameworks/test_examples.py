"""The examples under uvicorn and gunicorn: SIGTERM, and a restart of PostgreSQL, lose nothing that was acknowledged."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import httpx2
import psycopg
import pytest

from rowsmith.migrations import apply
from rowsmith.server.scratch import create_database
from tests.harness.databases import settings_for
from tests.harness.servers import FaultyServer, faulty_server
from tests.harness.services import COMMANDS, EXAMPLES, Load, service
from tests.harness.waiting import PATIENCE, wait_until

WAITING = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'notes'::regclass"
"""Whether a session waits for the lock of the table. (pg_stat_activity stays the same inside a transaction.)"""

examples = pytest.mark.parametrize("name", list(COMMANDS))


@pytest.fixture(scope="module")
def server(pytestconfig: pytest.Config) -> Iterator[FaultyServer]:
    with faulty_server(pytestconfig.getoption("--pg-bin")) as server:
        yield server


@pytest.fixture
def url(server: FaultyServer, name: str, request: pytest.FixtureRequest) -> str:
    """A database with the example's migrations."""
    server.ensure_running()
    number = abs(hash(request.node.nodeid)) % 10**8
    created = create_database(server.url, f"notes_{number}")
    apply(settings_for(created), [EXAMPLES / name / "migrations"])
    return created


def stored(url: str) -> dict[str, list[str]]:
    """The notes that are stored, with their tags."""
    query = "SELECT body, array_agg(name ORDER BY name) FROM notes JOIN tags ON note_id = id GROUP BY id, body"
    with psycopg.connect(url) as conn:
        return dict(conn.execute(query).fetchall())


def check_kept(load: Load, url: str) -> None:
    """What was acknowledged is stored, whole."""
    kept = stored(url)
    assert set(load.acknowledged) <= set(kept)
    assert all(tags == ["a", "b"] for tags in kept.values())


@examples
def test_a_request_and_its_answers(name: str, url: str, tmp_path: Path) -> None:
    with service(name, url, tmp_path) as running:
        note = httpx2.post(f"{running.url}/notes", json={"body": "hello", "tags": ["x", "", "x"]})
        assert note.status_code == 201, running.log
        assert httpx2.get(f"{running.url}/notes/{note.json()['id']}").json() == note.json()
        assert running.status("/notes/0") == 404
        assert httpx2.post(f"{running.url}/notes", json={"body": "hello"}).status_code == 500
        assert stored(url) == {"hello": ["x"]}
        assert running.status("/health") == 200


@examples
def test_sigterm_under_load(name: str, url: str, tmp_path: Path) -> None:
    with service(name, url, tmp_path) as running, Load(running.url) as load:
        load.wait_for(50)
        running.terminate()
        running.wait()
        wait_until(lambda: load.refused)
    check_kept(load, url)


@examples
def test_a_request_that_is_under_way_at_sigterm_is_completed(name: str, url: str, tmp_path: Path) -> None:
    answers: list[int] = []

    def post() -> None:
        answers.append(httpx2.post(f"{running.url}/notes", json={"body": "late"}, timeout=PATIENCE).status_code)

    with service(name, url, tmp_path) as running, psycopg.connect(url, autocommit=True) as observer:
        with observer.transaction():
            observer.execute("LOCK TABLE notes")
            request = Thread(target=post, daemon=True)
            request.start()
            wait_until(lambda: observer.execute(WAITING).fetchall())
            running.terminate()
            wait_until(lambda: any(line in running.log for line in ("Shutting down", "Handling signal: term")))
        request.join(PATIENCE)
        assert answers == [201], running.log
        running.wait()
        assert observer.execute("SELECT body FROM notes").fetchall() == [("late",)]


@examples
def test_a_restart_of_postgresql_under_load(name: str, url: str, server: FaultyServer, tmp_path: Path) -> None:
    with service(name, url, tmp_path) as running, Load(running.url) as load:
        load.wait_for(50)
        server.stop()
        wait_until(lambda: load.refused)
        wait_until(lambda: running.status("/health/ready") == 503)
        assert running.status("/health/live") == 200
        server.start()
        load.wait_for(50)
        wait_until(lambda: running.status("/health/ready") == 200)
    check_kept(load, url)
