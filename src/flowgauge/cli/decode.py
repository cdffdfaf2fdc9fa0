# SPDX-License-Identifier: Apache-2.0
"""``flowgauge decode``: flow records out of captures and files, as programs want them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """How records are written."""

    JSONL = "jsonl"
    CSV = "csv"
    ARROW = "arrow"


class Records(StrEnum):
    """Which records are written."""

    FLOW = "flow"
    ALL = "all"


class Tunnels(StrEnum):
    """Which packet of a tunnel is reported."""

    OUTER = "outer"
    INNER = "inner"


def decode(  # noqa: PLR0917 - typer passes options by name
    files: Annotated[list[Path], typer.Argument(help="Captures, IPFIX files, single payloads, or folders of them.")],
    how: Annotated[Format, typer.Option("--format", help="jsonl, csv or arrow (an Arrow IPC stream).")] = Format.JSONL,
    records: Annotated[Records, typer.Option(help="flow, or all: options, events and counters too.")] = Records.FLOW,
    stats: Annotated[Path | None, typer.Option(help="Write there, as JSON, what was found and what was not.")] = None,
    elements: Annotated[
        Path | None, typer.Option(help="Elements of your devices, CSV or YAML: enterprise,number,name,type,column.")
    ] = None,
    tunnels: Annotated[Tunnels, typer.Option(help="Of sampled packets in tunnels (sFlow): outer or inner packet.")] = (
        Tunnels.OUTER
    ),
    pen: Annotated[int, typer.Option(min=1, max=0xFFFFFFFF, help="Private enterprise number of our own elements.")] = 32473,
) -> int:
    """Decodes flow exports out of files: NetFlow v1, v5, v7, v9, IPFIX, sFlow v5; one object a record on standard output.

    Files are captures (pcap, pcapng) of UDP, or of TCP for IPFIX; IPFIX files; single UDP payloads; each of them compressed
    with gzip, bzip2, xz, zstd or lz4, or not. What a file is, and which datagrams are exports, is told by the content. Files
    are read in the order given, through one decoder: templates of one file serve the next. Records come in order of arrival;
    those that waited for their template come once it is known. Times are in ns as sent, counters as observed; a sampling rate
    that only the exporter's options tell is given to its records, and sampling_source says so.

    What is malformed is named on standard error and costs nothing else. Exit status 2: a file cannot be read at all, or all
    exports were malformed and nothing could be decoded.

    Examples:
      flowgauge decode router.pcap | jq -r '[.src_addr, .dst_addr, .bytes] | @tsv'

      flowgauge decode --records all --stats stats.json templates.dat data.dat
        options, events and counters too; how many gaps and errors there were

      flowgauge decode --format arrow captures/ > flows.arrows
        all files of a folder, for pyarrow, pandas, polars and DuckDB
    """
    from flowgauge.cli.decode_run import Decoding
    from flowgauge.cli.decode_write import writer
    from flowgauge.collector.added_elements import elements_in
    from flowgauge.collector.capture_files import listed
    from flowgauge.wire.decoder import Decoder
    from flowgauge.wire.elements import Elements

    added = elements_in(elements, "--elements") if elements else ()
    decoder = Decoder(detailed=True, elements=Elements(pen, added), inner=tunnels is Tunnels.INNER)
    decoding = Decoding(writer(how.value), decoder, everything=records is Records.ALL)
    for path in listed(files):
        decoding.read(path)
    status = decoding.finish()
    if stats is not None:
        _write_stats(stats, decoding.stats())
    return status


def _write_stats(path: Path, found: dict[str, object]) -> None:
    import json

    from flowgauge.errors import UsageError

    try:
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--stats {path}: {error.strerror}") from error
