# Generated from runs_async.py by tools/async_to_sync.py: change that file, then run `make format`.
"""A run: a function in a transaction, which is run again as a whole where that is safe."""

from __future__ import annotations

import logging
import random
from contextlib import nullcontext
from typing import TypeVar

from rowsmith.blocks import TransactionBlock
from rowsmith.concurrency import Work, sleep
from rowsmith.deadlines import deadline
from rowsmith.pool import Pool
from rowsmith.resilience import backoff
from rowsmith.transactions import TransactionOptions, find_open, retry_reason

logger = logging.getLogger("rowsmith.transactions")

_T = TypeVar("_T")


def run(
    database: object,
    pool: Pool,
    work: Work[_T],
    options: TransactionOptions,
    *,
    attempts: int,
    timeout: float | None,
) -> _T:
    """What `work` gives for a connection in a transaction, committed. See `Database.run`."""
    if find_open(database) is not None:
        with TransactionBlock(database, pool, options) as conn:
            return work(conn)
    pauses = backoff(attempts - 1, random.random, first=0.05, most=1.0)
    with nullcontext() if timeout is None else deadline(timeout):
        for attempt in range(1, attempts + 1):
            block = TransactionBlock(database, pool, options)
            try:
                with block as conn:
                    return work(conn)
            except Exception as error:
                reason = retry_reason(error, entered=block.entered, lost=block.lost)
                pause = next(pauses, None)
                if reason is None or pause is None:
                    raise
                logger.warning("retrying transaction: attempt %d after %s", attempt + 1, reason)
            sleep(pause)
    raise ValueError(f"attempts={attempts} is less than 1")
