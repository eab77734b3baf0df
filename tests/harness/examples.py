"""How many examples a test tries: a share of them in `make test`, all of them in `make test-all`.

`--hypothesis-profile=all` chooses all of them; `fuzz` is for `make fuzz`, where each run tries others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import settings

_T = TypeVar("_T")
_ALL = 100


def register_profiles() -> None:
    """Make the profiles known. What the command line chooses comes later, and wins."""
    # The same examples in each run: what is found is found again.
    settings.register_profile("all", max_examples=_ALL, derandomize=True, deadline=None)
    settings.register_profile("share", settings.get_profile("all"), max_examples=_ALL // 5)
    settings.register_profile("fuzz", settings.get_profile("all"), max_examples=3000, derandomize=False)
    settings.load_profile("share")


def all_wanted() -> bool:
    """Whether this run tries all examples."""
    return settings().max_examples >= _ALL


def examples(number: int) -> int:
    """How many of so many examples hypothesis tries in this run."""
    return number if all_wanted() else max(number // 5, 1)


def share(values: Sequence[_T], step: int, first: int = 0) -> Sequence[_T]:
    """All of the values or, in a run that does not try all of them, every `step`-th."""
    return values if all_wanted() else values[first % step :: step]
