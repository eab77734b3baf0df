"""The cases of other projects: sqlc's end-to-end tests, and SafeQL's tests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rowsmith.queries.lexer import Token, TokenKind, UnterminatedError, tokenize
from tests.conformance.judge import Statement
from tests.conformance.typescript import literals


@dataclass(frozen=True, slots=True)
class Project:
    """A schema, and queries on it."""

    name: str
    schema: str
    queries: tuple[Statement, ...]


# --- sqlc ---

# What follows undoes the migration: goose, sql-migrate, dbmate, tern.
_DOWN = ("-- +goose Down", "-- +migrate Down", "-- migrate:down", "---- create above / drop below ----")
_ARGUMENTS = ("arg", "narg", "slice")


def sqlc_projects(checkout: Path) -> Iterator[Project]:
    """The projects of `internal/endtoend/testdata`, each once."""
    folder = checkout / "internal" / "endtoend" / "testdata"
    seen = set[tuple[str, tuple[str, ...]]]()
    for file in sorted(folder.rglob("sqlc.*")):
        if "postgresql" not in file.parts:
            continue
        schema = "\n".join(_texts(file.parent, _setting(file, "schema")))
        queries = tuple(_sqlc_queries("\n;\n".join(_texts(file.parent, _setting(file, "queries"))), file.parent.name))
        key = schema, tuple(query.sql for query in queries)
        if queries and key not in seen:
            seen.add(key)
            yield Project(str(file.parent.relative_to(folder)), schema, queries)


def _setting(file: Path, name: str) -> list[str]:
    if file.suffix != ".json":
        return ["schema.sql"] if name == "schema" else ["query.sql"]
    try:
        content: dict[str, Any] = json.loads(file.read_text())
    except ValueError:  # a case about a configuration that is wrong
        return []
    paths: list[str] = []
    for part in (*content.get("packages", []), *content.get("sql", [])):
        found: Any = part.get(name, [])
        paths += found if isinstance(found, list) else [found]
    return paths


def _texts(folder: Path, paths: Sequence[str]) -> Iterator[str]:
    for path in dict.fromkeys(paths):
        place = folder / path
        for file in sorted(place.glob("*.sql")) if place.is_dir() else [place]:
            if file.is_file() and not file.name.endswith(".down.sql"):
                text = file.read_text()
                yield text[: min((at for at in map(text.find, _DOWN) if at >= 0), default=len(text))]


def _sqlc_queries(text: str, place: str) -> Iterator[Statement]:
    for tokens in statements(text):
        comments = [token.text for token in tokens if token.blank and "name:" in token.text]
        name = comments[-1].partition("name:")[2].split()[0] if comments else place
        sql, names = _numbered([token for token in tokens if token.kind is not TokenKind.LINE_COMMENT])
        yield Statement(sql, name, _parameters(tokens) or len(names))


def _numbered(tokens: Sequence[Token]) -> tuple[str, list[str]]:
    """The text with `$1` for `sqlc.arg(name)` and `@name`, and the names."""
    names: list[str] = []

    def number(name: str) -> str:
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    pieces: list[str] = []
    index = 0
    while index < len(tokens):
        words = [token.text.lower() for token in tokens[index : index + 6]]
        if words[:2] == ["sqlc", "."] and len(words) == 6 and words[3] == "(" and words[5] == ")":
            inner = tokens[index + 4].text.strip("'")
            pieces.append(number(inner) if words[2] in _ARGUMENTS else f"{inner}.*")
            index += 6
        elif words[0] == "@" and index + 1 < len(tokens) and tokens[index + 1].kind is TokenKind.NAME:
            pieces.append(number(tokens[index + 1].text))
            index += 2
        else:
            pieces.append(tokens[index].text)
            index += 1
    return "".join(pieces), names


# --- SafeQL ---


def safeql_projects(checkout: Path) -> Iterator[Project]:
    """The queries of the tests of its generator and of its ESLint rule."""
    generator = checkout / "packages" / "generate" / "src"
    rule = checkout / "packages" / "eslint-plugin" / "src" / "rules" / "check-sql"
    for folder, migrations in (
        (generator, generator / "generate" / "generate.migrations.ts"),
        (rule, rule / "check-sql.migrations.ts"),
    ):
        base = "\n".join(content for before, content in literals(migrations.read_text()) if before.endswith("("))
        seen = set[tuple[str, str]]()
        for file in sorted(folder.rglob("*.test.ts")):
            extra = ""
            for before, content in literals(file.read_text()):
                label = before.removesuffix("normalizeIndent").rstrip()
                if label.endswith("schema:"):
                    extra = content
                elif (label.endswith("query:") or _is_tag(before)) and (extra, content) not in seen:
                    seen.add((extra, content))
                    count = _parameters([*_tokens(content)])
                    yield Project(file.name, f"{base};\n{extra}", (Statement(content, file.name, count),))
                    extra = ""


def _is_tag(before: str) -> bool:
    """Whether a literal is tagged with `sql`, or with `sql<...>`."""
    if before.endswith(">"):
        before = before[: before.rfind("sql<") + 3] if "sql<" in before else ""
    return before.endswith("sql")


# --- SQL ---


def statements(text: str) -> Iterator[list[Token]]:
    """The tokens of each statement of a text."""
    tokens: list[Token] = []
    for token in _tokens(text):
        if token.kind is TokenKind.SEMICOLON:
            if any(not each.blank for each in tokens):
                yield tokens
            tokens = []
        else:
            tokens.append(token)
    if any(not each.blank for each in tokens):
        yield tokens


def _tokens(text: str) -> Iterator[Token]:
    try:
        yield from tokenize(text)
    except UnterminatedError:
        return


def _parameters(tokens: Sequence[Token]) -> int:
    """The highest number of a parameter."""
    return max((int(token.text[1:]) for token in tokens if token.kind is TokenKind.POSITIONAL), default=0)
