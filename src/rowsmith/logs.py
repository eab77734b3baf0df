"""The library's logger, `rowsmith`: silent unless the program configures logging, and how much it then says."""

from __future__ import annotations

import logging

from rowsmith.settings import Settings

logger = logging.getLogger("rowsmith")
# Without a handler of some kind Python would print our warnings to stderr (logging HOWTO, "for a library").
logger.addHandler(logging.NullHandler())
# What psycopg_pool warns of is in our own events too, with the reason.
logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())


def set_level(settings: Settings) -> None:
    """In development every query is logged, elsewhere errors only. A level that the program has set itself stands."""
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.DEBUG if settings.development else logging.ERROR)
