"""What threads and tasks do differently."""

from __future__ import annotations

from queue import Queue
from threading import Thread

import pytest

from rowsmith.wire.concurrency import within_sync
from tests.harness.waiting import PATIENCE


def test_an_interruption_while_the_thread_starts_discards_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thread.start() waits for the thread, which may be far ahead by then."""
    start = Thread.start

    def start_and_interrupt(self: Thread) -> None:
        start(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(Thread, "start", start_and_interrupt)
    discarded: Queue[str] = Queue()
    with pytest.raises(KeyboardInterrupt):
        within_sync(None, lambda: "a connection", discarded.put)
    assert discarded.get(timeout=PATIENCE) == "a connection"
