"""Random programs of blocks, in threads and in tasks: what is stored, and what each block raises, is as the model says.

`make fuzz` tries new ones, and many; `make test` the same few in each run. One that fails is made small and printed: it
is Python that makes it again. `make fuzz SEED=1` tries the programs of that seed.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import Context
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from rowsmith import load_queries
from tests.fuzz.execution import Execution, Mismatch
from tests.fuzz.programs import Program, programs
from tests.harness.drivers import Driver, Observer, Tasks, Threads, small, step_through
from tests.harness.waiting import SOON

SQL = """
-- name: put(n)!
INSERT INTO items VALUES (:n);

-- name: divide()$
SELECT 1/0;
"""


class Lane:
    """Runs programs, one after the other, in one thread, on a database that is kept while all is well."""

    def __init__(self, world: type[Driver], observer: Observer, queries: Any) -> None:
        self._world = world
        self._observer = observer
        self._queries = queries
        self._numbers = count()
        self._begin()

    def _begin(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._runner = asyncio.Runner()
        self._here = self._world(small(self._observer.url, max_connections=12), self._observer)

    def close(self) -> None:
        self._thread.submit(self._end).result(SOON)
        self._thread.shutdown()

    def _end(self) -> None:
        with self._runner:
            if self._world is Tasks:
                self._runner.run(self._here.db.aclose())
            else:
                self._here.db.close()

    def check(self, program: Program) -> None:
        """Run a program, and check everything."""
        first = next(self._numbers)
        execution = Execution(self._here, self._queries, self._numbers)
        try:
            self._finished(self._thread.submit(self._drive, execution, program))
            found = [n for (n,) in self._observer.do("SELECT n FROM items WHERE n >= %s", first)]
            assert not execution.model.differences(found), execution.model.differences(found)
        except BaseException:
            self._begin()  # whatever state the other one is in
            raise

    def _finished(self, running: Future[None]) -> None:
        wait([running], SOON)
        if not running.done():
            (thread,) = self._thread._threads  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
            frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage] - the documented way
            pytest.fail(f"hung:\n{''.join(traceback.format_stack(frames[thread.ident or 0]))}")
        running.result()

    def _drive(self, execution: Execution, program: Program) -> None:
        async def main() -> None:
            try:
                await execution.run(program)
            except Mismatch as mismatch:
                raise AssertionError(str(mismatch)) from mismatch
            assert execution.mismatch is None, execution.mismatch
            if self._here.db.statistics()["connections_in_use"]:
                gc.collect()
            await self._here.until(lambda: self._here.db.statistics()["connections_in_use"] == 0)
            await self._here.check_whole()

        if self._world is Tasks:
            self._runner.run(main(), context=Context())
        else:
            Context().run(step_through, main())


def drop(_: object) -> None:
    """Forget an exception that Python has dropped, with the frames that it keeps."""


@pytest.fixture
def lane(
    request: pytest.FixtureRequest, observer: Observer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Lane]:
    (tmp_path / "items.sql").write_text(SQL)
    monkeypatch.setattr(sys, "unraisablehook", drop)
    logging.disable()
    gc.freeze()  # so that collecting is quick
    made = Lane(request.param, observer, load_queries(tmp_path))
    yield made
    made.close()
    gc.unfreeze()
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("lane", [Threads, Tasks], ids=["sync", "async"], indirect=True)
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(program=programs)
def test_a_program_does_what_the_model_says(lane: Lane, program: Program) -> None:
    lane.check(program)
