"""The files of migrations: what is refused before anything runs, where a failure is, and which changes are noticed."""

from __future__ import annotations

import logging
from pathlib import Path

import psycopg
import pytest

from rowsmith import Settings, errors, migrations
from rowsmith.migrations.indexes import names_in
from rowsmith.queries.lexer import split_statements, tokenize
from tests.harness.databases import settings_for
from tests.migrations.running import Yoyo, exists, rows, write


def refused(url: str, folder: Path) -> str:
    """Why the migrations of a folder are refused. Nothing has run."""
    with pytest.raises(errors.MigrationError) as raised:
        migrations.apply(settings_for(url), [folder])
    assert not exists(url, "a")
    return str(raised.value)


# --- what cannot be a migration ---

FINE = "CREATE TABLE a (x int);"
COMMIT = "would end the transaction in which this migration is applied and recorded"


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"DELETE FROM a\n\0 WHERE x = 1", 2, "SQL cannot contain the control character U+0000"),
        (b"SELECT 1 -- \x1b", 1, "SQL cannot contain the control character U+001B"),
        (b"SELECT 1;\nSELECT 'a", 2, "a string is never closed"),
        (b"SELECT 1;\n  COMMIT;", 2, f"COMMIT {COMMIT}"),
        (b"BEGIN;\nSELECT 1;\nEnd", 3, f"COMMIT {COMMIT}"),
        (b"COMMIT AND CHAIN;", 1, f"COMMIT {COMMIT}"),
        (b"ROLLBACK; BEGIN;", 1, f"ROLLBACK {COMMIT}"),
        (b"/* a */ abort work", 1, f"ROLLBACK {COMMIT}"),
        (b"PREPARE TRANSACTION 'x'", 1, f"PREPARE TRANSACTION {COMMIT}"),
    ],
)
def test_a_file_that_cannot_be_a_migration_is_refused_before_anything_runs(
    empty_database_url: str, tmp_path: Path, content: bytes, line: int, message: str
) -> None:
    for file in ("0002.b.rollback.sql", "0002.b.sql"):
        write(tmp_path, {"0001.a.sql": FINE, "0002.b.sql": "SELECT 1;"})
        (tmp_path / file).write_bytes(content)
        said = refused(empty_database_url, tmp_path)
        assert said.startswith(f"{tmp_path / file}:{line}: {message}")
        *_, shown, caret = said.splitlines()
        assert shown.startswith(f"    {line} | ")
        assert caret.endswith("^")


@pytest.mark.parametrize(
    ("directive", "message"),
    [
        ("-- transactional: no", "transactional is 'no': expected true or false"),
        ("-- depends: 0001.aa", "there is no migration '0001.aa'. Did you mean 0001.a?"),
    ],
)
def test_a_directive_that_cannot_be_is_refused(
    empty_database_url: str, tmp_path: Path, directive: str, message: str
) -> None:
    write(tmp_path, {"0001.a.sql": FINE, "0002.b.sql": f"-- The second.\n{directive}\nSELECT 1;"})
    assert refused(empty_database_url, tmp_path).startswith(f"{tmp_path}/0002.b.sql:2: {message}\n    2 | {directive}")


def test_a_cycle_and_two_files_of_one_name_are_refused(empty_database_url: str, tmp_path: Path) -> None:
    write(tmp_path, {"1.sql": f"-- depends: 2\n{FINE}", "2.sql": "-- depends: 1\nSELECT 1;"})
    assert refused(empty_database_url, tmp_path) == "these migrations depend on each other in a circle: 1, 2"
    write(tmp_path, {"1.sql": FINE, "1.py": ""})
    assert refused(empty_database_url, tmp_path) == "two migrations have the id 1. Rename one of their files"


ALLOWED = """
-- COMMIT;
SELECT 'COMMIT; ROLLBACK;', $$; COMMIT;$$;
SAVEPOINT s; ROLLBACK TO s; ROLLBACK WORK TO SAVEPOINT s; RELEASE s;
CREATE TABLE a (x int);
CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC
    SELECT CASE WHEN true THEN 1 END;
    SELECT 2;
END;
CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;
CREATE RULE r AS ON DELETE TO a DO INSTEAD (SELECT 1; SELECT 2);
DO $$ BEGIN PERFORM 1; END $$;
"""


