"""The library's loggers, `rowsmith` and those below it: what they log, and where it goes.

A level that the application sets on one of these loggers stands. Where it sets none, they log errors only, and the
root logger's level does not count: a root at DEBUG does not ask for a line per query. APP_ENV=development does. Every
query then appears on stderr, through one handler. An application that has configured logging itself (the root logger
has a handler, or one of the library's loggers has a level or a handler) gets the records in its own handlers instead,
from the level that it has chosen there, no matter whether it does so before or after it makes a `Database`.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rowsmith.settings import Settings

_logger = logging.getLogger("rowsmith")
# Without a handler of some kind Python would print our errors to stderr (logging HOWTO, "for a library").
_logger.addHandler(logging.NullHandler())
# What psycopg_pool warns of is in our own events too, with the reason.
logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())

# Stands between `rowsmith` and the root logger. The library's own choice of level and handler is kept here, so that
# whatever is set on `rowsmith` is the application's.
_defaults = logging.Logger("rowsmith (defaults)", logging.ERROR)  # noqa: LOG001 - nobody logs on it by name
_defaults.parent, _logger.parent = _logger.parent, _defaults


class _Console(logging.StreamHandler[TextIO]):
    """Standard error, for as long as the application has not configured logging."""

    def emit(self, record: logging.LogRecord) -> None:
        if _is_configured():  # since this handler was added
            _defaults.setLevel(logging.NOTSET)
            _defaults.propagate = logging.getLogger(record.name).isEnabledFor(record.levelno)
        else:
            self.setStream(sys.stderr)
            super().emit(record)


def configure(settings: Settings) -> None:
    """Log queries where `settings` are for development. Does nothing otherwise, nor a second time."""
    if not settings.development or _defaults.handlers:
        return
    console = _Console()
    console.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    _defaults.addHandler(console)
    _defaults.setLevel(logging.NOTSET if _is_configured() else logging.DEBUG)


def _is_configured() -> bool:
    """Whether the application has given the library's records a handler or a level."""
    below = [each for name, each in list(_logger.manager.loggerDict.items()) if name.startswith("rowsmith.")]
    loggers = [_logger, *(each for each in below if isinstance(each, logging.Logger))]
    handlers = [one for each in loggers for one in each.handlers if not isinstance(one, logging.NullHandler)]
    return bool(logging.root.handlers or handlers) or any(each.level for each in loggers)
