"""Answers that are remembered, to questions that ask others to any depth.

What is asked about an expression is asked about its parts, and a query can be nested deeper than Python's stack allows.
At a certain depth the innermost question interrupts those around it. It is answered first; they start again, and find
its answer remembered. So every question is answered about once, however often and from however deep it is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

# One level takes up to eight frames of Python's stack, of which the caller may have used up half.
_DEEPEST = 40

_Question = tuple[Any, ...]


class _TooDeepError(Exception):
    def __init__(self, question: _Question) -> None:
        super().__init__()
        self.question = question


class Memory:
    """The answers to the questions about one query."""

    def __init__(self) -> None:
        self._answers: dict[_Question, Any] = {}
        self._depth = 0

    def __len__(self) -> int:
        return len(self._answers)

    def ask(self, question: _Question) -> Any:
        """The answer to a question: a method, its object, its arguments."""
        if question not in self._answers:
            if self._depth == 0:
                self._begin(question)
            elif self._depth < _DEEPEST:
                self._answer(question)
            else:
                raise _TooDeepError(question)
        return self._answers[question]

    def _begin(self, question: _Question) -> None:
        waiting = [question]
        while waiting:
            try:
                self._answer(waiting[-1])
                waiting.pop()
            except _TooDeepError as error:
                if error.question in waiting:
                    raise RecursionError(f"a question depends on itself: {error.question}") from None
                waiting.append(error.question)

    def _answer(self, question: _Question) -> None:
        self._depth += 1
        try:
            self._answers[question] = question[0](*question[1:])
        finally:
            self._depth -= 1


class _Remembering(Protocol):
    memory: Memory


_S = TypeVar("_S", bound=_Remembering)
_P = ParamSpec("_P")
_R = TypeVar("_R")


def remembered(method: Callable[Concatenate[_S, _P], _R]) -> Callable[Concatenate[_S, _P], _R]:
    """Let a method answer from the `memory` of its object, which all objects of one analysis share.

    Its arguments are positional and hashable; it has no effects, and gives the same result for the same arguments.
    """

    @wraps(method)
    def ask(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        answer: _R = self.memory.ask((method, self, *args, *kwargs.values()))
        return answer

    return ask