def test_what_only_looks_like_the_end_of_a_transaction_is_allowed(empty_database_url: str, tmp_path: Path) -> None:
    write(tmp_path, {"0001.a.sql": ALLOWED, "0002.b.sql": "-- transactional: false\nBEGIN; SELECT 1; COMMIT;"})
    assert migrations.apply(settings_for(empty_database_url), [tmp_path]) == ["0001.a", "0002.b"]
    assert rows(empty_database_url, "SELECT f()") == [(2,)]


def test_a_migration_in_python_that_commits_is_not_recorded(empty_database_url: str, tmp_path: Path) -> None:
    text = "from yoyo import step\nstep('CREATE TABLE a (x int)')\nstep(lambda conn: conn.commit())\n"
    write(tmp_path, {"0001.a.py": text})
    with pytest.raises(errors.MigrationError, match=r"^0001\.a has ended its transaction"):
        migrations.apply(settings_for(empty_database_url), [tmp_path])
    assert migrations.pending(settings_for(empty_database_url), [tmp_path]) == ["0001.a"]


@pytest.mark.parametrize("folder", ["nowhere", "0001.a.sql"])
def test_a_folder_that_is_not_there_is_refused(
    empty_database_url: str, tmp_path: Path, yoyo: Yoyo, folder: str
) -> None:
    write(tmp_path, {"0001.a.sql": FINE})
    message = f"there is no migration folder {tmp_path / folder}"
    assert refused(empty_database_url, tmp_path / folder).startswith(message)
    with pytest.raises(errors.MigrationError):
        migrations.apply(settings_for(empty_database_url), [tmp_path, tmp_path / folder])
    with pytest.raises(errors.MigrationError):
        migrations.pending(settings_for(empty_database_url), [tmp_path / folder])
    for command in ("apply", "rollback", "list", "mark"):
        done = yoyo(command, "--database=rowsmith://env", str(tmp_path), str(tmp_path / folder), folder=tmp_path)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert not exists(empty_database_url, "a")


def test_a_package_that_is_not_there_is_refused(tmp_path: Path, yoyo: Yoyo) -> None:
    for source in ("package:no_such_package:migrations", "package:yoyo:no_such_folder"):
        done = yoyo("apply", "--database=rowsmith://env", source, folder=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"there is no migration folder {source}" in done.stderr


# --- how files are read ---


def test_a_byte_order_mark_is_skipped_and_line_breaks_are_kept_in_literals(
    empty_database_url: str, tmp_path: Path
) -> None:
    text = "\ufeff-- transactional: false\r\nCREATE TABLE a AS\r\n SELECT 'x\r\ny' AS t;\r\nVACUUM a;\r\n"
    (tmp_path / "0001.a.sql").write_bytes(text.encode())
    assert migrations.apply(settings_for(empty_database_url), [tmp_path]) == ["0001.a"]
    assert rows(empty_database_url, "SELECT t FROM a") == [("x\r\ny",)]


def test_a_folder_whose_name_is_a_pattern_is_found(empty_database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "a[b]*"
    folder.mkdir()
    write(folder, {"0001.a.sql": FINE})
    assert migrations.apply(settings_for(empty_database_url), [folder]) == ["0001.a"]


def test_hooks_run_after_every_run_that_applied_something(empty_database_url: str, tmp_path: Path) -> None:
    settings = settings_for(empty_database_url)
    write(tmp_path, {"0001.a.sql": FINE, "post-apply.sql": "INSERT INTO a VALUES (1);"})
    assert migrations.apply(settings, [tmp_path]) == ["0001.a"]
    assert migrations.apply(settings, [tmp_path]) == []
    assert rows(empty_database_url, "SELECT x FROM a") == [(1,)]


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("", []),
        (" ; ;-- a\n;", []),
        ("a; b", ["a", "b"]),
        (" -- x\n/* y */ a -- z\n;\n/*+ hint */ b;", ["a", "/*+ hint */ b"]),
        ("'a;b'; $$;$$; \"c;d\"", ["'a;b'", "$$;$$", '"c;d"']),
        ("(a; b); c)); d", ["(a; b)", "c))", "d"]),
        (
            "CREATE FUNCTION f() BEGIN ATOMIC a; CASE b END; END; c; END",
            ["CREATE FUNCTION f() BEGIN ATOMIC a; CASE b END; END", "c", "END"],
        ),
        (
            "create or replace procedure f(begin int) begin atomic a; end; BEGIN; c",
            ["create or replace procedure f(begin int) begin atomic a; end", "BEGIN", "c"],
        ),
        ("CREATE TABLE begin (a); b", ["CREATE TABLE begin (a)", "b"]),
        ("CREATE FUNCTION f() RETURN CASE a END; b", ["CREATE FUNCTION f() RETURN CASE a END", "b"]),
    ],
)
def test_statements_are_split_as_psql_does(text: str, statements: list[str]) -> None:
    found = [text[tokens[0].start : tokens[-1].end] for tokens in split_statements(tokenize(text))]
    assert found == statements


