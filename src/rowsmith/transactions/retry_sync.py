# Generated from retry_async.py by tools/async_to_sync.py: change that file, then run `make format`.
"""Retries: a function run in a transaction, again and as a whole, when that is safe."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

from rowsmith.pool.breaker import backoff
from rowsmith.transactions.block_sync import TransactionBlock
from rowsmith.transactions.current import find_open
from rowsmith.transactions.rules import retry_reason
from rowsmith.wire.concurrency import Work, sleep_sync
from rowsmith.wire.deadlines import deadline

logger = logging.getLogger("rowsmith.transactions")

_T = TypeVar("_T")


def run_sync(
    database: object,
    make: Callable[[], TransactionBlock],
    work: Work[_T],
    *,
    attempts: int,
    timeout: float | None,
) -> _T:
    """What `work` returns for a connection in a transaction, committed. See `Database.run`; `make` gives the blocks."""
    if find_open(database) is not None:
        with make() as conn:
            return work(conn)
    pauses = backoff(attempts - 1, random.random, first=0.05, most=1.0)
    with nullcontext() if timeout is None else deadline(timeout):
        for attempt in range(1, attempts + 1):
            block = make()
            try:
                with block as conn:
                    return work(conn)
            except Exception as error:
                reason = retry_reason(error, entered=block.entered, lost=block.lost)
                pause = next(pauses, None)
                if reason is None or pause is None:
                    raise
                logger.warning("retrying transaction: attempt %d after %s", attempt + 1, reason)
            finally:
                block.give_up()  # if an exception came as it was about to end
            sleep_sync(pause)
    raise ValueError(f"attempts={attempts}: expected at least 1")
