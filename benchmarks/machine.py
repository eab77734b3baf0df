"""The machine that the figures were measured on, without host names and paths."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

import psycopg
from psycopg import pq
from psycopg.rows import TupleRow

_PACKAGES = ("rowsmith", "psycopg", "psycopg-pool", "pydantic", "aiosql", "asyncpg", "SQLAlchemy", "sqlspec")


def facts(conn: psycopg.Connection[TupleRow]) -> dict[str, str]:
    """The processor, the system, and the versions of all software involved."""
    server = conn.info.parameter_status("server_version") or "?"
    libpq = pq.version()
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        # Other processes influence on which core the server runs, and so what a system call costs the client.
        "load before": f"{os.getloadavg()[0]:.1f}",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "PostgreSQL": f"{server.split()[0]}, embedded, over a Unix socket",
        "libpq": f"{libpq // 10_000}.{libpq % 10_000} (psycopg's {pq.__impl__} implementation)",
    } | {package: version(package) for package in _PACKAGES}


def _processor() -> str:
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()
