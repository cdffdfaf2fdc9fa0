# SPDX-License-Identifier: Apache-2.0
"""What ``flowgauge flows`` was asked, checked, and its answer from the store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

from flowgauge.cli import flow_output, trouble_text, units
from flowgauge.cli.api import Api, Params
from flowgauge.cli.flow_output import Format
from flowgauge.cli.live_flows import LiveOptions
from flowgauge.cli.table import Screen
from flowgauge.errors import UsageError
from flowgauge.schema.columns import BY_NAME
from flowgauge.schema.duration import milliseconds
from flowgauge.schema.filters.fields import nearest
from flowgauge.schema.flow_query import Measure

_E = TypeVar("_E", bound=StrEnum)

DEFAULT_SINCE = "5m"
DEFAULT_FLOWS, DEFAULT_GROUPS = 50, 20
MAX_GROUPS = 1000
LIVE_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The options, checked. ``start_ms`` and ``end_ms`` are None for an open range, which ``since`` gives the length of."""

    filter: str
    since: str
    start_ms: int | None
    end_ms: int | None
    by: tuple[str, ...]
    top: Measure
    limit: int
    how: Format
    columns: tuple[str, ...]
    duplicates: bool
    fail_if_any: bool
    dataset: str

    def params(self) -> dict[str, str | int | None]:
        """What every question to the API has."""
        return {
            "filter": self.filter, "since": self.since, "from": self.start_ms, "to": self.end_ms,
            "duplicates": "true" if self.duplicates else None, "dataset": self.dataset,
        }  # fmt: skip

    def live_options(self) -> LiveOptions:
        """The same for the live view."""
        return LiveOptions(
            filter=self.filter, columns=self.columns, by=self.by, top=self.top, limit=self.limit,
            window_s=milliseconds(self.since) / 1000 if self.since else LIVE_WINDOW_S,
            duplicates=self.duplicates, until_any=self.fail_if_any, how=self.how,
        )  # fmt: skip


def asked(*, filter_: str, since: str, from_: str, to: str, by: str, top: str, limit: int | None, output: str, columns: str,
          duplicates: bool, live: bool, fail_if_any: bool, dataset: str = "") -> Request:  # fmt: skip
    """The request; UsageError says which options do not go together or mean nothing."""
    how = _one_of("--output", output, Format)
    request = Request(
        filter=filter_,
        since=_since(since, from_, unlimited=live or bool(dataset)),
        start_ms=units.moment_ms("--from", from_) if from_ else None,
        end_ms=units.moment_ms("--to", to) if to else None,
        by=_names("--by", by),
        top=_one_of("--top", top, Measure),
        limit=limit or (DEFAULT_GROUPS if by else DEFAULT_FLOWS),
        how=how,
        columns=_names("--columns", columns),
        duplicates=duplicates,
        fail_if_any=fail_if_any,
        dataset=dataset,
    )
    _check(request, live=live)
    return request


def _since(since: str, from_: str, *, unlimited: bool) -> str:
    if since:
        milliseconds(since, "--since")
    return since if since or from_ or unlimited else DEFAULT_SINCE


def _check(request: Request, *, live: bool) -> None:
    if request.by and request.columns:
        raise UsageError("--columns chooses what is shown of flows; with --by the columns are those summed by")
    if request.by and request.limit > MAX_GROUPS:
        raise UsageError(f"--limit: at most {MAX_GROUPS} groups")
    if request.since and request.start_ms is not None:
        raise UsageError("--since is the length of the range up to its end; give it or --from, not both")
    if not live:
        return
    if request.start_ms is not None or request.end_ms is not None:
        raise UsageError("--live shows what happens now; leave out --from and --to")
    if request.dataset:
        raise UsageError("--live shows what happens now; a dataset holds what was")
    if request.how in (Format.JSON, Format.CSV):
        raise UsageError(f"--live has no end, so it cannot be one {request.how} document; use -o jsonl")
    if request.by and request.top not in (Measure.BYTES, Measure.PACKETS, Measure.FLOWS):
        raise UsageError("--live orders by bytes, packets or flows")


def whole_dataset(api: Api, request: Request) -> Request:
    """The request over all of its dataset when no range was given; a length of time ends at its newest flow."""
    found = {one["name"]: one for one in api.get("datasets", {})["datasets"]}
    if request.dataset not in found:
        raise UsageError(f"there is no dataset {request.dataset!r}; `flowgauge datasets` lists them")
    end_ms = request.end_ms if request.end_ms is not None else found[request.dataset]["newest_ms"] + 1000
    start_ms = found[request.dataset]["oldest_ms"] if request.start_ms is None and not request.since else request.start_ms
    return replace(request, start_ms=start_ms, end_ms=end_ms)


def _one_of(option: str, text: str, choices: type[_E]) -> _E:
    try:
        return choices(text.strip().lower())
    except ValueError:
        raise UsageError(f"{option} {text!r}: there are {', '.join(choices)}") from None


def _names(option: str, text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in BY_NAME:
            near = nearest(name)
            hint = f"; did you mean {near if near in BY_NAME else f'src_{near}'}?" if near else ""
            raise UsageError(f"{option}: there is no column {name!r}{hint}")
    return names


def answer(api: Api, request: Request) -> int:
    """Asks, prints, and gives the exit status: 1 when ``--fail-if-any`` and a flow matched."""
    found = _groups(api, request) if request.by else _flows(api, request)
    screen = Screen.of_output()
    match request.how:
        case Format.TABLE:
            _print_table(found, request, screen)
        case Format.JSON:
            flow_output.print_json(found)
        case _:
            flow_output.print_rows(found["rows"], request.how, request.columns)
    if request.by and request.how is Format.TABLE:
        for line in trouble_text.brief(api, request.params()):
            print(screen.styled(f"▲ {line}", "warning"))
    flow_output.footer(found, request.how, screen)
    return int(request.fail_if_any and bool(found["rows"]))


def _flows(api: Api, request: Request) -> dict[str, Any]:
    params: Params = {**request.params(), "limit": request.limit, "columns": ",".join(request.columns)}
    return api.get("flows", params)


def _groups(api: Api, request: Request) -> dict[str, Any]:
    by, measures = ",".join(request.by), ",".join(_measures(request))
    peers = "true" if request.how is Format.TABLE else None
    asked: Params = {"by": by, "measures": measures, "order": request.top, "top": request.limit, "by_peer": peers}
    return api.get("groups", {**request.params(), **asked})


def _measures(request: Request) -> tuple[Measure, ...]:
    """Bytes, packets and flows, and before them what it is ordered by."""
    return tuple(dict.fromkeys((request.top, Measure.BYTES, Measure.PACKETS, Measure.FLOWS)))


def _print_table(found: dict[str, Any], request: Request, screen: Screen) -> None:
    if request.by:
        columns, cells = flow_output.group_table(found, request.by, _measures(request))
    else:
        columns, cells = flow_output.flow_table(found["rows"], request.columns, screen)
    flow_output.print_table(columns, cells, screen)
