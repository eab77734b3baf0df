"""The measurement of a workload, in rounds. In each round, every contender does a short batch of the same work.

Client CPU time is the time of the whole process (`time.process_time`), so work that a library does in another thread
counts too. Nothing else runs meanwhile. The server's time is not included.

There are many rounds of short batches, and ratios are computed within a round, because the speed of a machine changes
from second to second. Each round has another order, so that no contender always follows the same one. Before a batch of
several operations, one operation is done unmeasured, because another library has just used the processor's caches.

The garbage collector stays on, as in real programs: its work for a row is part of the cost of the row. It runs before
each batch to remove what other contenders left behind. Objects that exist before the first round are frozen, because
otherwise each contender would pay for the modules of all the others.
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
    """Measure in rounds for this number of seconds, at least one round. `progress` gets the share that is done.

    Raises DifferenceError if the result of a contender differs from the others'.
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
    """Whether the contender takes part. If so, its result was checked, and its statements are prepared."""
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
    """Like `_timed`, inside the event loop, so that starting and stopping the loop is not measured."""
    wall, cpu = perf_counter(), process_time()
    for each in arguments:
        await method(*each)
    cpu, wall = process_time() - cpu, perf_counter() - wall
    return {"cpu": cpu / len(arguments), "wall": wall / len(arguments)}
