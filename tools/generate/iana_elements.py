# SPDX-License-Identifier: Apache-2.0
"""Writes src/flowgauge/schema/iana.py from ``iana.csv`` beside it. ``--check`` fails when it differs.

``iana.csv`` is typed in from IANA's registry (https://www.iana.org/assignments/ipfix) and the RFCs that it names: number, name
and abstract data type (RFC 7012 §3.1) of each information element. What is assigned anew is added there.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from _target import ROOT, finish

INPUT, TARGET = Path(__file__).with_name("iana.csv"), ROOT / "src/flowgauge/schema/iana.py"
TYPES = frozenset({
    "octetArray", "unsigned8", "unsigned16", "unsigned32", "unsigned64", "unsigned256", "signed8", "signed16", "signed32",
    "signed64", "float32", "float64", "boolean", "macAddress", "string", "dateTimeSeconds", "dateTimeMilliseconds",
    "dateTimeMicroseconds", "dateTimeNanoseconds", "ipv4Address", "ipv6Address", "basicList", "subTemplateList",
    "subTemplateMultiList",
})  # fmt: skip
"""RFC 7012 §3.1, RFC 6313 §4.2, and unsigned256 of 2022."""
FIRST_PRIVATE = 32768
"""Elements of enterprises begin here (RFC 7011 §3.2)."""

_HEAD = '''# SPDX-License-Identifier: Apache-2.0
# Written by tools/generate/iana_elements.py from iana.csv beside it: do not edit.
"""IANA's registry of IPFIX information elements: number, name and abstract data type (RFC 7012 §3.1). A table.

A number that is not here decodes as bytes under ``ie<number>``, and sets of 256 bits (unsigned256) are bytes, too.
"""

from __future__ import annotations

ELEMENTS: dict[int, tuple[str, str]] = {
'''
_TAIL = '''}
"""Element number → (name, data type)."""

NUMBERS: dict[str, int] = {name: number for number, (name, _) in ELEMENTS.items()}
"""Name → element number."""
'''


def text() -> str:
    """The whole module; ValueError names a line of the input that cannot be."""
    lines, last, names = [_HEAD], 0, set[str]()
    with INPUT.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            number, name, data_type = int(row["number"]), row["name"], row["type"]
            if not last < number < FIRST_PRIVATE or not name.isidentifier() or name in names or data_type not in TYPES:
                raise ValueError(f"{INPUT.name}: {row}: numbers ascend, names are there once, types are those of RFC 7012")
            last = number
            names.add(name)
            lines.append(f'    {number}: ("{name}", "{data_type}"),\n')
    return "".join([*lines, _TAIL])


if __name__ == "__main__":
    sys.exit(finish(TARGET, text()))
