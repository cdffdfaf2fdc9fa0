# SPDX-License-Identifier: Apache-2.0
"""``flowgauge top``: how flows add up to conversations, and what the screen shows and does, in a terminal of 80 columns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from flowgauge.cli import top_table
from flowgauge.cli.main import main
from flowgauge.cli.top_app import TopApp, cells, details_text
from flowgauge.cli.top_table import WINDOW_S, Conversations, Order


def flow(src: str, dst: str, src_port: int, dst_port: int, **more: Any) -> dict[str, Any]:
    return {"src_addr": src, "dst_addr": dst, "src_port": src_port, "dst_port": dst_port, "proto": 6, "bytes": 1000,
            "packets": 10, "sampling_rate": 1, "time_end_ns": 1_767_000_000_000_000_000, **more}  # fmt: skip


ASKED = flow("10.0.0.1", "10.0.0.9", 40_000, 5432, rtt_avg_ns=2_000_000, bytes=300)
ANSWERED = flow("10.0.0.9", "10.0.0.1", 5432, 40_000, bytes=9_700)
OTHER = flow("10.0.0.1", "10.0.0.8", 40_001, 80, bytes=500, retransmits=3, rtt_avg_ns=50_000_000)
DROPPED = flow("10.0.0.2", "10.0.0.9", 40_002, 81, bytes=60, packets=0, drop_packets=4, drop_cause="NETFILTER_DROP")


def keys(conversations: Conversations, order: Order, now: float) -> list[tuple[str, int]]:
    return [(line.conversation.server, line.key[3]) for line in conversations.lines(order, now)]


def test_both_directions_of_all_connections_to_a_service_are_one_line() -> None:
    conversations = Conversations()
    again = flow("10.0.0.1", "10.0.0.9", 40_777, 5432, bytes=100)
    conversations.add([ASKED, ANSWERED, again], 0.0)
    (line,) = conversations.lines(Order.RATE, 2.0)
    assert (line.conversation.client, line.conversation.server, line.conversation.port) == (
        "10.0.0.1", "10.0.0.9", "5432 postgresql",
    )  # fmt: skip
    assert (line.sums.to_server_bytes, line.sums.to_client_bytes, line.sums.packets) == (400, 9_700, 30)
    assert line.bytes_per_s == 10_100 / 2


def test_packets_to_a_translated_address_and_port_are_of_the_conversation_with_what_is_behind() -> None:
    conversations = Conversations()
    ports = {"service_port": 443, "target_port": 8443}
    request = flow("10.0.0.1", "10.96.0.9", 40_000, 443, post_nat_dst_addr="10.0.0.9", dst_service="payments", **ports)
    conversations.add([request, flow("10.0.0.9", "10.0.0.1", 8443, 40_000, src_service="payments", **ports)], 0.0)
    (line,) = conversations.lines(Order.RATE, 1.0)
    assert (line.conversation.server, line.conversation.port, line.key[3]) == ("10.0.0.9", "443→8443 payments", 8443)
    assert (line.sums.to_server_bytes, line.sums.to_client_bytes) == (1000, 1000)


def test_the_answer_to_a_masqueraded_client_is_of_the_clients_conversation() -> None:
    conversations = Conversations()
    conversations.add([
        flow("10.0.0.1", "203.0.113.9", 40_000, 443),
        flow("203.0.113.9", "192.168.50.11", 443, 31_000, post_nat_dst_addr="10.0.0.1"),
    ], 0.0)  # fmt: skip
    (line,) = conversations.lines(Order.RATE, 1.0)
    assert (line.conversation.client, line.sums.to_client_bytes) == ("10.0.0.1", 1000)


def test_lines_are_sorted_by_what_is_asked_for() -> None:
    conversations = Conversations()
    conversations.add([ASKED, ANSWERED, OTHER, DROPPED], 0.0)
    assert [port for _, port in keys(conversations, Order.RATE, 1.0)] == [5432, 80, 81]
    assert [port for _, port in keys(conversations, Order.RTT, 1.0)] == [80, 5432, 81]
    assert keys(conversations, Order.RETRANSMITS, 1.0)[0][1] == 80
    assert keys(conversations, Order.DROPS, 1.0)[0][1] == 81


def test_what_is_sampled_counts_for_what_was_not_seen() -> None:
    conversations = Conversations()
    conversations.add([{**ASKED, "sampling_rate": 100}], 0.0)
    (line,) = conversations.lines(Order.RATE, 1.0)
    assert (line.sums.bytes, line.sums.approx) == (30_000, True)


def test_what_was_longer_ago_than_the_window_is_gone() -> None:
    conversations = Conversations()
    conversations.add([ASKED], 0.0)
    conversations.add([OTHER], 6.0)
    assert len(conversations.lines(Order.RATE, WINDOW_S - 0.1)) == 2
    assert [port for _, port in keys(conversations, Order.RATE, WINDOW_S + 0.1)] == [80]


def test_the_smallest_go_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_table, "MAX_CONVERSATIONS", 3)
    conversations = Conversations()
    conversations.add([flow("10.0.0.1", "10.0.0.9", 40_000, port, bytes=port) for port in range(1, 11)], 0.0)
    assert sorted(port for _, port in keys(conversations, Order.RATE, 1.0)) == [8, 9, 10]
    assert conversations.left_out == 7


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (DROPPED, "dropped: NETFILTER_DROP"),
        ({**ASKED, "tcp_state_final": "timeout"}, "timed out"),
        ({**ASKED, "dns_rcode": "NXDOMAIN", "dns_name": "no.svc"}, "no.svc: NXDOMAIN"),
        (OTHER, "sent again: 3"),
        ({**ASKED, "tcp_state_final": "closed", "dns_rcode": "NOERROR"}, ""),
    ],
)
def test_what_failed_is_said_in_words(row: dict[str, Any], words: str) -> None:
    assert top_table.cause(row) == words


class Script:
    """Gives the same flows each second, and remembers what it was asked for."""

    name, problem, skipped = "script", "", 0
    troubles: Sequence[str] = ()

    def __init__(self, *rows: dict[str, Any], once: bool = False) -> None:
        self._rows, self._once = rows, once
        self.asked: list[str] = []
        self.stopped = False

    def start(self, filter_: str) -> None:
        self.asked.append(filter_)

    def take(self) -> list[Sequence[dict[str, Any]]]:
        given = self._rows
        if self._once:
            self._rows = ()
        return [given]

    def stop(self) -> None:
        self.stopped = True


def on_screen(source: Script, steps: Callable[[Pilot[None], TopApp], Awaitable[None]], width: int = 80) -> None:
    async def run() -> None:
        app = TopApp(source)
        async with app.run_test(size=(width, 24)) as pilot:
            await steps(pilot, app)

    asyncio.run(run())


def shown(app: TopApp) -> list[list[str]]:
    table = app.query_one(DataTable)
    return [[str(cell).strip() for cell in table.get_row_at(row)] for row in range(table.row_count)]


async def appeared(pilot: Pilot[None], app: TopApp, what: str) -> str:
    """The text of the part ``what`` of the screen, which comes when the screen has taken in what was pressed."""
    while not app.screen.query(what):
        await pilot.pause(0.01)
    return str(app.screen.query_one(what, Static).render())


def test_80_columns_hold_every_figure_without_scrolling_sideways() -> None:
    async def steps(pilot: Pilot[None], app: TopApp) -> None:
        await pilot.pause()
        assert shown(app)[0][:3] == ["10.0.0.1", "10.0.0.9", "5432 postgresql"]
        assert shown(app)[1][-3:] == ["50 ms", "3", ""]
        assert shown(app)[2][-1] == "4"
        assert app.query_one(DataTable).virtual_size.width <= 80

    on_screen(Script(ASKED, ANSWERED, OTHER, DROPPED, once=True), steps)


def test_troubles_stand_above_the_conversations() -> None:
    source = Script(ASKED, ANSWERED, once=True)

    async def steps(pilot: Pilot[None], app: TopApp) -> None:
        await pilot.pause()
        assert not app.query_one("#troubles", Static).display
        source.troubles = ["nobody listens at db:5433 (since 10:02:31)", "and 2 troubles more: flowgauge troubles"]
        app.action_order("rtt")
        await pilot.pause()
        said = str(app.query_one("#troubles", Static).render())
        assert said == "▲ nobody listens at db:5433 (since 10:02:31)\n▲ and 2 troubles more: flowgauge troubles"
        assert app.query_one("#troubles", Static).display

    on_screen(source, steps)


def test_what_a_terminal_would_obey_is_not_shown_to_it() -> None:
    """A program on the node chooses its own name, and a server of DNS the names in its answers."""
    hostile = "\x1b]0;yours\x07\x9b2J\u202e"
    conversations = Conversations()
    conversations.add(
        [
            {
                **DROPPED,
                "src_process": hostile,
                "src_pid": 7,
                "dst_dns_name": hostile,
                "dns_name": hostile,
                "drop_cause": hostile,
            }
        ],
        0.0,
    )
    (line,) = conversations.lines(Order.RATE, 1.0)
    shown = "".join(cell.plain for cell in cells(line, wide=True)) + details_text(line).plain.replace("\n", "")
    assert "yours" in shown
    assert not [character for character in shown if not character.isprintable()]


def test_a_wide_terminal_says_what_failed() -> None:
    async def steps(pilot: Pilot[None], app: TopApp) -> None:
        await pilot.pause()
        assert shown(app)[0][-1] == "dropped: NETFILTER_DROP"

    on_screen(Script(DROPPED), steps, width=150)


def test_details_have_the_newest_flows_first_and_what_became_of_questions() -> None:
    conversations, second = Conversations(), 1_000_000_000
    at = [{"proto": 17, "packets": 1, "time_end_ns": 1_767_000_000 * second + number * second} for number in range(3)]
    late = flow(
        "10.0.0.1", "10.0.0.53", 40_000, 53, **at[2], dns_name="a.example", dns_rcode="NOERROR", dns_latency_ns=4_000_000
    )
    lost = flow("10.0.0.1", "10.0.0.53", 40_001, 53, **at[0], dns_name="b.example", dns_rcode="NOANSWER")
    reply = flow("10.0.0.53", "10.0.0.1", 53, 40_000, **at[1] | {"packets": 2})
    conversations.add([late, lost, reply], 0.0)
    (line,) = conversations.lines(Order.RATE, 2.0)
    flows = details_text(line).plain.split("newest flows")[1].strip().splitlines()
    assert [" ".join(one.split()[2:]) for one in flows] == [
        "40000→53 1.0 kB 1 packet a.example 4 ms", "53→40000 1.0 kB 2 packets", "40001→53 1.0 kB 1 packet b.example NOANSWER",
    ]  # fmt: skip


def test_keys_sort_open_details_and_quit() -> None:
    source = Script(ASKED, ANSWERED, OTHER, once=True)

    async def steps(pilot: Pilot[None], app: TopApp) -> None:
        await pilot.press("t")
        await pilot.pause()
        assert shown(app)[0][1] == "10.0.0.8"
        await pilot.press("enter")
        details = await appeared(pilot, app, "#box")
        assert "sent again: 3" in details
        assert "port 80 http" in details
        await pilot.press("escape")
        await pilot.press("q")

    on_screen(source, steps)
    assert source.stopped


def test_a_filter_is_taken_over_and_a_wrong_one_explained() -> None:
    source = Script(ASKED)

    async def steps(pilot: Pilot[None], app: TopApp) -> None:
        await pilot.press("slash")
        app.query_one("#filter", Input).value = "prot = 5432"
        await pilot.press("enter")
        await pilot.pause()
        assert source.asked == []
        (said,) = app._notifications
        assert "did you mean 'proto'?" in said.message
        app.query_one("#filter", Input).value = "port = 5432"
        await pilot.press("enter")
        await pilot.pause()
        assert source.asked == ["port = 5432"]

    on_screen(source, steps)


def test_without_a_terminal_it_says_what_to_use_instead(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top"]) == 2
    assert "flowgauge flows --live -o jsonl" in capsys.readouterr().err


def test_a_wrong_filter_ends_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "prot = 1"]) == 2
    assert "there is no field" in capsys.readouterr().err
