# SPDX-License-Identifier: Apache-2.0
"""Writes docs/reference/columns.md: the filter language with all its names, and every column, from the registry.

``--check`` fails when the file differs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from _target import REFERENCE, finish

from flowgauge.schema.column import Column, Kind
from flowgauge.schema.columns import COLUMNS, DEFAULT_GROUPS
from flowgauge.schema.filters.fields import FIELDS, SYNONYMS, Field
from flowgauge.schema.well_known import PORT_NUMBERS, PROTOCOLS

_HEAD = """<!-- Written by tools/generate/filter_fields.py from the code: do not edit. -->
# Filters and columns

The same filter works in the page's filter bar, in `flowgauge flows`, in the API (`filter=`) and for live flows.

```text
namespace = flow-demo and port = postgresql
src_owner = django-psql-example and not (dst_port in (53, 5432) or dst_addr = 10.0.0.0/8)
bytes > 10MB and rtt_avg_ns >= 5ms
src_name ~ "^django-.*-[a-z0-9]{5}$"
```

## Operators

| operator | for | meaning |
| --- | --- | --- |
| `=` `!=` | all | equals; for addresses also a CIDR block, `private` or `public` |
| `in (a, b)` `not in (a, b)` | all | equals one of these, none of these |
| `<` `<=` `>` `>=` | numbers, times | compares |
| `~` `!~` | names, lists | matches a pattern somewhere, matches it nowhere |
| `exists` | all | has a value |
| `not` `and` `or` `( )` | comparisons | `not` binds tighter than `and`, `and` tighter than `or` |

- **Either end.** A name without `src_` or `dst_` means either end: `port = 53` is true when one of the two ports is 53,
  `port != 53` when neither is. `src.port` is the same as `src_port`.
- **Absent values** equal nothing, lie in no range and match no pattern: `x = 1` is false for a flow without `x`, and
  `not x = 1` (as `x != 1`) is true.
- **Names** and labels compare without case. Values with spaces or special characters are quoted: `"a b"`, `'a b'`; within
  quotes `\\"` and `\\\\` stand for the character. The words `and or not in exists` are quoted as values.
- **Numbers** may have a unit: bytes `kB MB GB TB` (1000) and `KiB MiB GiB TiB` (1024); durations `ns us ms s m h d`; counts
  `k M G`. `_` may group digits. Columns are compared in the unit they are kept in, exactly.
- **Times**: `time_end_ns > "2026-01-31T23:59:00Z"`, or nanoseconds since 1970.
- **Addresses**: `10.0.0.1`, `10.0.0.0/8`, `2001:db8::/32`; an IPv6 block holds no IPv4 address. `private` are RFC 1918,
  `fc00::/7`, link-local, loopback and `100.64.0.0/10`; `public` are all others but groups, broadcast and reserved ones.
- **Patterns** are the regular expressions that all engines read alike: characters, `.`, `[a-z]`, `\\d \\w \\s \\b`, groups,
  `|`, `* + ? {n,m}`, `^ $`. References and look-around are refused. Matching takes time in proportion to
  the text, whatever the pattern.
"""

_COLUMNS_HEAD = """## Columns

*Stored*: `core` always, a group's name when it is switched on (`storage.index.columns: [router]`, or by a feature of agents;
always on: GROUPS), `never`: known only before a flow is stored. *NetObserv* is the same field in NetObserv's flow format.
"""


def text() -> str:
    """The whole page."""
    head = _COLUMNS_HEAD.replace("GROUPS", ", ".join(f"`{group}`" for group in DEFAULT_GROUPS))
    parts = [_HEAD, "## Names of fields\n", "Every column below, and these:\n", *_field_table(), _ports_and_protocols(), head]
    return "\n".join([*parts, *_column_table(), ""])


def _field_table() -> Iterator[str]:
    yield "| field | means |\n| --- | --- |"
    others: dict[str, list[str]] = {}
    for name, target in SYNONYMS.items():
        others.setdefault(target, []).append(name)
    plain = {column.name for column in COLUMNS}
    for name, field in sorted(FIELDS.items()):
        names = [*([] if name in plain else [name]), *others.get(name, [])]
        if names:
            yield f"| {_coded(names)} | {_meaning(field)} |"
    yield ""


def _coded(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _meaning(field: Field) -> str:
    only = f" of a {field.only_kind}" if field.only_kind else ""
    return f"{' or '.join(f'`{column.name}`' for column in field.columns)}{only}"


def _ports_and_protocols() -> str:
    ports = ", ".join(f"`{name}` {port}" for name, port in sorted(PORT_NUMBERS.items(), key=lambda pair: (pair[1], pair[0])))
    protocols = ", ".join(f"`{name.lower()}` {number}" for number, name in PROTOCOLS.items())
    return f"## Names of ports and protocols\n\nPorts: {ports}.\n\nProtocols: {protocols}.\n"


def _column_table() -> Iterator[str]:
    yield "| column | unit | meaning | stored | IPFIX | NetObserv |\n| --- | --- | --- | --- | --- | --- |"
    for column in COLUMNS:
        elements = [str(number) for number in (column.element, column.element_v6) if number]
        if column.enterprise:
            elements.append(f"ours {column.enterprise}")
        cells = (f"`{column.name}`", column.unit, _help(column), column.stored, ", ".join(elements), column.netobserv)
        yield f"| {' | '.join(cells)} |"


def _help(column: Column) -> str:
    labels = [label for label in column.labels if label]
    values = f" {_coded(labels)}." if column.kind is Kind.ENUM else ""
    return f"{column.help}{values}".replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(finish(REFERENCE / "columns.md", text()))
