# SPDX-License-Identifier: Apache-2.0
"""The document's elements and its choice of tunnels in the collector's decoders."""

from __future__ import annotations

import queue
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import sflow_kit
from flowgauge.collector.decoders import Decoders
from flowgauge.collector.kafka_source import KafkaSource
from flowgauge.collector.listeners import make_listeners
from flowgauge.collector.senders import Refusals
from flowgauge.collector.settings import CollectorSettings
from flowgauge.config.model import Collector
from flowgauge.errors import ConfigError, UsageError
from flowgauge.flow.addresses import to_text
from flowgauge.runtime.ledger import Ledger
from flowgauge.wire.decoder import Decoder
from wire_kit import a_set, column, decode, message

ENTERPRISE, NUMBER = 64999, 7
RECORD = struct.pack("!III", 900, 3, 30)


def settings(**collector: object) -> CollectorSettings:
    return CollectorSettings(store_url="http://127.0.0.1:1", collector=Collector.model_validate(collector))


def payload() -> bytes:
    """One flow: octets, packets, and 30 in an element that only its maker knows."""
    fields = struct.pack("!HHHHHHI", 1, 4, 2, 4, NUMBER | 0x8000, 4, ENTERPRISE)
    return message(a_set(2, struct.pack("!HH", 300, 3) + fields), a_set(300, RECORD))


def data() -> bytes:
    """The same flow, by the template that was sent before."""
    return message(a_set(300, RECORD))


def test_an_element_of_the_users_fills_its_column_in_every_decoder(tmp_path: Path) -> None:
    file = tmp_path / "ours.csv"
    file.write_text(f"enterprise,number,name,type,column\n{ENTERPRISE},{NUMBER},acmeInterface,unsigned32,in_if\n")
    make = Decoders(settings(elements=[str(file)]))
    assert [column(decode(payload(), decoder=make()), "in_if") for _ in range(2)] == [[30], [30]]
    assert column(decode(payload(), decoder=Decoders(settings())()), "in_if") != [30]


def test_messages_of_a_kafka_topic_are_read_with_them_too(tmp_path: Path) -> None:
    file = tmp_path / "ours.csv"
    file.write_text(f"enterprise,number,name,type,column\n{ENTERPRISE},{NUMBER},acmeInterface,unsigned32,in_if\n")
    kafka = {"brokers": "127.0.0.1:1", "topic": "flows"}
    wanted = settings(elements=[str(file)], kafka=kafka, port=0)
    found = make_listeners(wanted, queue.SimpleQueue(), Ledger("collector", "x@1"), Refusals(), Decoders(wanted))
    try:
        (source,) = (one for one in found if isinstance(one, KafkaSource))
        assert isinstance(source.road.decoder, Decoder)
        assert column(decode(payload(), decoder=source.road.decoder), "in_if") == [30]
    finally:
        for one in found:
            one.stop()


def test_a_wrong_file_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "ours.csv"
    file.write_text(f"enterprise,number,name,type,column\n{ENTERPRISE},{NUMBER},acmeInterface,unsigned33,in_if\n")
    with pytest.raises(ConfigError, match=r"ours\.csv") as caught:
        Decoders(settings(elements=[str(file)]))
    assert "2" in str(caught.value)
    with pytest.raises(UsageError, match=r"spec\.collector\.elements .*absent\.csv: No such file"):
        Decoders(settings(elements=[str(tmp_path / "absent.csv")]))


@pytest.mark.parametrize(("tunnels", "ends"), [("outer", ["192.0.2.1", "192.0.2.2"]), ("inner", ["10.0.0.1", "10.0.0.2"])])
def test_the_packet_of_a_tunnel_is_the_outer_or_the_inner_one(tunnels: str, ends: list[str]) -> None:
    within = sflow_kit.ipv4(6, sflow_kit.tcp(), src="10.0.0.1", dst="10.0.0.2")
    frame = sflow_kit.ethernet(0x0800, sflow_kit.ipv4(4, within, src="192.0.2.1", dst="192.0.2.2"))
    found = decode(
        sflow_kit.datagram(sflow_kit.flow_sample(sflow_kit.raw(frame))), decoder=Decoders(settings(tunnels=tunnels))()
    )
    assert [to_text(bytes(found.flows.array(name)[0])) for name in ("src_addr", "dst_addr")] == ends


def test_a_changed_file_holds_for_decoders_that_are_at_work_and_a_wrong_one_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "ours.csv"
    file.write_text(f"enterprise,number,name,type,column\n{ENTERPRISE},{NUMBER},acmeInterface,unsigned32,in_if\n")
    wanted = settings(elements=[str(file)])
    make = Decoders(wanted)
    decoder = make()
    assert column(decode(payload(), decoder=decoder), "in_if") == [30]
    file.write_text(f"enterprise,number,name,type,column\n{ENTERPRISE},{NUMBER},acmeInterface,unsigned32,out_if\n")
    make.apply(wanted)
    assert column(decode(data(), decoder=decoder), "out_if") == [30]
    file.write_text("no elements")
    make.apply(wanted)
    assert column(decode(data(), decoder=decoder), "out_if") == [30]
    make.apply(settings())
    assert column(decode(data(), decoder=decoder), "out_if") == [0]


def test_the_libraries_of_grpc_and_kafka_are_loaded_only_where_something_comes_that_way() -> None:
    program = (
        "import sys, flowgauge.collector.main, flowgauge.collector.receive_process; "
        "heavy = {'grpc', 'confluent_kafka'} & set(sys.modules); sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
