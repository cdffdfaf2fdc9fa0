# SPDX-License-Identifier: Apache-2.0
"""``flowgauge decode`` as scripts see it: records on standard output, what is wrong on standard error, the exit status."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from capture_kit import AT_S, EXPORTER, SYN, ethernet, ip, pcap, tcp, udp
from flowgauge.cli import decode_progress, decode_rows
from flowgauge.cli.main import main
from wire_kit import BASIC, VARIABLE, Spec, a_set, basic, basic_template, message, template

COMMAND = [sys.executable, "-P", "-m", "flowgauge.cli.main", "decode"]
OPTIONS_TEMPLATE = a_set(3, template(300, ((149, 4), (34, 4), (82, VARIABLE), (41, 8)), scope=1))
OPTIONS = a_set(300, struct.pack("!II", 1, 100) + b"\x04eth0" + struct.pack("!Q", 5))
EVENT: tuple[Spec, ...] = ((8, 4), (225, 4), (230, 1))


class Seen(NamedTuple):
    """What one run wrote."""

    status: int
    out: bytes
    err: list[str]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Seen]


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    def call(*arguments: object) -> Seen:
        status = main(["decode", *map(str, arguments)])
        captured = capfdbinary.readouterr()
        return Seen(status, captured.out, captured.err.decode().splitlines())

    return call


def capture(path: Path, *payloads: bytes, port: int = 2055) -> Path:
    path.write_bytes(pcap(ethernet(ip(udp(payload, port=port))) for payload in payloads))
    return path


def test_a_record_has_the_columns_that_it_came_with_and_no_others(tmp_path: Path, run: Run) -> None:
    spec = (*BASIC, (150, 4), (60, 1), (5, 3, 9999), (210, 2))
    record = basic(1500, 3) + struct.pack("!IB", AT_S, 4) + b"\0\1\2" + b"\0\0"
    seen = run(capture(tmp_path / "a.pcap", message(a_set(2, template(256, spec)), a_set(256, record))))
    assert seen.rows == [
        {
            "src_addr": "10.0.0.1", "dst_addr": "10.0.0.2", "src_port": 1000, "dst_port": 53, "proto": 17,
            "bytes": 1500, "packets": 3, "time_start_ns": AT_S * 10**9, "time_end_ns": AT_S * 10**9,
            "time_received_ns": AT_S * 10**9, "exporter_addr": EXPORTER, "obs_domain_id": 1, "template_id": 256,
            "flow_format": "ipfix", "record_kind": "flow", "extra": {"ipVersion": 4, "pen9999_5": "000102"},
        }
    ]  # fmt: skip
    assert (seen.status, seen.err) == (0, [])


def test_absent_columns_stay_absent_beside_records_that_have_them(tmp_path: Path, run: Run) -> None:
    """Two layouts in one batch: the one without ports and counts must not get those of the other, or zeros."""
    templates = a_set(2, template(256, BASIC), template(257, ((8, 4), (4, 1), (2, 4))))
    other = bytes((10, 9, 9, 9, 6)) + struct.pack("!I", 7)
    seen = run(capture(tmp_path / "a.pcap", message(templates, a_set(257, other), a_set(256, basic(1)), a_set(257, other))))
    with_ports, without = seen.rows[1], seen.rows[0]
    assert seen.rows[2] == without
    assert without.keys() & {"src_port", "dst_port", "dst_addr", "bytes"} == set()
    assert (without["packets"], with_ports["bytes"], with_ports["dst_port"]) == (7, 1, 53)


def test_records_come_in_order_of_arrival_whatever_their_layout(tmp_path: Path, run: Run) -> None:
    templates = message(basic_template(256), basic_template(257), a_set(2, template(258, (*BASIC, (60, 1)))))
    sets = [(256, basic(1), basic(2)), (258, basic(3) + b"\4"), (257, basic(4)), (256, basic(5)), (258, basic(6) + b"\4")]
    payloads = [message(*(a_set(number, *records) for number, *records in sets)), message(a_set(257, basic(7)))]
    seen = run(capture(tmp_path / "a.pcap", templates, *payloads))
    assert [row["bytes"] for row in seen.rows] == [1, 2, 3, 4, 5, 6, 7]


def test_more_rows_than_are_made_at_once_keep_their_order(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_rows, "ROWS_AT_ONCE", 3)
    payloads = [message(basic_template(), OPTIONS_TEMPLATE), *(message(a_set(256, basic(n)), OPTIONS) for n in range(8))]
    seen = run("--records", "all", capture(tmp_path / "a.pcap", *payloads))
    assert [row.get("bytes", "options") for row in seen.rows] == [one for n in range(8) for one in (n, "options")]


def test_data_before_their_template_come_out_once_it_is_known(tmp_path: Path, run: Run) -> None:
    first, second = capture(tmp_path / "data.pcap", message(a_set(256, basic(1), basic(2)))), tmp_path / "template.dat"
    capture(second, message(a_set(256, basic(3)), basic_template(), a_set(256, basic(4)), sequence=2))
    seen = run("--stats", tmp_path / "stats", first, second)
    assert [row["bytes"] for row in seen.rows] == [1, 2, 3, 4]
    stats = json.loads((tmp_path / "stats").read_text())
    assert (stats["records_recovered_late"], stats["sets_without_template"], stats["data_records"]) == (3, 0, 4)


def test_elements_of_the_users_devices(tmp_path: Path, run: Run) -> None:
    """Some fill a column, others have a type under ``extra``; a file with a mistake is named with its line."""
    elements = tmp_path / "elements.csv"
    elements.write_text("enterprise,number,name,type,column\n9999,1,site,string,application_name\n9999,2,depth,unsigned32,\n")
    spec = (*BASIC, (1, VARIABLE, 9999), (2, 4, 9999))
    record = basic(1) + b"\x05north" + struct.pack("!I", 7)
    path = capture(tmp_path / "a.pcap", message(a_set(2, template(256, spec)), a_set(256, record)))
    (row,) = run("--elements", elements, path).rows
    assert (row["application_name"], row["extra"]) == ("north", {"pen9999_2": 7})
    assert run(path).rows[0]["extra"] == {"pen9999_1": b"north".hex(), "pen9999_2": "00000007"}
    elements.write_text("enterprise,number,name,type,column\n9999,1,site,text,\n")
    seen = run("--elements", elements, path)
    assert (seen.status, seen.out) == (2, b"")
    assert "line 2" in "".join(seen.err)
    assert run("--elements", tmp_path / "absent", path).status == 2


def test_options_and_events_only_when_asked_for(tmp_path: Path, run: Run) -> None:
    event = bytes((10, 0, 0, 1, 198, 51, 100, 1, 4))
    templates = message(OPTIONS_TEMPLATE, basic_template(), a_set(2, template(260, EVENT)))
    path = capture(tmp_path / "a.pcap", templates, message(OPTIONS, a_set(260, event), a_set(256, basic(1))))
    assert [row["record_kind"] for row in run(path).rows] == ["flow"]
    options, nat, flow = run("--records", "all", path).rows
    assert options == {
        "record_kind": "options", "flow_format": "ipfix", "time_received_ns": AT_S * 10**9 + 1000, "exporter_addr": EXPORTER,
        "obs_domain_id": 1, "template_id": 300, "sampling_rate": 100,
        "extra": {"interfaceName": "eth0", "exportedMessageTotalCount": 5},
    }  # fmt: skip
    assert (nat["record_kind"], nat["post_nat_src_addr"], nat["nat_event"]) == ("event", "198.51.100.1", 4)
    assert (flow["record_kind"], flow["sampling_rate"], flow["sampling_source"]) == ("flow", 100, "system")
    assert nat.keys() & {"bytes", "packets", "sampling_rate", "sampling_source"} == set()


def test_options_that_speak_of_a_domain_are_of_the_domain_that_sent_them(tmp_path: Path, run: Run) -> None:
    options = a_set(3, template(300, [(149, 4), (34, 4)], scope=1)), a_set(300, struct.pack("!II", 7, 100))
    path = capture(tmp_path / "a.pcap", message(*options, domain=9))
    (row,) = run("--records", "all", path).rows
    assert (row["obs_domain_id"], row["sampling_rate"], row["extra"]) == (9, 100, {"observationDomainId": 7})


def test_statistics(tmp_path: Path, run: Run) -> None:
    payloads = [
        message(basic_template(), basic_template(257), OPTIONS_TEMPLATE),
        message(basic_template(), a_set(256, basic(1), basic(2)), OPTIONS),
        message(a_set(256, basic(3)), sequence=10),
        message(a_set(999, b"1234"), sequence=11),
        message(a_set(256, basic(3)), struct.pack("!HH", 256, 2)),
    ]
    run("--stats", tmp_path / "stats", capture(tmp_path / "a.pcap", *payloads))
    stats = json.loads((tmp_path / "stats").read_text())
    expected = {
        "files": 1, "packets": 5, "datagrams": 5, "templates": 3, "options_templates": 1, "data_records": 4,
        "options_records": 1, "records_recovered_late": 0, "sets_without_template": 1, "decode_errors": {"set_length": 1},
        "error_datagrams": 1, "sequence_gaps": 7, "sequence_gap_records": 7, "sequence_gap_datagrams": 0,
        "other_datagrams": 0, "tcp_gaps": 0,
    }  # fmt: skip
    assert {name: stats[name] for name in expected} == expected


def test_what_is_malformed_is_named_and_costs_nothing_else(tmp_path: Path, run: Run) -> None:
    good = message(basic_template(), a_set(256, basic(1)))
    broken = message(a_set(256, basic(2)), struct.pack("!HH", 256, 2), sequence=1)
    path = capture(tmp_path / "a.pcap", good, broken)
    other = tmp_path / "one.dat"
    other.write_bytes(message(a_set(2, template(5, BASIC))))
    seen = run(path, other)
    assert seen.status == 0
    assert [row["bytes"] for row in seen.rows] == [1, 2]
    at = len(broken) - 2
    assert seen.err == [
        f"flowgauge: {path}: datagram 2 (packet 2), byte {at}: set_length: expected 4, found 2",
        f"flowgauge: {other}: datagram 1, byte 20: template_header: expected template id from 256, found 5",
    ]


def test_what_a_short_snapshot_left_of_an_export_is_decoded_and_the_rest_named(tmp_path: Path, run: Run) -> None:
    offered = message(basic_template(), a_set(256, *map(basic, range(1, 11))))
    after = message(a_set(256, basic(11)), sequence=10)
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap([ethernet(ip(udp(payload))) for payload in (offered, after)], cut=200))
    seen = run("--stats", tmp_path / "stats", path)
    assert [row["bytes"] for row in seen.rows] == [1, 2, 3, 4, 11]
    assert seen.err == [
        f"flowgauge: {path}: datagram 1 (packet 1), byte 158: datagram_cut: expected {len(offered)}, found 158",
        f"flowgauge: {path}: 1 exports of which the capture holds only the beginning (its snapshot length)",
    ]
    stats = json.loads((tmp_path / "stats").read_text())
    assert (stats["data_records"], stats["sequence_gap_records"]) == (5, 6), "11 were offered"
    assert (stats["decode_errors"], stats["cut_datagrams"]) == ({"datagram_cut": 1}, 1)


def test_an_ipfix_file_that_ends_within_a_message_is_decoded_up_to_there(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "a.ipfix"
    path.write_bytes((message(basic_template()) + message(a_set(256, basic(1), basic(2))))[:-1])
    seen = run(path)
    assert [row["bytes"] for row in seen.rows] == [1]
    assert seen.err == [f"flowgauge: {path}: datagram 2, byte 61: datagram_cut: expected 62, found 61"]


def test_a_malformed_set_that_waited_is_named_with_the_file_and_byte_where_it_was(tmp_path: Path, run: Run) -> None:
    waiting = capture(tmp_path / "waiting.pcap", message(a_set(400, b"\x09too short")))
    late = capture(tmp_path / "late.pcap", message(a_set(2, template(400, ((82, VARIABLE), (1, 8))))))
    seen = run(waiting, late)
    assert seen.err == [
        f"flowgauge: {waiting}: datagram 1, byte 20: record_length: expected record within its set, found longer"
    ]


def test_every_malformed_place_is_named(tmp_path: Path, run: Run) -> None:
    payloads = [message(a_set(2, template(256, BASIC)), struct.pack("!HH", 256, 1)) for _ in range(100)]
    seen = run("--stats", tmp_path / "stats", capture(tmp_path / "a.pcap", *payloads))
    assert len(seen.err) == 100
    assert json.loads((tmp_path / "stats").read_text())["decode_errors"] == {"set_length": 100}


def test_a_payload_of_an_unknown_version_is_malformed_not_unreadable(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "one.bin"
    path.write_bytes(b"\0\x63" + bytes(50))
    seen = run("--stats", tmp_path / "stats", path)
    assert seen.out == b""
    assert seen.err[0] == f"flowgauge: {path}: datagram 1, byte 0: version: expected 1, 5, 7, 9, 10 or sFlow 5, found 99"
    assert json.loads((tmp_path / "stats").read_text())["decode_errors"] == {"version": 1}


GARBAGE = b"\0\x63" + bytes(50)
NOTHING = "flowgauge: nothing could be decoded: every flow export is malformed"


@pytest.mark.parametrize(
    ("payloads", "status"),
    [
        ([GARBAGE], 2),
        ([GARBAGE, message(a_set(2, template(5, BASIC))), b"\0\x0a"], 2),
        ([GARBAGE, message(basic_template())], 0),
        ([message(basic_template(), struct.pack("!HH", 256, 2))], 0),
        ([message(a_set(256, basic(1), basic(2)), struct.pack("!HH", 256, 2)), message(basic_template(), sequence=2)], 0),
        ([GARBAGE, message(a_set(256, basic(1)))], 0),
    ],
    ids=["garbage", "three kinds of it", "a template beside it", "a template before it", "waiting data before it",
         "data without a template beside it"],
)  # fmt: skip
def test_captures_of_which_nothing_could_be_decoded_are_status_2(
    tmp_path: Path, run: Run, payloads: list[bytes], status: int
) -> None:
    seen = run(capture(tmp_path / "a.pcap", *payloads))
    assert seen.status == status
    assert (seen.err[-1] == NOTHING) is bool(status)


def test_garbage_beside_a_file_that_was_decoded_is_status_0(tmp_path: Path, run: Run) -> None:
    bad, good = tmp_path / "bad.dat", capture(tmp_path / "good.pcap", message(basic_template(), a_set(256, basic(1))))
    bad.write_bytes(GARBAGE)
    assert [run(*files).status for files in ((bad, good), (good, bad), (bad, bad))] == [0, 0, 2]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"hello, world", "neither a capture, nor an IPFIX file, nor the payload of a flow export"),
        (pcap([])[:10], "capture_header at byte 0: expected 24 bytes, found 10"),
        (b"\x1f\x8b\x08", "compressed at byte 3: expected compressed data"),
        (pcap([bytes(60)], link=147), "1 packets of link type 147, which is not known here"),
    ],
)
def test_a_file_that_cannot_be_read_is_status_2_and_the_others_are_read(
    tmp_path: Path, run: Run, content: bytes, words: str
) -> None:
    bad, good = tmp_path / "bad", capture(tmp_path / "good.pcap", message(basic_template(), a_set(256, basic(1))))
    bad.write_bytes(content)
    seen = run(bad, tmp_path / "absent", good)
    assert seen.status == 2
    assert len(seen.rows) == 1
    assert seen.err[0].startswith(f"flowgauge: {bad}: {words}")
    assert seen.err[-1] == f"flowgauge: {tmp_path / 'absent'}: No such file or directory"


def test_a_capture_that_breaks_off_is_read_as_far_as_it_goes(tmp_path: Path, run: Run) -> None:
    path = capture(tmp_path / "a.pcap", *[message(basic_template(), a_set(256, basic(1)))] * 2)
    path.write_bytes(path.read_bytes()[:-10])
    seen = run(path)
    assert (seen.status, len(seen.rows)) == (0, 1)
    assert seen.err[0].startswith(f"flowgauge: {path}: capture_cut_off at byte ")


def zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


def lz4(content: bytes) -> bytes:
    return bytes(pa.Codec("lz4").compress(content, asbytes=True))


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, zstd, lz4])
def test_compressed_files_of_several_frames_one_behind_the_other(
    tmp_path: Path, run: Run, compress: Callable[[bytes], bytes]
) -> None:
    path = capture(tmp_path / "a", *(message(basic_template(), a_set(256, basic(number))) for number in (1, 2)))
    content = path.read_bytes()
    path.write_bytes(compress(content[:50]) + compress(content[50:]))
    assert [row["bytes"] for row in run(path).rows] == [1, 2]


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, zstd, lz4])
def test_a_compressed_file_that_breaks_off_is_named(tmp_path: Path, run: Run, compress: Callable[[bytes], bytes]) -> None:
    path = capture(tmp_path / "a", message(basic_template(), a_set(256, basic(1))))
    content = path.read_bytes()
    path.write_bytes(compress(content) + compress(content[24:])[:-9])
    seen = run(path)
    assert (seen.status, [row["bytes"] for row in seen.rows]) in ((0, [1]), (0, [1, 1]))
    assert len(seen.err) == 1
    assert seen.err[0].startswith((f"flowgauge: {path}: compressed at byte ", f"flowgauge: {path}: capture_cut_off at byte "))


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, zstd, lz4])
def test_compressed_files(tmp_path: Path, run: Run, compress: Callable[[bytes], bytes]) -> None:
    path = capture(tmp_path / "a", message(basic_template(), a_set(256, basic(1))))
    path.write_bytes(compress(path.read_bytes()))
    assert [row["bytes"] for row in run(path).rows] == [1]


def test_a_folder_stands_for_its_files_by_name(tmp_path: Path, run: Run) -> None:
    (tmp_path / "sub").mkdir()
    capture(tmp_path / "sub" / "2.pcap", message(a_set(256, basic(2)), sequence=1))
    capture(tmp_path / "1.pcap", message(basic_template(), a_set(256, basic(1))))
    (tmp_path / ".hidden").write_bytes(b"?")
    seen = run(tmp_path)
    assert ([row["bytes"] for row in seen.rows], seen.err, seen.status) == ([1, 2], [], 0)


def test_a_folder_without_a_file_is_named(tmp_path: Path, run: Run) -> None:
    (tmp_path / ".hidden").write_bytes(b"?")
    seen = run(tmp_path)
    assert (seen.status, seen.out, seen.err) == (2, b"", [f"flowgauge: {tmp_path}: no file in this folder"])


def test_files_without_times_and_senders(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "flows.ipfix"
    path.write_bytes(message(basic_template()) + message(a_set(256, basic(1))))
    (row,) = run(path).rows
    assert row.keys() & {"time_received_ns", "exporter_addr"} == set()


def test_ipfix_over_tcp(tmp_path: Path, run: Run) -> None:
    first, second = message(basic_template()), message(a_set(256, basic(1)))
    segments = [tcp(b"", 9, SYN), tcp(first + second[:5], 10), tcp(second[5:], 15 + len(first))]
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap(ethernet(ip(segment, 6)) for segment in segments))
    assert [row["bytes"] for row in run(path).rows] == [1]


def test_a_capture_without_exports_says_so(tmp_path: Path, run: Run) -> None:
    seen = run(capture(tmp_path / "a.pcap", b"\0\x05something else", port=53))
    assert (seen.status, seen.out) == (0, b"")
    assert seen.err == [f"flowgauge: {tmp_path / 'a.pcap'}: no flow export among 1 packets"]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """All kinds of records and values."""
    fields = (*BASIC, (70, 3), (71, 3), (60, 1))
    record = basic(1) + bytes((0, 1, 0, 0, 2, 1)) + b"\4"
    payload = message(OPTIONS_TEMPLATE, basic_template(), a_set(2, template(257, fields)), a_set(257, record), OPTIONS)
    return capture(tmp_path / "a.pcap", payload, message(a_set(256, basic(2, proto=47))))


def test_csv_has_the_same_records(mixed: Path, run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("--format", "csv", "--records", "all", mixed).out.decode())))
    assert list(rows[0])[:4] == ["src_addr", "dst_addr", "src_port", "dst_port"]
    assert list(rows[0])[-1] == "extra"
    seen = [{name: value for name, value in row.items() if value} for row in rows]
    expected = run("--records", "all", mixed).rows
    assert [row.keys() for row in seen] == [row.keys() for row in expected]
    assert seen[0]["mpls_labels"] == "16,32"
    assert json.loads(seen[0]["extra"]) == expected[0]["extra"]
    assert [row["bytes"] for row in seen if "bytes" in row] == ["1", "2"]


def test_arrow_has_the_same_records(mixed: Path, run: Run) -> None:
    rows = pa.ipc.open_stream(run("--format", "arrow", "--records", "all", mixed).out).read_all().to_pylist()
    seen = [{name: value for name, value in row.items() if value is not None} for row in rows]
    for row in seen:
        if "extra" in row:
            row["extra"] = json.loads(row["extra"])
    assert seen == run("--records", "all", mixed).rows


def test_no_record_is_still_a_stream_with_its_columns(tmp_path: Path, run: Run) -> None:
    path = capture(tmp_path / "a.pcap", message(basic_template()))
    table = pa.ipc.open_stream(run("--format", "arrow", path).out).read_all()
    assert (table.num_rows, table.column_names[0]) == (0, "src_addr")
    assert run("--format", "csv", path).out.count(b"\n") == 1


class _Terminal(io.StringIO):
    """Somebody who watches standard error."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_how_far_a_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is malformed on lines of its own."""
    path = capture(tmp_path / "watched.pcap", *[message(basic_template(), a_set(256, basic(1)), b"\2\2\0\1")] * 1100)
    terminal = _Terminal()
    monkeypatch.setattr(decode_progress, "QUIET_S", 0)
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["decode", str(path)]) == 0
    shown = terminal.getvalue()
    assert "watched.pcap \x1b" in shown or "watched.pcap ━" in shown
    assert shown.count("set_length") == 1100
    for line in shown.split("\n"):
        assert line.count("flowgauge: ") <= 1
        assert "━" not in line.partition("flowgauge: ")[2]


