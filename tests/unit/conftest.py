# SPDX-License-Identifier: Apache-2.0
"""What several tests of single modules share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from store_kit import StoreProcess


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    """An empty store in a process of its own, for all tests of a file."""
    from store_kit import running_store  # the store's modules take a second, which most tests do without

    with running_store(tmp_path_factory.mktemp("store")) as running:
        yield running
