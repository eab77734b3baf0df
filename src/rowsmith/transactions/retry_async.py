"""Retries: a function run in a transaction, again and as a whole, when that is safe."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

from rowsmith.pool.breaker import backoff
from rowsmith.transactions.block_async import AsyncTransactionBlock
from rowsmith.transactions.current import find_open
from rowsmith.transactions.rules import retry_reason
from rowsmith.wire.concurrency import AsyncWork, sleep_async
from rowsmith.wire.deadlines import deadline

logger = logging.getLogger("rowsmith.transactions")

_T = TypeVar("_T")


async def run_async(
    database: object,
    make: Callable[[], AsyncTransactionBlock],
    work: AsyncWork[_T],
    *,
    attempts: int,
    timeout: float | None,
) -> _T:
    """What `work` returns for a connection in a transaction, committed. See `Database.run`; `make` gives the blocks."""
    if find_open(database) is not None:
        async with make() as conn:
            return await work(conn)
    pauses = backoff(attempts - 1, random.random, first=0.05, most=1.0)
    with nullcontext() if timeout is None else deadline(timeout):
        for attempt in range(1, attempts + 1):
            block = make()
            try:
                async with block as conn:
                    return await work(conn)
            except Exception as error:
                reason = retry_reason(error, entered=block.entered, lost=block.lost)
                pause = next(pauses, None)
                if reason is None or pause is None:
                    raise
                logger.warning("retrying transaction: attempt %d after %s", attempt + 1, reason)
            finally:
                block.give_up()  # if an exception came as it was about to end
            await sleep_async(pause)
    raise ValueError(f"attempts={attempts}: expected at least 1")
