# SPDX-License-Identifier: Apache-2.0
"""Every error of the API in one form: ``{"error": {"message", "at"?, "length"?, "suggestion"?}}`` with a fitting status."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from flowgauge.console.guard import problem
from flowgauge.errors import EnvironmentProblem, FilterError, FlowgaugeError, UsageError
from flowgauge.runtime import logs

_log = logs.get("console")
_limit = logs.RateLimit()


def filter_problem(error: FilterError) -> dict[str, str | int]:
    """What is wrong with a filter, and where."""
    found: dict[str, str | int] = {"message": error.message, "at": error.at, "length": error.length}
    return found | ({"suggestion": error.suggestion} if error.suggestion else {})


async def _filter(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, FilterError)  # noqa: S101 - registered for this class only
    return JSONResponse({"error": filter_problem(error)}, 400)


async def _usage(_: Request, error: Exception) -> JSONResponse:
    return problem(str(error), 400)


async def _validation(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
    words = "; ".join(f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in error.errors())
    return problem(words, 400)


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    return problem(str(error.detail), error.status_code)


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    allowed, held_back = _limit.allow(type(error).__name__)
    if allowed:
        _log.warning("answer_failed", path=request.url.path, problem=str(error), held_back=held_back)
    return problem(str(error), 503)


async def _internal(request: Request, error: Exception) -> JSONResponse:
    _log.error("route_failed", path=request.url.path, exc_info=error)
    return problem("internal error; see the console's log", 500)


def register(app: FastAPI) -> None:
    """Adds the handlers; the nearest class of an error decides."""
    app.add_exception_handler(FilterError, _filter)
    app.add_exception_handler(UsageError, _usage)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(EnvironmentProblem, _unavailable)
    app.add_exception_handler(FlowgaugeError, _unavailable)
    app.add_exception_handler(Exception, _internal)
