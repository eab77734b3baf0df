"""Transactions that a command ends inside their block: the block says so, whatever has begun since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rowsmith import load_queries
from rowsmith.errors import TransactionError
from tests.harness.drivers import Driver, Observer, both_worlds, insert, small, sql

SQL = """
-- name: roll_back_and_chain()!
ROLLBACK AND CHAIN

-- name: commit_and_chain()!
COMMIT AND CHAIN;

-- name: begin_again()#
ROLLBACK; BEGIN;
"""
COMMANDS = [
    "ROLLBACK AND CHAIN",
    "COMMIT AND CHAIN",
    "rollback work and chain",
    "ABORT AND CHAIN",
    "END AND CHAIN",
    "ROLLBACK; BEGIN",
    "COMMIT; START TRANSACTION",
    "SAVEPOINT a; ROLLBACK TO a; ROLLBACK AND CHAIN",
]


async def ended_by(here: Driver, command: str) -> None:
    async with here.transaction() as conn:
        await insert(conn, 1)
        await sql(conn, command)
        await insert(conn, 2)


@both_worlds
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_a_cursor(driver: type[Driver], observer: Observer, command: str) -> None:
    here = driver(small(observer.url))

    async def body() -> None:
        for _ in range(7):  # from the sixth time on, psycopg has it prepared
            with pytest.raises(TransactionError, match="ended inside its block"):
                await ended_by(here, command)
        assert 2 not in observer.stored()
        await here.check_whole()

    here.drive(body)


@both_worlds
@pytest.mark.parametrize("name", ["roll_back_and_chain", "commit_and_chain", "begin_again"])
def test_a_command_of_a_query(driver: type[Driver], observer: Observer, tmp_path: Path, name: str) -> None:
    (tmp_path / "commands.sql").write_text(SQL)
    query: Any = getattr(load_queries(tmp_path), name)
    here = driver(small(observer.url))

    async def work() -> None:
        async with here.transaction() as conn:
            await insert(conn, 1)
            awaitable = query(conn)
            if awaitable is not None and not isinstance(awaitable, int):
                await awaitable
            await insert(conn, 2)

    async def body() -> None:
        for _ in range(3):
            with pytest.raises(TransactionError, match="ended inside its block"):
                await work()
        assert 2 not in observer.stored()
        await here.check_whole()

    here.drive(body)


@both_worlds
def test_a_command_inside_a_savepoint(driver: type[Driver], observer: Observer) -> None:
    here = driver(small(observer.url))

    async def nested() -> None:
        async with here.transaction() as conn:
            await insert(conn, 1)
            async with here.transaction():
                await sql(conn, "ROLLBACK AND CHAIN")

    async def body() -> None:
        with pytest.raises(TransactionError, match="ended inside its block"):
            await nested()
        assert observer.stored() == []
        await here.check_whole()

    here.drive(body)


@both_worlds
@pytest.mark.parametrize("command", ["SAVEPOINT a; ROLLBACK TO a", "SAVEPOINT a; ROLLBACK WORK TO SAVEPOINT a; BEGIN"])
def test_a_savepoint_by_hand_ends_nothing(driver: type[Driver], observer: Observer, command: str) -> None:
    here = driver(small(observer.url))

    async def body() -> None:
        async with here.transaction() as conn:
            await insert(conn, 1)
            await sql(conn, command)
            await insert(conn, 2)
        assert observer.stored() == [1, 2]
        await here.check_whole()

    here.drive(body)