def test_names_are_those_that_postgresql_stores() -> None:
    long = "L" * 70
    assert names_in(f'SELECT Ab, "Cd""e", \'x\', 1, {long} -- y') == {"select", "ab", 'Cd"e', "l" * 63}


# --- where a failure is ---


@pytest.mark.parametrize(
    ("sql", "shown", "message"),
    [
        ("\n\tSELECT nonsense;", "    4 | \tSELECT nonsense;\n      | \t       ^", 'column "nonsense" does not exist'),
        ("CREATE TABEL b ();", "    3 | CREATE TABEL b ();\n      |        ^", 'syntax error at or near "TABEL"'),
        ("\nSELECT 1 /\n 0;", "    4 | SELECT 1 /\n      | ^", "division by zero"),
        ("DO $$BEGIN\n  IF; END$$", "    4 |   IF; END$$\n      |     ^", 'missing "THEN" at end of SQL expression'),
    ],
)
def test_a_failure_has_its_file_its_line_and_a_caret(
    yoyo: Yoyo, tmp_path: Path, sql: str, shown: str, message: str
) -> None:
    line = shown.split(maxsplit=1)[0]
    for transactional in ("true", "false"):
        write(tmp_path, {"0001.a.sql": f"-- transactional: {transactional}\r\nSELECT 1;\r\n{sql}"})
        with pytest.raises(psycopg.Error) as raised:
            migrations.apply(Settings(), [tmp_path])
        assert raised.value.__notes__ == [f"in migration 0001.a, apply ({tmp_path}/0001.a.sql:{line})\n{shown}"]

        done = yoyo("apply", "--database=rowsmith://env", ".", folder=tmp_path)
        assert done.returncode == 2
        assert f"yoyo: error: 0001.a.sql:{line}: PostgreSQL refuses the migration: {message}\n" in done.stderr
        assert done.stderr.endswith(f"\n{shown}\n")
        assert "Traceback" not in done.stderr


def test_a_failure_at_commit_has_its_file(empty_database_url: str, tmp_path: Path) -> None:
    text = "CREATE TABLE a (x int UNIQUE DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO a VALUES (1), (1);"
    write(tmp_path, {"0001.a.sql": text})
    with pytest.raises(psycopg.errors.UniqueViolation) as raised:
        migrations.apply(settings_for(empty_database_url), [tmp_path])
    assert raised.value.__notes__ == [f"in migration 0001.a, apply ({tmp_path}/0001.a.sql)"]


def test_a_rollback_that_fails_is_at_its_own_file(tmp_path: Path, yoyo: Yoyo) -> None:
    write(tmp_path, {"0001.a.sql": FINE, "0001.a.rollback.sql": "DROP TABLE a;\nDROP TABLE b;"})
    assert yoyo("apply", "--database=rowsmith://env", ".", folder=tmp_path).returncode == 0
    done = yoyo("rollback", "--database=rowsmith://env", ".", folder=tmp_path)
    assert done.returncode == 2
    assert '0001.a.rollback.sql:2: PostgreSQL refuses the migration: table "b" does not exist' in done.stderr
    assert "    2 | DROP TABLE b;\n      | ^" in done.stderr


