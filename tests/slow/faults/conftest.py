"""What the tests of faults share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.drivers import Observer
from tests.harness.network import Proxy


@pytest.fixture
def proxy(observer: Observer) -> Iterator[Proxy]:
    """Stands between the library and the server, and cuts, delays or swallows what they say."""
    with Proxy(observer.url) as proxy:
        yield proxy
