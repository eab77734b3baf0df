"""Forks: a child of this process begins with pools of its own.

Its parent's connections are the parent's: libpq objects of another process are not closed by psycopg when they go away.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from weakref import WeakMethod

_KEPT: list[object] = []


def in_child(method: Callable[[], object]) -> None:
    """Have a method called in every child that this process forks, if its object is still there."""
    reference = WeakMethod(method)

    def run() -> None:
        if (call := reference()) is not None:
            call()

    os.register_at_fork(after_in_child=run)


def keep(*things: object) -> None:
    """Hold on to what a child must not take down, since it is the parent's."""
    _KEPT.extend(things)
