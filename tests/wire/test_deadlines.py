"""The deadline of a thread or task, without a database."""

from __future__ import annotations

import asyncio
from math import inf, nan

import pytest

from rowsmith import deadline
from rowsmith.wire.deadlines import current_end


def test_a_task_that_outlives_the_block_is_not_limited_any_more() -> None:
    async def body() -> None:
        ended = asyncio.Event()

        async def work() -> tuple[float | None, float | None]:
            inside = current_end()
            await ended.wait()
            return inside, current_end()

        with deadline(30):
            task = asyncio.create_task(work())
            await asyncio.sleep(0)
        ended.set()
        inside, after = await task
        assert inside is not None
        assert after is None

    asyncio.run(body())


def test_an_infinite_deadline_changes_nothing() -> None:
    with deadline(inf):
        assert current_end() is None
    with deadline(30), deadline(inf):
        assert current_end() is not None


def test_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"deadline\(nan\): expected a number of seconds"), deadline(nan):
        pass
    assert current_end() is None
