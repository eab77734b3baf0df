"""The applications of `examples`, run as they are deployed, and clients that note what a service has acknowledged."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Self
from uuid import uuid4

import httpx2

from tests.harness.databases import ROOT
from tests.harness.waiting import PATIENCE, wait_until

EXAMPLES = ROOT / "examples"
COMMANDS = {
    "fastapi_app": ["uvicorn", "fastapi_app.main:app", "--port", "0"],
    "flask_app": ["gunicorn", "flask_app.main:app", "--bind", "127.0.0.1:0", "--threads", "4", "--no-control-socket"],
}
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


class Service:
    """A process, or several, that serves an example. Its output goes to a file."""

    def __init__(self, name: str, database_url: str, output: Path) -> None:
        module, *arguments = COMMANDS[name]
        self._output = output
        environment = {**os.environ, "DATABASE_URL": database_url, "DB_POOL_TIMEOUT": "5000"}
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=EXAMPLES,
                stdout=file,
                stderr=file,
                env=environment,
            )
        wait_until(lambda: self.process.poll() is not None or _ADDRESS.search(self.log))
        found = _ADDRESS.search(self.log)
        assert found is not None, self.log
        self.url = found[0]
        wait_until(lambda: self.status("/health/live") == 200)

    @property
    def log(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def status(self, path: str) -> int:
        """The status of the response to a GET, 0 if there is no response."""
        try:
            return httpx2.get(self.url + path, timeout=PATIENCE).status_code
        except httpx2.TransportError:
            return 0

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        return self.process.wait(timeout=PATIENCE)


@contextmanager
def service(name: str, database_url: str, folder: Path) -> Generator[Service]:
    """An example that runs for the length of the block."""
    started = Service(name, database_url, folder / f"{uuid4().hex}.log")
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()


class Load:
    """Clients that post notes, each with a text of its own, until they are stopped."""

    def __init__(self, url: str, clients: int = 4) -> None:
        self._url = url
        self._stopped = Event()
        self.acknowledged: list[str] = []
        self.refused = 0
        """How many requests had an answer of status 500 or more, or none."""
        self._threads = [Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def wait_for(self, more: int) -> None:
        """Until so many more notes are acknowledged."""
        number = len(self.acknowledged) + more
        wait_until(lambda: len(self.acknowledged) >= number)

    def _run(self) -> None:
        with httpx2.Client(base_url=self._url, timeout=PATIENCE) as client:
            while not self._stopped.is_set():
                body = uuid4().hex
                try:
                    response = client.post("/notes", json={"body": body, "tags": ["a", "", "b"]})
                except httpx2.TransportError:
                    self.refused += 1
                    self._stopped.wait(0.01)
                    continue
                if response.status_code == 201:
                    self.acknowledged.append(body)
                else:
                    assert response.status_code >= 500, response.text
                    self.refused += 1
