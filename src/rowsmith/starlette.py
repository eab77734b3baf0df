"""Starlette: routes for the health checks of load balancers."""

from __future__ import annotations

try:
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import BaseRoute, Route
except ModuleNotFoundError as missing:
    message = f"rowsmith.starlette needs {missing.name}. Run: pip install starlette"
    raise ModuleNotFoundError(message, name=missing.name) from None

from rowsmith.database import PROBE_SECONDS, Database, default_database

_HEADERS = {"Cache-Control": "no-store"}


def health_routes(database: Database | None = None, *, timeout: float = PROBE_SECONDS) -> list[BaseRoute]:
    """Routes for a load balancer: `Starlette(routes=[*health_routes(), ...])`.

    `/health/live` answers 200 as long as the process answers at all. `/health` and `/health/ready` answer 200 if the
    database (None: the default one) answers a probe within `timeout` seconds, and 503 if it does not, with the fields
    of `HealthCheck` as JSON. There is no password in it.
    """

    async def live(request: Request) -> JSONResponse:
        del request
        return JSONResponse({"healthy": True}, headers=_HEADERS)

    async def ready(request: Request) -> JSONResponse:
        del request
        check = await (database or default_database()).acheck_health(timeout=timeout)
        return JSONResponse(check.as_dict(), 200 if check.healthy else 503, headers=_HEADERS)

    return [Route("/health", ready), Route("/health/ready", ready), Route("/health/live", live)]
