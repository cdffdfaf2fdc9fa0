# SPDX-License-Identifier: Apache-2.0
"""Signals as arrays: which flow each belongs to, which node's it is, and how it reads."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flowgauge.agent import dns_text, signal_columns, signal_rows
from flowgauge.agent.accounter import account
from flowgauge.agent.local_addresses import LocalAddresses
from flowgauge.agent.messages import Messages
from flowgauge.agent.settings import AgentSettings
from flowgauge.ebpf import abi
from flowgauge.ebpf.libbpf import LoadError
from flowgauge.ebpf.map_reader import Entries
from flowgauge.ebpf.signal_hooks import SIGNALS, Support, is_measured, load, refusal
from flowgauge.ebpf.tables import Evicted, empty
from flowgauge.ebpf.ticks import Ticks
from flowgauge.ebpf.translations import join
from flowgauge.flow.names import Names
from flowgauge.flow.rows import to_rows
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.normalise import Normalise
from flowgauge.schema import numbered_words
from flowgauge.schema.enums import LOCAL_ENDS, TCP_STATE_FINAL, code
from wire_kit import decode

NO_TRANSLATIONS = empty(abi.FLOW_KEY, abi.TRANSLATION)
REASONS = {3: "SKB_DROP_REASON_NO_SOCKET", 9: "SKB_DROP_REASON_QDISC_DROP"}


def flow_keys(*ports: int) -> Any:
    keys = np.zeros(len(ports), abi.FLOW_KEY)
    keys["src_port"] = ports
    return keys


def evicted(flows: tuple[int, ...] = (), sockets: Entries | None = None, drops: Entries | None = None) -> Evicted:
    nothing = Evicted.nothing()
    values = np.zeros(len(flows), abi.FLOW_VALUE)
    values["packets"] = 10
    keys = flow_keys(*flows)
    return replace(nothing, keys=keys, values=values, sockets=sockets or nothing.sockets, drops=drops or nothing.drops)


def sockets(*of: tuple[int, int, str]) -> Entries:
    """(port, retransmits, state)."""
    values = np.zeros(len(of), abi.SOCKET_VALUE)
    values["retransmits"] = [retransmits for _, retransmits, _ in of]
    values["state"] = [code(TCP_STATE_FINAL, state) for _, _, state in of]
    values["last_tick"] = 77
    return Entries(flow_keys(*(port for port, _, _ in of)), values)


def drops(*of: tuple[int, int, int, int]) -> Entries:
    """(port, reason, packets, place)."""
    keys, values = np.zeros(len(of), abi.DROP_KEY), np.zeros(len(of), abi.DROP_VALUE)
    keys["flow"] = flow_keys(*(port for port, _, _, _ in of))
    for name, at in (("reason", 1), ("place", 3)):
        keys[name] = [row[at] for row in of]
    values["packets"] = [packets for _, _, packets, _ in of]
    values["bytes"] = values["packets"] * 100
    values["first_tick"], values["last_tick"] = 50, 60
    return Entries(keys, values)


def columns(found: signal_rows.SignalRows) -> dict[str, list[Any]]:
    told = signal_columns.columns(found, REASONS)
    return {name: data.to_list() if isinstance(data, Names) else data.tolist() for name, data in told.items()}


def test_the_cause_of_a_flow_is_the_commonest_and_its_sums_are_of_all() -> None:
    found = signal_rows.place(evicted((1, 2), drops=drops((2, 3, 5, 0), (2, 9, 7, 0), (1, 0x20001, 1, 0))), NO_TRANSLATIONS)
    told = columns(found)
    assert told["drop_packets"] == [1, 12]
    assert told["drop_bytes"] == [100, 1200]
    assert told["drop_cause"] == ["reason 0x20001", "QDISC_DROP"]


def test_only_news_makes_a_flow_of_no_packets() -> None:
    """Round-trip times alone do not: sampled flows would come back as rows."""
    of = sockets((1, 0, "established"), (2, 1, "established"), (3, 0, "refused"), (4, 0, ""))
    found = signal_rows.place(evicted((1,), sockets=of, drops=drops((9, 3, 1, 0))), NO_TRANSLATIONS)
    assert sorted(found.keys["src_port"].tolist()) == [1, 2, 3, 9]
    assert found.values["packets"].tolist() == [10, 0, 0, 0]
    by_port = dict(zip(found.keys["src_port"].tolist(), found.values, strict=True))
    assert (by_port[2]["first_tick"], by_port[2]["last_tick"]) == (77, 77)
    assert (by_port[9]["first_tick"], by_port[9]["last_tick"]) == (50, 60)


def test_of_nodes_that_share_a_kernel_each_takes_its_own() -> None:
    """Ports tell in this test which ends live here: 1 the source, 2 the destination, 3 none."""
    ends = {1: "src", 2: "dst", 3: "none"}

    def local(keys: Any) -> Any:
        return np.array([code(LOCAL_ENDS, ends[port]) for port in keys["src_port"].tolist()], np.uint8)

    all_places = [
        (port, reason, 1, place)
        for port in ends
        for reason, place in ((1, abi.DROP_AT_NODE), (2, abi.DROP_SENT), (3, abi.DROP_RECEIVED))
    ]
    own = signal_rows.place(
        evicted(sockets=sockets(*((port, 1, "reset") for port in ends)), drops=drops(*all_places)), NO_TRANSLATIONS, local
    )
    assert own.sockets.keys["src_port"].tolist() == [1]
    kept = {(int(key["flow"]["src_port"]), int(key["place"])) for key in own.drops.keys}
    assert kept == {
        *((port, abi.DROP_AT_NODE) for port in ends),
        (1, abi.DROP_SENT),
        (2, abi.DROP_RECEIVED),
    }


def test_nothing_gives_no_columns() -> None:
    assert columns(signal_rows.place(evicted(), NO_TRANSLATIONS)) == {}
    assert columns(signal_rows.place(evicted((1, 2)), NO_TRANSLATIONS)) == {}


@pytest.mark.parametrize(
    ("raw", "name", "kind"),
    [
        (b"\x03API\x04shop\x00\x00\x1c\x00\x01", "api.shop", 28),
        (b"\x00\x00\x02\x00\x01", ".", 2),
        (b"\x05a.b\x1b\xff\x00\x00\x01\x00\x01", r"a\046b\027\255", 1),
        (b"\x03api", "api", 0),
        (b"\x3fcut", "cut", 0),
        (b"\xc0\x0c\x00\x01", ".", 0),
        (b"", ".", 0),
    ],
    ids=["usual", "root", "strange bytes", "no type", "cut label", "compressed", "empty"],
)
def test_questions_of_dns_in_words(raw: bytes, name: str, kind: int) -> None:
    assert dns_text.question(raw) == (name, kind)


def test_response_codes_have_their_registered_names() -> None:
    assert [numbered_words.dns_rcode(0x8180 | number) for number in (0, 2, 3, 5, 15)] == [
        "NOERROR",
        "SERVFAIL",
        "NXDOMAIN",
        "REFUSED",
        "RCODE15",
    ]


@pytest.mark.parametrize(
    ("number", "support"),
    [
        (errno.EINVAL, Support.NOT_SUPPORTED),
        (errno.ESRCH, Support.NOT_SUPPORTED),
        (errno.EACCES, Support.NOT_SUPPORTED),
        (errno.EPERM, Support.COULD_NOT_TELL),
        (errno.ENOMEM, Support.COULD_NOT_TELL),
    ],
)
def test_a_refusal_says_something_of_the_kernel_or_nothing(number: int, support: Support) -> None:
    answer = refusal(SIGNALS[0], LoadError(number, "load eBPF programs", ""))
    assert answer.support is support
    assert not answer.programs
    assert answer.words.startswith(support.value)


@pytest.mark.parametrize(
    ("signal", "lacking", "words"),
    [
        ("process", "on_datagram_sent", "on, of TCP only: UDP needs Linux >= 6.3"),
        (
            "drops",
            "on_drop_at_socket",
            "on, without the state of the socket that was to receive the packet: needs Linux >= 6.11",
        ),
        ("process", "on_owner_state", "not supported: needs Linux >= 5.11"),
        ("process", "", "on"),
    ],
)
def test_a_kernel_that_gives_part_of_a_signal_says_what_it_lacks(signal: str, lacking: str, words: str) -> None:
    def add(programs: frozenset[str]) -> None:
        if lacking in programs:
            raise LoadError(errno.ESRCH, "load eBPF programs", "")

    answer = load([signal], add)[signal]
    assert answer.words == words
    assert is_measured(answer.words) is (answer.support is Support.AVAILABLE) is bool(answer.programs)
    assert lacking not in answer.programs


def test_a_wait_of_ten_seconds_stays_ten_seconds() -> None:
    """Through columns, the wire and the first stage of the collector: 32 bits of ns would end at 4.3 s."""
    values = np.zeros(1, abi.SERVER_TIME)
    values["sum_ns"] = values["min_ns"] = values["max_ns"] = 10_000_000_000
    values["count"] = 1
    slow = np.zeros(1, abi.SOCKET_VALUE)
    slow["rtt_sum_us"], slow["rtt_count"], slow["rtt_min_us"], slow["rtt_max_us"] = 12_000_000, 1, 12_000_000, 12_000_000
    slow["rtt_histogram"][0, 23] = 1
    flows = evicted((1,), sockets=Entries(flow_keys(1), slow))
    of = replace(flows, server_times=Entries(flow_keys(1), values))
    found = signal_rows.place(of, NO_TRANSLATIONS)
    batch = account(
        found.keys,
        found.values,
        join(found.keys, NO_TRANSLATIONS.keys, NO_TRANSLATIONS.values),
        LocalAddresses(),
        ticks=Ticks(1, 0),
        sampling_rate=np.ones(1, np.uint32),
    )
    batch = batch.with_columns(signal_columns.columns(found, REASONS, histogram=True))
    payloads = [message.payload for message in Messages(AgentSettings(node="n")).flows(batch)]
    kept = Normalise(ExporterDirectory())(decode(*payloads).flows)
    assert kept.array("server_time_avg_us").tolist() == kept.array("server_time_max_us").tolist() == [10_000_000]
    assert kept.array("rtt_avg_us").tolist() == [12_000_000]
    assert kept.array("server_time_count").tolist() == [1]
    row = to_rows(kept, ("server_time_max_ns", "rtt_histogram"))[0]
    assert row == {"server_time_max_ns": 10_000_000_000, "rtt_histogram": [0] * 23 + [1]}
