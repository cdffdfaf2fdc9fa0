# SPDX-License-Identifier: Apache-2.0
"""What sFlow's numbers say: datagrams by agent, samples by data source, and the rate at which was really sampled.

Traps 72, 74, 87 of the list of those met in the field (see golden/wire).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest

from flowgauge.wire.decoder import Decoder
from flowgauge.wire.numbering import SETTLE_NS, Items, Numbering
from flowgauge.wire.sflow import places as places_module
from flowgauge.wire.sflow.places import MAX_PLACES, NumberPlaces
from sflow_kit import counter_sample, datagram, ethernet, flow_sample, interface_counters, ipv4, raw, tcp
from wire_kit import decode

HTTPS = raw(ethernet(0x0800, ipv4(6, tcp())))


@pytest.fixture(params=["one batch", "one by one"])
def batching(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def judged(payloads: Iterable[bytes], batching: str, decoder: Decoder | None = None) -> dict[str, int]:
    """All counts of sequence numbers, the end included."""
    decoder, counts = decoder or Decoder(), Counter[str]()
    batches = [list(payloads)] if batching == "one batch" else [[payload] for payload in payloads]
    for batch in batches:
        counts.update(decode(*batch, decoder=decoder).counts)
    counts.update(decoder.finish())
    return {name: count for name, count in counts.items() if name.startswith("sequence_")}


def empty(*numbers: int, uptime_ms: int = 10_000, **more: object) -> list[bytes]:
    """Datagrams without samples."""
    return [datagram(sequence=number % 2**32, uptime_ms=uptime_ms, **more) for number in numbers]  # type: ignore[arg-type]


def test_numbers_in_order_say_nothing(batching: str) -> None:
    assert judged(empty(*range(5, 300)), batching) == {}


def test_numbers_wrap(batching: str) -> None:
    assert judged(empty(*range(2**32 - 3, 2**32 + 3)), batching) == {}


def test_a_gap_is_a_loss(batching: str) -> None:
    assert judged(empty(1, 2, 5, 6, 9), batching) == {"sequence_gap_datagrams": 4}


def test_a_gap_wider_than_the_window_is_a_loss(batching: str) -> None:
    assert judged(empty(1, 2, 500, 501), batching) == {"sequence_gap_datagrams": 497}


def test_what_came_late_is_not_lost(batching: str) -> None:
    assert judged(empty(1, 4, 2, 3, 5), batching) == {"sequence_late_datagrams": 2}


def test_duplicates_are_told(batching: str) -> None:
    assert judged(empty(1, 2, 2, 3, 1), batching) == {"sequence_duplicate_datagrams": 2}


def test_a_restart_by_its_clock_loses_nothing(batching: str) -> None:
    payloads = [*empty(40, 41, 42, uptime_ms=900_000), *empty(1, 2, 3, uptime_ms=20)]
    assert judged(payloads, batching) == {"sequence_resets": 1}


def test_a_restart_without_a_clock_is_told_by_two_in_a_row(batching: str) -> None:
    assert judged(empty(5000, 5001, 1, 2, 3, uptime_ms=0), batching) == {"sequence_resets": 1}


def test_the_uptime_may_wrap(batching: str) -> None:
    payloads = [*empty(1, uptime_ms=2**32 - 500), *empty(2, uptime_ms=300)]
    assert judged(payloads, batching) == {}


def test_one_stray_is_no_restart(batching: str) -> None:
    assert judged(empty(5000, 5001, 7, 5002, 5003), batching) == {"sequence_late_datagrams": 1}


def test_sub_agents_and_senders_count_apart(batching: str) -> None:
    payloads = [
        *empty(1, sub_agent=1), *empty(900, sub_agent=2), *empty(2, sub_agent=1), *empty(901, sub_agent=2),
        *empty(55, sub_agent=1, agent="198.51.100.8"),
    ]  # fmt: skip
    assert judged(payloads, batching) == {}


def test_nobody_disturbs_the_numbers_of_another(batching: str) -> None:
    """Somebody else sends in the agent's name: his numbers are his own."""
    decoder = Decoder()
    decode(*empty(1, 2), decoder=decoder, source="192.0.2.1")
    decode(*empty(1_000_000, 5), decoder=decoder, source="192.0.2.66")
    decoded = decode(*empty(3), decoder=decoder, source="192.0.2.1")
    assert not decoded.counts


