"""The log: who gets which record, by APP_ENV and by what the application has configured.

Each script runs in a process of its own, for the configuration of logging is the process's.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from rowsmith import logs
from tests.harness.waiting import PATIENCE

QUERY, FAILURE = "query get_user: 0.3 ms", "query get_user failed: 22P02"
ON_STDERR = f"DEBUG rowsmith.queries: {QUERY}\nERROR rowsmith.queries: {FAILURE}\n"

SCRIPT = """\
import logging, logging.config, sys
from types import SimpleNamespace
{before}
import rowsmith.logs
from tests.harness.waiting import PATIENCE
rowsmith.logs.configure(SimpleNamespace(development={development}))
{after}
logger = logging.getLogger("rowsmith.queries")
logger.debug("query get_user: 0.3 ms")
logger.error("query get_user failed: 22P02")
sys.exit(logger.isEnabledFor(logging.DEBUG))
"""

TO_STDOUT = "stream=sys.stdout, format='app: %(message)s'"
DICT_CONFIG = """logging.config.dictConfig({{
    "version": 1, "disable_existing_loggers": {disable},
    "handlers": {{"out": {{"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}}}},
    "loggers": {{"{logger}": {{"handlers": ["out"], "level": "INFO", "propagate": False}}}},
}})"""
OF_ANOTHER = DICT_CONFIG.format(disable=False, logger="uvicorn")
OF_OURS = DICT_CONFIG.format(disable=True, logger="rowsmith")
OF_A_CHILD = "logging.getLogger('rowsmith.queries').addHandler(logging.StreamHandler(sys.stdout))"
AS_FLASK = """app = logging.getLogger("app")
app.setLevel(logging.DEBUG)
app.addHandler(logging.StreamHandler(sys.stdout))"""


def run(before: str = "", after: str = "", *, development: bool) -> tuple[str, str, bool]:
    """Standard output, where the application logs to; standard error; and whether a query costs a record."""
    script = SCRIPT.format(before=before, after=after, development=development)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout, done.stderr, bool(done.returncode)


@pytest.mark.parametrize(
    ("before", "after"),
    [("", ""), (OF_ANOTHER, ""), ("", OF_ANOTHER), ("", AS_FLASK)],
    ids=["plain script", "uvicorn, before", "uvicorn, after", "Flask"],
)
def test_development_prints_each_query(before: str, after: str) -> None:
    assert run(before, after, development=True) == ("", ON_STDERR, True)


@pytest.mark.parametrize(
    ("configuration", "printed"),
    [
        (f"logging.basicConfig(level=logging.DEBUG, {TO_STDOUT})", [f"app: {QUERY}", f"app: {FAILURE}"]),
        (f"logging.basicConfig(level=logging.INFO, {TO_STDOUT})", [f"app: {FAILURE}"]),
        (f"logging.basicConfig({TO_STDOUT})", [f"app: {FAILURE}"]),
        (OF_OURS, [FAILURE]),
        (OF_A_CHILD, [FAILURE]),
    ],
    ids=["root at DEBUG", "root at INFO", "root as it is", "dictConfig of rowsmith", "a handler on a child"],
)
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_an_application_that_configures_logging_gets_the_records_itself(
    configuration: str, printed: list[str], before: bool
) -> None:
    out, err, _ = run(**{"before" if before else "after": configuration}, development=True)
    if configuration == OF_A_CHILD and not before:
        printed = [QUERY, *printed]  # its handler is asked before ours, which then notices it
    assert (out.splitlines(), err) == (printed, "")


@pytest.mark.parametrize(
    "after",
    ["", "logging.getLogger().setLevel(logging.DEBUG)", f"logging.basicConfig(level=logging.DEBUG, {TO_STDOUT})"],
    ids=["plain script", "root at DEBUG", "root at DEBUG with a handler"],
)
def test_by_default_errors_alone_are_logged(after: str) -> None:
    """The root's level does not count, and a query that works costs no record."""
    out = f"app: {FAILURE}\n" if TO_STDOUT in after else ""
    assert run(after=after, development=False) == (out, "", False)


def test_a_level_that_the_application_sets_stands() -> None:
    root = f"logging.basicConfig({TO_STDOUT})"
    own = "logging.getLogger('rowsmith').setLevel(logging.{})".format
    for development in (True, False):
        both = f"app: {QUERY}\napp: {FAILURE}\n"
        assert run(root, own("DEBUG"), development=development) == (both, "", True)
        assert run(root, own("CRITICAL"), development=development) == ("", "", False)


def test_the_level_of_the_logger_is_left_alone() -> None:
    """In both modes: what is set on `rowsmith` is the application's."""
    show = "print(logging.getLogger('rowsmith').level, logging.getLogger('rowsmith.queries').level)"
    assert run(after=show, development=False)[0] == "0 0\n"
    assert run(after=show, development=True)[0] == "0 0\n"


@pytest.mark.usefixtures("default_logging")
def test_caplog_gets_what_its_level_asks_for(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("rowsmith.queries")
    with caplog.at_level(logging.DEBUG):
        logger.debug("production")
    with caplog.at_level(logging.DEBUG, "rowsmith"):
        logger.debug("asked for")
    logs.configure(SimpleNamespace(development=True))  # type: ignore[arg-type]  # all that it looks at
    logger.debug("below the root's level")
    with caplog.at_level(logging.DEBUG):
        logger.debug("development")
    assert caplog.messages == ["asked for", "development"]


# --- import rowsmith ---

SLOW = ("aiosql", "click", "pydantic", "pydantic_core", "pydantic_settings", "rich", "yoyo")


def test_importing_rowsmith_loads_no_package_that_it_may_not_need() -> None:
    """What only settings, the loader, COPY, migrations or the command line need is imported when that is used."""
    script = f"import sys, rowsmith; print([name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    used = f"import sys; from rowsmith import *; print([name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", used], capture_output=True, text=True, check=True, env=os.environ)
    assert "pydantic_settings" in done.stdout  # `Settings` is one of the names
