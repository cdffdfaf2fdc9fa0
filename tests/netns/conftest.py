# SPDX-License-Identifier: Apache-2.0
"""What several tests on network namespaces share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent_kit import Collector, collector


@pytest.fixture
def to() -> Iterator[Collector]:
    """A collector that listens, for one test."""
    with collector() as listening:
        yield listening
