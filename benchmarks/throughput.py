"""Throughput: point lookups by many threads, or by many tasks, over a pool with few connections."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from statistics import quantiles
from threading import Barrier
from time import perf_counter, process_time
from uuid import UUID

from benchmarks import data
from benchmarks.contenders.contender import Contender, LeftOutError
from benchmarks.figures import Outcome
from benchmarks.stage import Stage

_EACH = 60
"""Lookups of each thread or task in a round."""


@dataclass(frozen=True)
class Crowd:
    """A number of threads, or of tasks."""

    name: str
    title: str
    size: int
    asynchronous: bool
    seconds: float
    """How long it is measured in a full run."""


CROWDS = (
    Crowd("threads", "Point lookups by 16 threads on 10 connections", 16, asynchronous=False, seconds=15),
    Crowd("tasks", "Point lookups by 64 tasks on 10 connections", 64, asynchronous=True, seconds=10),
)


def measure(stage: Stage, crowd: Crowd, seconds: float, progress: Callable[[float], None]) -> Outcome:
    """Measure in rounds for this number of seconds, at least one round. In each, every contender serves the crowd once.

    The figures are `rate`, the lookups per second; `p50` and `p99` of the time of a lookup; and `cpu` for a lookup.
    """
    outcome = Outcome()
    contenders = [each for each in stage.contenders if _takes_part(stage, crowd, each, outcome)]
    outcome.rounds = {contender.name: [] for contender in contenders}
    random, began, rounds = Random(crowd.size), perf_counter(), 0  # noqa: S311 - the same in every run
    while not rounds or perf_counter() - began < seconds:
        random.shuffle(contenders)
        for contender in contenders:
            keys = [[data.key(random.randint(1, data.USERS)) for _ in range(_EACH)] for _ in range(crowd.size)]
            outcome.add(contender.name, _serve(stage, contender, keys))
        rounds += 1
        progress(min(1.0, (perf_counter() - began) / seconds))
    return outcome


def _takes_part(stage: Stage, crowd: Crowd, contender: Contender, outcome: Outcome) -> bool:
    if contender.asynchronous is not crowd.asynchronous:
        return False
    try:
        stage.call(contender, contender.look_up_pooled, data.key(1))
    except LeftOutError as reason:
        outcome.left_out[contender.name] = str(reason)
        return False
    _serve(stage, contender, [[data.key(1)] * 10] * crowd.size)  # prepares the statement on every connection
    return True


def _serve(stage: Stage, contender: Contender, keys: Sequence[Sequence[UUID]]) -> dict[str, float]:
    gc.collect()
    cpu = process_time()
    if contender.asynchronous:
        wall, times = stage.wait(_by_tasks(contender, keys))
    else:
        wall, times = _by_threads(contender, keys)
    cpu = process_time() - cpu
    centiles = quantiles(times, n=100)
    return {"rate": len(times) / wall, "p50": centiles[49], "p99": centiles[98], "cpu": cpu / len(times)}


def _by_threads(contender: Contender, keys: Sequence[Sequence[UUID]]) -> tuple[float, list[float]]:
    """Returns the total time and the time of each lookup, in seconds."""
    start = Barrier(len(keys) + 1)

    def work(own: Sequence[UUID]) -> list[float]:
        times: list[float] = []
        start.wait()
        for key in own:
            began = perf_counter()
            contender.look_up_pooled(key)
            times.append(perf_counter() - began)
        return times

    with ThreadPoolExecutor(len(keys)) as pool:
        futures = [pool.submit(work, own) for own in keys]
        start.wait()
        began = perf_counter()
        times = [time for future in futures for time in future.result()]
        return perf_counter() - began, times


async def _by_tasks(contender: Contender, keys: Sequence[Sequence[UUID]]) -> tuple[float, list[float]]:
    """Like `_by_threads`, for tasks."""

    async def work(own: Sequence[UUID]) -> list[float]:
        times: list[float] = []
        for key in own:
            began = perf_counter()
            await contender.look_up_pooled(key)
            times.append(perf_counter() - began)
        return times

    began = perf_counter()
    times = [time for each in await asyncio.gather(*map(work, keys)) for time in each]
    return perf_counter() - began, times
