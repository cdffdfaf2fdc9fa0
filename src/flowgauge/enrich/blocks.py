# SPDX-License-Identifier: Apache-2.0
"""What an address block says: the subnet labels and fixed names of the document, and what is outside by its nature. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowgauge.config.model import Enrichment
from flowgauge.flow.addresses import AddressColumn
from flowgauge.flow.prefixes import PrefixTable, prefix

_GLOBAL, _NOT_GLOBAL = 1, 0
_BY_NATURE: tuple[tuple[str, int], ...] = (
    ("0.0.0.0/0", _GLOBAL),
    ("2000::/3", _GLOBAL),
    ("64:ff9b::/96", _GLOBAL),  # an IPv4 address outside, behind NAT64 (RFC 6052 §2.1)
    *(
        (block, _NOT_GLOBAL)
        for block in (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
            "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
            "2001::/23", "2001:db8::/32", "3fff::/20",
        )
    ),
)  # fmt: skip
"""Globally routable unicast, and what within it is not (IANA special-purpose address registries, RFC 6890)."""


class Blocks:
    """The blocks of one document.

    Attributes:
        labels: texts of subnet labels, by number: 0 is none, 1 the internet's; an empty text is as good as none.
        names: (name, kind) of fixed names.
    """

    def __init__(self, enrichment: Enrichment) -> None:
        self.labels = ["", enrichment.external_label, *(one.name for one in enrichment.subnet_labels)]
        self.names = [(one.name, one.kind) for one in enrichment.names]
        own = ((prefix(cidr), number) for number, one in enumerate(enrichment.subnet_labels, start=2) for cidr in one.cidrs)
        fixed = ((prefix(text), number) for number, one in enumerate(enrichment.names) for text in one.addresses)
        self._own, self._fixed = PrefixTable(own), PrefixTable(fixed)
        self._by_nature = PrefixTable((prefix(block), value) for block, value in _BY_NATURE)

    def label(self, distinct: AddressColumn, known: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """The label of each address: the longest configured one; the internet's for one that is global and not ``known``."""
        own = self._own.lookup(distinct)
        outside = (own < 0) & ~known
        by_nature = np.zeros(len(distinct), np.int64)
        by_nature[outside] = np.maximum(self._by_nature.lookup(distinct[outside]), 0)
        return np.where(own < 0, by_nature, own)

    def name(self, distinct: AddressColumn) -> npt.NDArray[np.int64]:
        """The fixed name of each address, -1 without one."""
        return self._fixed.lookup(distinct)
