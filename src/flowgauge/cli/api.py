# SPDX-License-Identifier: Apache-2.0
"""The console's HTTP API, asked by the command line: finds the running instance, turns every failure into a sentence."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from flowgauge.errors import EnvironmentProblem, FilterError, FlowgaugeError, UsageError

ANSWER_TIMEOUT_S = 60
"""Twice what the store gives a question."""

SILENCE_S = 60
"""A stream says something at least every 15 s; after this long without a word it is dead."""

TOKEN_VARIABLE = "FLOWGAUGE_CONSOLE_TOKEN"  # noqa: S105 - the variable's name

Params = Mapping[str, str | int | None]


class StreamLost(EnvironmentProblem):
    """A stream ended that was open: connecting again may help."""


@dataclass(frozen=True, slots=True)
class Api:
    """The API at ``url`` (without a trailing slash), of the console or of another ``part``; ``token`` may be empty.

    An answer may take ``timeout_s``.
    """

    url: str
    token: str = ""
    part: str = "console"
    timeout_s: float = ANSWER_TIMEOUT_S

    def get(self, path: str, params: Params) -> dict[str, Any]:
        """The JSON answer of ``/api/v1/path``.

        Raises:
            FilterError: the filter in ``params`` is wrong.
            UsageError: something else in the question is.
            EnvironmentProblem: nobody answers, or not now.
        """
        with self._open(path, params, self.timeout_s) as answer:
            try:
                found = json.load(answer)
            except (ValueError, OSError, http.client.HTTPException) as error:
                raise EnvironmentProblem(f"{self.url} does not answer as Flowgauge's console does: {error}") from error
        if not isinstance(found, dict):
            raise EnvironmentProblem(f"{self.url} does not answer as Flowgauge's console does")
        return found

    def events(self, path: str, params: Params) -> Iterator[dict[str, Any]]:
        """The data of each server-sent event, empty for a sign of life. Raises as ``get``, and StreamLost when it ends."""
        with self._open(path, params, SILENCE_S) as answer:
            try:
                for line in answer:
                    if line.startswith(b"data: "):
                        yield json.loads(line[6:])
                    elif line.startswith(b":"):
                        yield {}
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise StreamLost(f"the live stream broke: {error or type(error).__name__}") from error
        raise StreamLost("the live stream ended")

    @contextmanager
    def stream(self, path: str, params: Params) -> Iterator[http.client.HTTPResponse]:
        """The answer of ``/api/v1/path`` as it comes, for whoever reads it piece by piece. Raises as ``get``."""
        with self._open(path, params, self.timeout_s) as answer:
            yield answer

    @contextmanager
    def _open(self, path: str, params: Params, timeout_s: float) -> Iterator[http.client.HTTPResponse]:
        query = urlencode({name: value for name, value in params.items() if value not in (None, "")})
        headers = {"Accept": "application/json, text/event-stream"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(f"{self.url}/api/v1/{path}?{query}", headers=headers)  # noqa: S310 - checked by connect
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy cannot reach our loopback
        try:
            answer = opener.open(request, timeout=timeout_s)
        except urllib.error.HTTPError as error:
            raise _refusal(error, str(params.get("filter") or ""), self.part) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise EnvironmentProblem(f"nothing answers at {self.url}: {getattr(reason, 'strerror', None) or reason}") from error
        with answer:
            yield answer


def connect(url: str, token_file: Path | None) -> Api:
    """The API at ``url``, or where it is empty that of the running instance."""
    token = _token(token_file)
    if url:
        return Api(base_url("--url", url, "a console; write http://host:8055"), token)
    from flowgauge.runtime.instance import find

    instance = find()
    if instance is None or not instance.console_url:
        raise EnvironmentProblem(
            "nothing is running here: start `flowgauge demo` or `flowgauge run -f FILE`, or give --url of a console"
        )
    if not token and (kept := instance.extra.get("console_token_file")):
        token = _token(Path(kept))
    return Api(instance.console_url.rstrip("/"), token)


def base_url(option: str, url: str, expected: str) -> str:
    """The URL that an option gives, with scheme and without trailing slash; UsageError says what was ``expected``."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0  # reading the port checks it
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"{option} {url!r} is no address of {expected}")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _token(file: Path | None) -> str:
    if file is None:
        return os.environ.get(TOKEN_VARIABLE, "")
    from flowgauge.cli.secret_input import in_file

    return in_file("--token-file", file)


def _refusal(error: urllib.error.HTTPError, filter_text: str, part: str) -> FlowgaugeError:
    """What an answer other than 200 means, from the API's own words where it has some."""
    try:
        problem = json.loads(error.read(65536))["error"]
        message = str(problem["message"])
    except (ValueError, KeyError, TypeError, OSError):
        return EnvironmentProblem(
            f"the server answered {error.code} {error.reason}: is this the address of a Flowgauge {part}?"
        )
    if "at" in problem:
        return FilterError(
            message, text=filter_text, at=int(problem["at"]), length=int(problem.get("length", 1)),
            suggestion=str(problem.get("suggestion", "")),
        )  # fmt: skip
    if error.code == 401:
        way = f", or set {TOKEN_VARIABLE}" if part == "console" else ""
        return UsageError(f"this {part} asks for its token: give --token-file{way}")
    return UsageError(message) if 400 <= error.code < 500 else EnvironmentProblem(message)
