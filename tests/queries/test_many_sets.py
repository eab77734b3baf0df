"""`*!` queries: all sets of parameters are stored, or none, wherever the bad value is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from rowsmith import load_queries
from tests.harness.drivers import Driver, Observer, Tasks, both_worlds, small
from tests.harness.examples import examples
from tests.harness.interruptions import Step, stepping

SQL = "-- name: add(n, label)*!\nINSERT INTO labelled VALUES (:n, :label);"
GOOD = [{"n": n, "label": str(n)} for n in range(1, 200)]

BAD = {
    "psycopg cannot adapt it": {"n": object(), "label": "x"},
    "psycopg refuses it": {"n": 0, "label": "a\0b"},
    "it cannot be encoded": {"n": 0, "label": "\ud800"},
    "the server cannot read it": {"n": "none", "label": "x"},
    "it is out of range": {"n": 2**40, "label": "x"},
    "it is NULL": {"n": None, "label": "x"},
    "it is there already": {"n": 1, "label": "x"},
    "it has no label": {"n": 0},
}


async def finished(result: Any) -> Any:
    """What a call returns, or what it returns when it is awaited."""
    return await result if hasattr(result, "__await__") else result


@both_worlds
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("place", [0, 100, 199])
def test_all_sets_are_stored_or_none(
    driver: type[Driver], observer: Observer, tmp_path: Path, bad: dict[str, Any], place: int
) -> None:
    (tmp_path / "q.sql").write_text(SQL)
    queries = load_queries(tmp_path)
    observer.do("CREATE TABLE labelled (n int PRIMARY KEY, label text)")
    driven = driver(small(observer.url), observer)
    sets = [*GOOD[:place], bad, *GOOD[place:]] if place else [*GOOD[:1], bad, *GOOD[1:]]

    async def body() -> None:
        async with driven.connection() as conn:
            with pytest.raises((psycopg.Error, UnicodeEncodeError, TypeError)):
                await finished(queries.add(conn, sets))
            assert driven.observer.stored("labelled") == []
            assert await finished(queries.add(conn, GOOD)) == len(GOOD)
        assert driven.observer.stored("labelled") == [each["n"] for each in GOOD]

    driven.drive(body)


@contextmanager
def interrupting(number: int, driven: Driver) -> Generator[Step]:
    """A block that is interrupted at a step of the code of the library or of psycopg."""
    task = asyncio.current_task() if isinstance(driven, Tasks) else None
    with stepping(number, error=KeyboardInterrupt if task is None else Stop, task=task) as step:
        yield step


class Stop(Exception):  # noqa: N818 - asyncio would end with KeyboardInterrupt
    """What the handler of a signal raises."""


@both_worlds
def test_an_interruption_at_any_moment_stores_all_sets_or_none(
    driver: type[Driver], observer: Observer, tmp_path: Path
) -> None:
    (tmp_path / "q.sql").write_text(SQL)
    queries = load_queries(tmp_path)
    observer.do("CREATE TABLE labelled (n int PRIMARY KEY, label text)")
    driven = driver(small(observer.url), observer)

    async def attempt(number: int) -> bool:
        try:
            async with driven.connection() as conn:
                with interrupting(number, driven) as step:
                    await finished(queries.add(conn, GOOD))
        except (KeyboardInterrupt, Stop, psycopg.OperationalError):  # the last if psycopg's pipeline cannot be ended
            return True
        return step.reached

    async def body() -> None:
        number, count = 1, 0
        chance = Random(1)  # noqa: S311 - for variety alone
        while await attempt(number):
            stored = len(observer.stored("labelled"))
            assert stored in (0, len(GOOD))
            observer.do("DELETE FROM labelled")
            async with driven.connection() as conn:
                assert conn.pgconn.transaction_status == TransactionStatus.IDLE
            number += chance.randint(1, 4_000_000 // examples(50_000))
            count += 1
        assert count > 10
        await driven.check_whole()

    driven.drive(body)


@both_worlds
def test_a_value_that_psycopg_refuses_stores_nothing_in_a_block_that_goes_on(
    driver: type[Driver], observer: Observer, tmp_path: Path
) -> None:
    (tmp_path / "q.sql").write_text(SQL)
    queries = load_queries(tmp_path)
    observer.do("CREATE TABLE labelled (n int PRIMARY KEY, label text)")
    driven = driver(small(observer.url), observer)

    async def body() -> None:
        async with driven.transaction() as conn:
            with pytest.raises(psycopg.DataError):
                await finished(queries.add(conn, [*GOOD, {"n": 0, "label": "a\0b"}]))
            await finished(queries.add(conn, [{"n": 500, "label": ""}]))

    driven.drive(body)
    assert observer.stored("labelled") == [500]
