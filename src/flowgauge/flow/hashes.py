# SPDX-License-Identifier: Apache-2.0
"""A hash of each flow that both directions of a connection share, on every node and in every process the same."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowgauge.flow import addresses
from flowgauge.flow.batch import FlowBatch

Hashes = npt.NDArray[np.uint64]

_ODD = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)


def flow_hashes(batch: FlowBatch) -> Hashes:
    """A hash of each flow, uniform over 64 bits, that does not depend on the direction."""
    src, dst = (_end(batch, "src"), _end(batch, "dst"))
    return _mixed((src + dst) ^ (src ^ dst) * _ODD[1] ^ batch.array("proto").astype(np.uint64) * _ODD[0])


def _end(batch: FlowBatch, end: str) -> Hashes:
    high, low = addresses.words(batch.array(f"{end}_addr")).T
    return _mixed((high * _ODD[0]) ^ (low * _ODD[1]) ^ batch.array(f"{end}_port").astype(np.uint64))


def _mixed(value: Hashes) -> Hashes:
    """The finaliser of SplitMix64: each bit of the result depends on every bit of the value."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
