"""Shutdown: a service ends its work in order when it gets a signal, and keeps its own signal handlers."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Sequence
from time import monotonic, sleep
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rowsmith.database import Database

logger = logging.getLogger("rowsmith.shutdown")

_PAUSE_SECONDS = 0.02
_CANCEL_SECONDS = 0.5
_REFUSAL = "this service is shutting down and accepts no new work"


class Shutdown:
    """The signal handler. The main thread may be working, so another thread does the waiting.

    `Database.shutdown_on_signals` says what it does. Raises ValueError outside the main thread.
    """

    def __init__(self, database: Database, grace: float, signals: Sequence[signal.Signals]) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("shutdown_on_signals() must be called in the main thread, where Python handles signals")
        self._database = database
        self._grace = grace
        self._hurry = threading.Event()
        self._started = self._ended = self._late = False
        self._previous: dict[int, Any] = {}
        for each in signals:
            self._previous[each] = signal.signal(each, self._received)

    def undo(self) -> None:
        """Set the previous handlers again, where this is still the handler."""
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._received:
                signal.signal(number, previous if previous is not None else signal.SIG_DFL)

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self._ended:
            if self._late:
                self._cut_off()
            self._deliver(number, frame)
        elif self._started:
            self._hurry.set()
        else:
            self._started = True
            threading.Thread(target=self._end, args=(number,), name="rowsmith-shutdown", daemon=True).start()

    def _end(self, number: int) -> None:
        logger.info("signal %d: refusing new work, waiting up to %.1f s for open connections", number, self._grace)
        self._database.refuse(_REFUSAL)
        self._late = not self._idle_within(self._grace)
        if not self._late:
            self._database.close()
        self._ended = True
        os.kill(os.getpid(), number)  # the handler runs once more, in the main thread

    def _cut_off(self) -> None:
        """Cancel what is left. This is done in the main thread, so that it starts nothing else before it ends."""
        logger.warning("connections are still in use: cancelling their statements")
        self._database.cancel()
        self._idle_within(_CANCEL_SECONDS)
        self._database.close()

    def _idle_within(self, seconds: float) -> bool:
        end = monotonic() + seconds
        while self._database.statistics()["connections_in_use"]:
            if monotonic() >= end or self._hurry.is_set():
                self._hurry.clear()
                return False
            sleep(_PAUSE_SECONDS)
        return True

    def _deliver(self, number: int, frame: FrameType | None) -> None:
        """Do what the signal did before this handler was installed."""
        previous = self._previous.get(number)
        self.undo()
        if callable(previous):
            previous(number, frame)
        elif previous is not signal.SIG_IGN:
            os.kill(os.getpid(), number)
