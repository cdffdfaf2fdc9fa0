# SPDX-License-Identifier: Apache-2.0
"""Since when a latency is said to be long: stories in a real store, each with a fault that began at a known time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from flowgauge.flow.batch import FlowBatch
from flowgauge.query.latencies import SERVER_BY_NS, long_since_ms
from flowgauge.query.worst import EdgeTrouble, worst
from flowgauge.schema.flow_query import FlowQuery, Window
from flowgauge.store.answer import RECENT_MS, Latency
from flowgauge.store.store import FlowStore
from store_kit import flows, in_namespace, named, now_ms, running_store

SLICE_S = 5
"""Of five minutes."""
COLUMNS = {"rtt": "rtt_avg_us", "dns": "dns_latency_us", "server_time": "server_time_max_us"}
WELL_US, ILL_US = 2_000, 300_000

Told = list[tuple[float, int]]
"""How many seconds ago a flow ended → the latency in µs that it tells."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowStore]:
    with running_store(tmp_path_factory.mktemp("store")) as process:
        yield process.open()


def _each(every_s: float, from_s: int, to_s: int, us: int) -> Told:
    """Flows that end ``every_s``, from so long ago until so long ago."""
    return [(float(ago), us) for ago in np.arange(to_s + every_s / 2, from_s, every_s)]


def _without(told: Told, from_s: int, to_s: int) -> Told:
    return [(ago, us) for ago, us in told if not to_s <= ago < from_s]


def _with(told: Told, others: dict[float, int]) -> Told:
    return [*told, *others.items()]


def _story(began_s: int, every_s: float = 1.0) -> Told:
    """Usual times, and long ones since so long ago."""
    return _each(every_s, 290, began_s, WELL_US) + _each(every_s, began_s, 0, ILL_US)


BUSY = _with(_story(60), {float(ago): 3 * ILL_US for ago in range(61, 290, 4)})
"""On a busy machine one answer in five is long at any time."""


def _batch(namespace: str, told: Told, column: str, end_ms: int) -> FlowBatch:
    ends = [end_ms - round(1000 * ago) for ago, _ in told]
    batch = flows(namespace, len(told), owners=("django",), **{column: [us for _, us in told]})
    return named(batch, dst_namespace=namespace).with_columns({"time_end_ms": np.asarray(ends, np.int64)})


def _troubles(store: FlowStore, namespace: str, batches: Iterable[FlowBatch], end_ms: int) -> tuple[EdgeTrouble, ...]:
    store.write(FlowBatch.concat(list(batches)), namespace)
    return worst(store, FlowQuery(Window(end_ms - 300_000, end_ms), in_namespace(namespace))).troubles


@pytest.mark.parametrize(
    ("began_s", "told"),
    [
        pytest.param(60, _story(60), id="a fault"),
        pytest.param(60, _with(_story(60), {72.0: ILL_US}), id="one long answer shortly before"),
        pytest.param(60, BUSY, id="long ones all the time"),
        pytest.param(100, _without(_story(100), 80, 30), id="a while without traffic in it"),
        pytest.param(60, _without(_story(60), 120, 60), id="a while without traffic before"),
        pytest.param(60, [*_without(_story(60), 170, 85), *_each(1.0, 170, 85, ILL_US)], id="came again"),
        pytest.param(50, _with(_story(60, 20.0), {75.0: ILL_US}), id="few flows and one long answer before"),
        pytest.param(60, [*_story(60), *_each(2.5, 60, 0, WELL_US)], id="some are quick as before"),
        pytest.param(60, _with(_without(_story(60), 45, 35), {40.0: WELL_US}), id="one quick answer alone in its slice"),
        pytest.param(60, [*_without(_story(60), 120, 60), *_each(1.0, 120, 60, 5 * WELL_US)], id="longer before, and not long"),
    ],
)  # fmt: skip
def test_it_is_long_since_the_fault_began(store: FlowStore, began_s: int, told: Told, request: pytest.FixtureRequest) -> None:
    _is_long_since(store, "server_time", began_s, told, re.sub(r"\W+", "-", request.node.callspec.id))


@pytest.mark.parametrize("kind", COLUMNS)
def test_of_every_latency(store: FlowStore, kind: str) -> None:
    _is_long_since(store, kind, 60, BUSY, f"busy-{kind}")


def _is_long_since(store: FlowStore, kind: str, began_s: int, told: Told, namespace: str) -> None:
    end_ms = now_ms()
    (found,) = _troubles(store, namespace, [_batch(namespace, told, COLUMNS[kind], end_ms)], end_ms)
    assert (found.kind, found.over) == (kind, False)
    assert (end_ms - found.since_ms) / 1000 == pytest.approx(began_s, abs=SLICE_S)


def test_a_server_is_slow_since_its_own_time_is_and_not_since_the_way_was(store: FlowStore) -> None:
    """Seen from the client's node its time holds the way: while that was slow the server was not."""
    end_ms = now_ms()
    way = _each(1.0, 290, 120, 2_000) + _each(1.0, 120, 60, 150_000) + _each(1.0, 60, 0, 2_000)
    answers = _each(1.0, 290, 120, 6_000) + _each(1.0, 120, 60, 304_000) + _each(1.0, 60, 0, 304_000)
    batches = [_batch("way", told, COLUMNS[kind], end_ms) for kind, told in (("rtt", way), ("server_time", answers))]
    (found,) = _troubles(store, "way", batches, end_ms)
    assert found.kind == "server_time"
    assert (end_ms - found.since_ms) / 1000 == pytest.approx(60, abs=SLICE_S)


HOUR = Window(1_795_646_930_000 - 3_600_000, 1_795_646_930_000)


@pytest.mark.parametrize(
    ("slices", "since_ms"),
    [
        pytest.param((), HOUR.end_ms - RECENT_MS, id="nothing by slices"),
        pytest.param(((HOUR.end_ms - 50_000, 2e6),), HOUR.end_ms - RECENT_MS, id="less than half of the last slice"),
        pytest.param(((HOUR.start_ms - 20_000, 4e8), (HOUR.end_ms - 40_000, 4e8)), HOUR.start_ms, id="since before the range"),
        pytest.param(
            ((HOUR.end_ms - 160_000, 4e8), (HOUR.end_ms - 100_000, 2e6), (HOUR.end_ms - 40_000, 4e8)),
            HOUR.end_ms - 40_000,
            id="a slice that would not have been said ends it",
        ),
    ],
)
def test_of_long_slices(slices: tuple[tuple[int, float], ...], since_ms: int) -> None:
    assert long_since_ms(Latency(4e8, 2e6, slices, 60_000), SERVER_BY_NS, HOUR) == since_ms