def test_both_directions_of_a_record_stand_together(tmp_path: Path, run: Run) -> None:
    """Reverse elements (RFC 5103) make a second row, behind the first and before the next record."""
    spec: tuple[Spec, ...] = (*BASIC, (60, 1), (1, 4, 29305), (2, 4, 29305))
    records = [basic(n) + b"\4" + struct.pack("!II", 100 + n, 1) for n in range(3)] + [basic(3) + b"\4" + bytes(8)]
    seen = run(capture(tmp_path / "a.pcap", message(a_set(2, template(256, spec)), a_set(256, *records))))
    assert [row["bytes"] for row in seen.rows] == [0, 100, 1, 101, 2, 102, 3]
    forward, backward = seen.rows[:2]
    assert (forward["src_addr"], forward["src_port"]) == (backward["dst_addr"], backward["dst_port"]) == ("10.0.0.1", 1000)
    assert [row["extra"] for row in seen.rows] == [{"ipVersion": 4}] * 7


def test_pipes_and_readers_that_go_away(tmp_path: Path) -> None:
    """As ``zcat | flowgauge decode /dev/stdin | head -1``: no message, no traceback."""
    payload = message(basic_template(), a_set(256, *[basic(1)] * 60))
    path = capture(tmp_path / "a.pcap", *[payload] * 2000)
    command = f"cat {path} | {' '.join(COMMAND)} /dev/stdin | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=True, env={**os.environ})
    assert done.stderr == ""
    assert json.loads(done.stdout)["bytes"] == 1


def test_a_reader_that_goes_away_in_the_middle_ends_it_quietly(tmp_path: Path) -> None:
    """A megabyte is more than a pipe holds: it is the verb itself that writes to nobody."""
    records = a_set(256, *[basic(size) for size in range(100)])
    path = capture(tmp_path / "a.pcap", message(basic_template()), *[message(records, sequence=100 * n) for n in range(50)])
    command = f"{sys.executable} -m flowgauge.cli.main decode {path} | head -1; echo status ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[1:] in (["status 0"], ["status 141"])
    assert done.stderr == ""
