# SPDX-License-Identifier: Apache-2.0
"""The filter language: text → what is written (``parse``) → what is meant (``bound``), and what may come next (``complete``).

``namespace = flow-demo and port = postgresql``; the reference page lists fields and operators. Pure: no numpy, no input, no
output. The bound tree is compiled by :mod:`flowgauge.flow.mask` for live flows and beside each store.
"""

from __future__ import annotations

from flowgauge.schema.filters.bind import bind
from flowgauge.schema.filters.complete import Completion, ValueShare, complete
from flowgauge.schema.filters.lexer import MAX_LENGTH
from flowgauge.schema.filters.parser import parse
from flowgauge.schema.filters.syntax import canonical, quoted
from flowgauge.schema.filters.tree import Bound, Const

__all__ = ["MAX_LENGTH", "Completion", "ValueShare", "bound", "canonical", "complete", "parse", "quoted"]


def bound(text: str) -> Bound:
    """What the filter ``text`` means; every flow when it is empty. FilterError points at what is wrong."""
    node = parse(text)
    return Const(value=True) if node is None else bind(node, text)
