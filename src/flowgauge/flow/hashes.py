# SPDX-License-Identifier: Apache-2.0
"""Hashes of flows, uniform over 64 bits: by what they are told apart, sampled, and found again."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowgauge.flow import addresses
from flowgauge.flow.batch import FlowBatch

Hashes = npt.NDArray[np.uint64]

_ODD = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)


def flow_hashes(batch: FlowBatch) -> Hashes:
    """A hash of each flow that does not depend on the direction, on every node and in every process the same."""
    src, dst = end_hashes(batch, "src_addr", "src_port"), end_hashes(batch, "dst_addr", "dst_port")
    return mixed((src + dst) ^ (src ^ dst) * _ODD[1] ^ batch.array("proto").astype(np.uint64) * _ODD[0])


def one_way(src: Hashes, dst: Hashes, proto: npt.NDArray[np.uint8]) -> Hashes:
    """A hash of flows from ends (``end_hashes``) to others; the way back has another."""
    return mixed(src * _ODD[0] + (dst ^ _ODD[1]) + proto.astype(np.uint64) * _ODD[1])


def end_hashes(batch: FlowBatch, addr: str, port: str) -> Hashes:
    """A hash of each row's address and port, which are in these columns."""
    return mixed(address_hashes(batch.array(addr)) ^ batch.array(port).astype(np.uint64))


def address_hashes(column: addresses.AddressColumn) -> Hashes:
    """Two 64-bit words as one; not mixed yet."""
    high, low = addresses.words(column).T
    found: Hashes = (high * _ODD[0]) ^ (low * _ODD[1])
    return found


def mixed(value: Hashes) -> Hashes:
    """The finaliser of SplitMix64: each bit of the result depends on every bit of the value."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
