"""The measurement of a workload: rounds, in each of which every contender does a short batch of the same work.

The client's CPU time is that of the whole process (`time.process_time`): a library that moved work to a thread of its
own would not get it for nothing, and nothing else runs here meanwhile. The server's is not in it.

Batches are short and rounds many, and ratios are taken within a round, because the speed of a machine changes from
second to second. The order is another one in each round, so that nobody always follows the same one. Before a batch of
several operations one is done outside the time, as another library has just had the processor's caches.

The collector of garbage stays on, as it is in programs: what a row costs it belongs to the row. Before each batch it
takes what the others left behind; and what was there before the first round is frozen, or each contender would pay for
the modules of all.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from random import Random
from time import perf_counter, process_time
from typing import Any

from benchmarks.contenders.contender import Contender, LeftOutError
from benchmarks.figures import Outcome
from benchmarks.stage import Stage
from benchmarks.workloads import Method, Workload

_SEED = 20_260_101


def measure(stage: Stage, workload: Workload, seconds: float, progress: Callable[[float], None]) -> Outcome:
    """Rounds for so many seconds, at least one. `progress` is told the share that is done.

    Raises DifferenceError where a contender gives another result than the others.
    """
    outcome = Outcome()
    contenders = [each for each in stage.contenders if _takes_part(stage, workload, each, outcome)]
    outcome.rounds = {contender.name: [] for contender in contenders}
    gc.collect()
    gc.freeze()
    random, began, rounds = Random(_SEED), perf_counter(), 0  # noqa: S311 - the same order in every run
    while not rounds or perf_counter() - began < seconds:
        random.shuffle(contenders)
        state = random.getstate()
        for contender in contenders:
            random.setstate(state)  # the same keys for all
            outcome.add(contender.name, _batch(stage, workload, contender, random))
        _clean_up(stage, workload)
        rounds += 1
        progress(min(1.0, (perf_counter() - began) / seconds))
    gc.unfreeze()
    if workload.cleanup:
        stage.conn.execute("VACUUM users, analytics_events")
    return outcome


def _takes_part(stage: Stage, workload: Workload, contender: Contender, outcome: Outcome) -> bool:
    """Whether it does; if so, its result was compared with what is right, and its statements are prepared."""
    try:
        arguments = workload.arguments(Random(_SEED))  # noqa: S311 - any key will do
        result = stage.call(contender, workload.method(contender), *arguments)
        workload.check(stage.conn, contender, result, arguments)
        _clean_up(stage, workload)
    except LeftOutError as reason:
        outcome.left_out[contender.name] = str(reason)
        return False
    return True


def _clean_up(stage: Stage, workload: Workload) -> None:
    if workload.cleanup:
        stage.conn.execute(workload.cleanup.encode())


def _batch(stage: Stage, workload: Workload, contender: Contender, random: Random) -> dict[str, float]:
    """The `cpu` and `wall` of one operation, in seconds."""
    method = workload.method(contender)
    if workload.batch > 1:
        stage.call(contender, method, *workload.arguments(random))
    arguments = [workload.arguments(random) for _ in range(workload.batch)]
    gc.collect()
    if contender.asynchronous:
        return dict(stage.wait(_timed_async(method, arguments)))
    return _timed(method, arguments)


def _timed(method: Method, arguments: list[tuple[Any, ...]]) -> dict[str, float]:
    wall, cpu = perf_counter(), process_time()
    for each in arguments:
        method(*each)
    cpu, wall = process_time() - cpu, perf_counter() - wall
    return {"cpu": cpu / len(arguments), "wall": wall / len(arguments)}


async def _timed_async(method: Method, arguments: list[tuple[Any, ...]]) -> dict[str, float]:
    """As `_timed`, within the event loop: to start and stop that is no part of the work."""
    wall, cpu = perf_counter(), process_time()
    for each in arguments:
        await method(*each)
    cpu, wall = process_time() - cpu, perf_counter() - wall
    return {"cpu": cpu / len(arguments), "wall": wall / len(arguments)}
