# SPDX-License-Identifier: Apache-2.0
"""Which named datasets there are beside the live flows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from flowgauge.console.services import Use

router = APIRouter(prefix="/api/v1", tags=["datasets"])


@router.get("/datasets")
async def datasets(services: Use) -> dict[str, Any]:
    """Named datasets with their size and the time of their flows; a question names one by its parameter `dataset`."""
    return {"datasets": [asdict(one) for one in await services.ask(services.store.datasets)]}
