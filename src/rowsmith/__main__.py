"""`python -m rowsmith`, and the script `rowsmith`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say what to install if its packages are missing."""
    try:
        from rowsmith.cli import cli  # noqa: PLC0415 - its packages are an extra
    except ModuleNotFoundError as error:
        sys.exit(f"rowsmith's command line needs {error.name}. Run: pip install 'rowsmith[cli]'")
    cli(prog_name="rowsmith")


if __name__ == "__main__":
    main()
