# SPDX-License-Identifier: Apache-2.0
"""What the console asks the collector over HTTP: who sends, and how well it arrives. Live flows: ``routes.live``."""

from __future__ import annotations

from typing import Any

import aiohttp

from flowgauge.console.services import Services, why
from flowgauge.errors import EnvironmentProblem

_TIMEOUT = aiohttp.ClientTimeout(total=2)


class Silent(EnvironmentProblem):
    """There is a collector, and no answer comes from it."""


async def exporters(services: Services) -> list[dict[str, Any]]:
    """The collector's ``/api/v1/exporters``, as it answers; EnvironmentProblem when it cannot, Silent when it does not."""
    base = services.settings.collector_url
    if not base:
        raise EnvironmentProblem("this console was started without a collector")
    try:
        async with services.client().get(f"{base}/api/v1/exporters", timeout=_TIMEOUT) as got:
            if got.status != 200:
                raise EnvironmentProblem(f"the collector does not tell who sends: its answer was {got.status} {got.reason}")
            found: list[dict[str, Any]] = await got.json()
            return found
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise Silent(f"the collector does not answer: {why(error)}") from error