def test_a_command_that_needs_no_transaction_says_so(tmp_path: Path, yoyo: Yoyo) -> None:
    write(tmp_path, {"0001.a.sql": f"{FINE}\nCREATE INDEX CONCURRENTLY ON a (x);"})
    done = yoyo("apply", "--database=rowsmith://env", ".", folder=tmp_path)
    assert "Write `-- transactional: false` above the first statement" in done.stderr


def test_an_import_that_fails_is_told_once(tmp_path: Path, yoyo: Yoyo) -> None:
    write(tmp_path, {"0001.a.py": "from yoyo import no_such_name\n"})
    done = yoyo("apply", "--database=rowsmith://env", ".", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("Traceback") == 1  # yoyo logs it, with the line
    assert "yoyo: error: a migration cannot be loaded: 0001.a.py: cannot import name" in done.stderr


# --- what has changed since ---


def test_an_edited_or_removed_file_is_noticed(
    empty_database_url: str, tmp_path: Path, yoyo: Yoyo, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_for(empty_database_url)
    first = tmp_path / "0001.a.sql"
    write(
        tmp_path, {"0001.a.sql": "CREATE TABLE a (x int);\n", "0002.b.py": "from yoyo import step\nstep('SELECT 1')\n"}
    )
    migrations.apply(settings, [tmp_path])

    def warnings() -> list[str]:
        done = yoyo("apply", "--database=rowsmith://env", ".", folder=tmp_path)
        assert (done.returncode, done.stdout) == (0, "nothing to apply\n")
        return done.stderr.splitlines()

    assert warnings() == []
    first.write_bytes(b"\xef\xbb\xbf-- A comment.\r\nCREATE  TABLE a\r\n(x int) ;\r\n")
    assert warnings() == []

    edited = "was edited after it was applied, and is not applied again. Undo the edit, and write another migration"
    first.write_text("CREATE TABLE a (x bigint);\n")
    assert warnings() == [f"warning: 0001.a.sql {edited} for the change"]
    with caplog.at_level(logging.WARNING, "rowsmith.migrations"):
        assert migrations.apply(settings, [tmp_path]) == []
    assert [record.getMessage() for record in caplog.records] == [f"warning: {first} {edited} for the change"]
    first.write_bytes(b"\0")
    assert warnings() == [f"warning: 0001.a.sql {edited} for the change"]
    first.unlink()
    (tmp_path / "0002.b.py").write_text("")
    assert warnings() == [
        "warning: 0001.a is applied, but its file is gone. Restore the file",
        f"warning: 0002.b.py {edited} for the change",
    ]


def test_a_migration_of_an_earlier_version_has_no_digest_to_compare(
    empty_database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_for(empty_database_url)
    write(tmp_path, {"0001.a.sql": FINE})
    migrations.apply(settings, [tmp_path])
    with psycopg.connect(empty_database_url) as conn:
        conn.execute("UPDATE _yoyo_log SET comment = NULL")
    write(tmp_path, {"0001.a.sql": "SELECT 1;"})
    with caplog.at_level(logging.WARNING, "rowsmith.migrations"):
        migrations.apply(settings, [tmp_path])
    assert not caplog.records


def test_an_edit_counts_from_the_last_time_it_was_applied_or_marked(tmp_path: Path, yoyo: Yoyo) -> None:
    def run(*arguments: str) -> str:
        done = yoyo(*arguments, "--database=rowsmith://env", ".", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stderr

    write(tmp_path, {"0001.a.sql": FINE, "0001.a.rollback.sql": "DROP TABLE a;"})
    run("apply")
    write(tmp_path, {"0001.a.sql": "CREATE TABLE a (x bigint);"})
    assert "was edited" in run("list")
    assert "was edited" in run("reapply")
    assert run("list") == ""
    write(tmp_path, {"0001.a.sql": FINE})
    assert "was edited" in run("unmark")
    run("mark")
    assert run("list") == ""