def sampled(datagrams: Iterable[tuple[int, Iterable[tuple[int, int]]]]) -> list[bytes]:
    """Datagrams by (number, (source, number of sample) …)."""
    return [
        datagram(*[flow_sample(HTTPS, source=source, sequence=number) for source, number in samples], sequence=sequence)
        for sequence, samples in datagrams
    ]


def test_missing_samples_are_missing_records_by_source(batching: str) -> None:
    payloads = sampled([(1, [(3, 10), (4, 70)]), (2, [(3, 11), (4, 71)]), (4, [(3, 14), (4, 72)])])
    assert judged(payloads, batching) == {"sequence_gap_datagrams": 1, "sequence_gap_records": 2}


def test_counter_samples_have_numbers_of_their_own(batching: str) -> None:
    payloads = [
        datagram(flow_sample(HTTPS, sequence=5), counter_sample(interface_counters(3), sequence=1), sequence=1),
        datagram(flow_sample(HTTPS, sequence=6), counter_sample(interface_counters(3), sequence=4), sequence=2),
    ]
    assert judged(payloads, batching) == {"sequence_gap_counter_samples": 2}


def test_a_gap_is_called_a_loss_once_it_is_old() -> None:
    decoder = Decoder()
    decode(*empty(1, 3), decoder=decoder, received_ns=SETTLE_NS)
    soon = decode(*empty(4), decoder=decoder, received_ns=SETTLE_NS * 3 // 2)
    assert "sequence_gap_datagrams" not in soon.counts
    later = [decode(*empty(n), decoder=decoder, received_ns=n * SETTLE_NS) for n in (5, 6)]
    assert sum(one.counts.get("sequence_gap_datagrams", 0) for one in later) == 1
    assert decoder.finish() == {}


def test_a_gap_is_called_a_loss_in_time_also_where_our_clock_was_set_back() -> None:
    decoder = Decoder()
    decode(*empty(1, 3), decoder=decoder, received_ns=86_400 * SETTLE_NS)
    later = [decode(*empty(n), decoder=decoder, received_ns=n * SETTLE_NS) for n in (4, 5, 6)]
    assert sum(one.counts.get("sequence_gap_datagrams", 0) for one in later) == 1


@pytest.mark.parametrize("seed", range(20))
def test_losses_reordering_and_duplicates_are_counted_exactly(seed: int) -> None:
    """Against what was really done to the numbers; reordering stays within the window."""
    chance = random.Random(seed)  # noqa: S311 - must be the same again for a seed
    sent = list(range(2**32 - 400, 2**32 + 400))
    kept = [number for number in sent if chance.random() > 0.1 or number in (sent[0], sent[-1])]
    lost = len(sent) - len(kept)
    twice = [number for number in kept[1:-1] if chance.random() < 0.05]
    order = sorted(
        [*kept, *twice], key=lambda number: number + chance.random() * 20 if number not in (sent[0], sent[-1]) else number
    )
    if order[0] != sent[0]:
        order.remove(sent[0])
        order.insert(0, sent[0])
    counts, decoder, at = Counter[str](), Decoder(), 0
    while at < len(order):
        size = chance.randint(1, 60)
        counts.update(decode(*empty(*order[at : at + size]), decoder=decoder).counts)
        at += size
    counts.update(decoder.finish())
    assert counts["sequence_gap_datagrams"] == lost
    assert counts["sequence_duplicate_datagrams"] == len(twice)
    assert counts["sequence_resets"] == 0


def test_the_effective_rate_is_what_the_pool_says() -> None:
    """Configured to 1 of 1000, the agent leaves out half of what it should sample, and says so."""
    decoder = Decoder()
    payloads = [
        datagram(
            flow_sample(HTTPS, source=9, sequence=n, rate=1000, pool=(2**32 - 3000 + 2000 * n) % 2**32, drops=n), sequence=n
        )
        for n in range(1, 11)
    ]
    counts = Counter[str]()
    for payload in payloads:
        counts.update(decode(payload, decoder=decoder).counts)
    assert counts["decode_sampler_drops"] == 9
    (source,) = decoder.sampling()
    assert (source.source_type, source.source_index, source.configured, source.effective) == (0, 9, 1000, 2000.0)


def test_a_restarted_source_begins_its_account_anew() -> None:
    decoder = Decoder()
    decode(datagram(flow_sample(HTTPS, sequence=7_000_000, pool=4_000_000_000, drops=90), uptime_ms=10**9), decoder=decoder)
    decoded = decode(
        datagram(flow_sample(HTTPS, sequence=1, pool=1000, drops=0), sequence=1, uptime_ms=5),
        datagram(flow_sample(HTTPS, sequence=2, pool=2000, drops=0), sequence=2, uptime_ms=6),
        decoder=decoder,
    )
    assert "decode_sampler_drops" not in decoded.counts
    assert "sequence_gap_records" not in decoded.counts


def test_numbering_of_many_at_once_is_that_of_each_alone() -> None:
    chance = np.random.default_rng(3)
    together, alone = Numbering(), [Numbering() for _ in range(20)]
    total, single = Counter[str](), Counter[str]()
    for _ in range(30):
        slot = chance.integers(0, 20, 200)
        number = (chance.integers(0, 90, 200) + 2**32 - 30).astype(np.uint32)
        clock = np.zeros(200, np.uint32)
        verdict = together.observe(Items.sorted(slot, number, clock))
        _add(total, verdict)
        for one in range(20):
            rows = slot == one
            if rows.any():
                _add(single, alone[one].observe(Items.sorted(slot[rows] * 0, number[rows], clock[rows])))
    assert total == single
    assert together.finish().sum() == sum(int(one.finish().sum()) for one in alone)


def _add(counts: Counter[str], verdict: object) -> None:
    for name in ("late", "duplicates", "restarts"):
        counts[name] += getattr(verdict, name)
    counts["lost"] += sum(int(lost.sum()) for _, lost in verdict.lost)  # type: ignore[attr-defined]


def test_places_are_kept_and_bounded() -> None:
    forgotten: list[int] = []
    places = NumberPlaces(lambda rows: forgotten.extend(rows.tolist()))
    keys = np.arange(1000, dtype=np.int64) << 20
    first = places.of(keys)
    assert len(set(first.tolist())) == 1000
    assert (places.of(np.repeat(keys, 3)) == np.repeat(first, 3)).all()
    for start in range(1, 40):
        places.of(np.arange(start * 5000, start * 5000 + 5000, dtype=np.int64) << 20 | 7)
        places.of(keys)
    assert (places.of(keys) == first).all()
    assert len(places.keys()) <= MAX_PLACES
    assert len(forgotten) > 50_000
    assert not set(forgotten) & set(first.tolist())


def test_more_at_once_than_there_are_places() -> None:
    places = NumberPlaces(lambda _: None)
    found = places.of(np.arange(MAX_PLACES + 500, dtype=np.int64))
    assert (found < 0).sum() == 500
    assert len(np.unique(found[found >= 0])) == MAX_PLACES


def test_agents_and_sources_beyond_the_bound_cost_nothing_but_their_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those forgotten begin anew; those of one batch that find no place are decoded all the same."""
    monkeypatch.setattr(places_module, "MAX_PLACES", 64)
    decoder, flows = Decoder(), 0
    for turn in range(30):
        payloads = [datagram(flow_sample(HTTPS, source=k), sub_agent=turn * 20 + k) for k in range(20)]
        flows += len(decode(*payloads, decoder=decoder).flows)
    at_once = [datagram(flow_sample(HTTPS, source=k), sub_agent=10_000 + k) for k in range(200)]
    flows += len(decode(*at_once, decoder=decoder).flows)
    assert flows == 800
    assert decoder.finish() == {}
    assert len(decoder.sampling()) <= 64
