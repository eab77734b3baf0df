"""A caller that waits for a connection in vain is told who holds them."""

from __future__ import annotations

import re

import pytest

from rowsmith.errors import PoolTimeoutError
from tests.harness.drivers import Driver, Observer, Threads, both_worlds, small


@both_worlds
def test_the_error_names_the_holders(driver: type[Driver], observer: Observer) -> None:
    here = driver(small(observer.url, pool_timeout=200, max_connections=7))
    holder = r"thread \S.*" if driver is Threads else r"task \S+"

    async def body() -> None:
        blocks = [here.connection() for _ in range(7)]
        pids = [(await block.__aenter__()).info.backend_pid for block in blocks]
        with pytest.raises(PoolTimeoutError) as caught:
            await here.start(here.backend).result()
        head, *lines = str(caught.value).splitlines()
        assert head.endswith("They are held by")
        assert len(lines) == 6
        for pid, line in zip(pids[:5], lines[:5], strict=True):
            where = rf"acquired at \S+\.py:\d+ in \S+ \(server process {pid}\)"
            assert re.fullmatch(rf"  {holder} for \d+\.\d s, {where}", line)
        assert lines[-1] == "  and 2 more"
        for block in blocks:
            await block.__aexit__(None, None, None)

    here.drive(body)
