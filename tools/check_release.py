"""Check that a tag may be released: it is the version of pyproject.toml, which CHANGELOG.md describes.

python tools/check_release.py v0.1.0
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def faults(tag: str, pyproject: str, changelog: str) -> list[str]:
    """What keeps a tag from being released."""
    version = tomllib.loads(pyproject)["project"]["version"]
    found: list[str] = []
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, but pyproject.toml has version {version}: expected the tag v{version}")
    if not re.search(rf"^## \[{re.escape(version)}\]", changelog, re.MULTILINE):
        found.append(f"CHANGELOG.md has no section for {version}: expected a line `## [{version}] - YYYY-MM-DD`")
    return found


def main() -> None:
    """Check the tag that the command line names."""
    files = [(ROOT / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "CHANGELOG.md")]
    if found := faults(sys.argv[1], *files):
        raise SystemExit("\n".join(found))


if __name__ == "__main__":
    main()
