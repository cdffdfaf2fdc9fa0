# SPDX-License-Identifier: Apache-2.0
"""Which rows of a batch concern an address during somebody's tenure, by the addresses and times of the flows themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.demo.truth import Tenure
from flowgauge.flow.addresses import packed
from flowgauge.flow.batch import FlowBatch

Mask = npt.NDArray[np.bool_]
_NS_PER_MS = 1_000_000


def is_address(column: npt.NDArray[Any], address: str) -> Mask:
    """Rows whose address, uint8 (n, 16), is ``address``."""
    found: Mask = (column == np.frombuffer(packed(address), np.uint8)).all(axis=1)
    return found


def during(batch: FlowBatch, tenure: Tenure) -> Mask:
    """Rows whose last packet fell into the tenure; flows have the millisecond, so both ends are widened to one."""
    end_ms = batch.array("time_end_ms")
    after: Mask = end_ms >= tenure.from_ns // _NS_PER_MS
    return after & (end_ms <= tenure.to_ns // _NS_PER_MS + 1) if tenure.to_ns else after


def surely_during(batch: FlowBatch, tenure: Tenure) -> Mask:
    """Rows whose last packet fell into the tenure, whenever within its millisecond it came."""
    end_ms = batch.array("time_end_ms")
    after: Mask = end_ms * _NS_PER_MS >= tenure.from_ns
    return after & ((end_ms + 1) * _NS_PER_MS <= tenure.to_ns) if tenure.to_ns else after


def at_hand_over(batch: FlowBatch, tenure: Tenure) -> Mask:
    """Rows whose last packet came in the millisecond in which the tenure began or ended."""
    return np.isin(batch.array("time_end_ms"), [tenure.from_ns // _NS_PER_MS, tenure.to_ns // _NS_PER_MS])


def has_text(batch: FlowBatch, name: str, text: str) -> Mask:
    """Rows whose column of names ``name`` is ``text``."""
    column = batch.names(name)
    found: Mask = np.isin(column.codes, [code for code, value in enumerate(column.values) if value == text])
    return found
