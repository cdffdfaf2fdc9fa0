# SPDX-License-Identifier: Apache-2.0
"""What filters mean: each picks the rows that a reader of the reference would expect."""

from __future__ import annotations

import pytest

from flowgauge.flow.addresses import from_texts
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.mask import mask
from flowgauge.flow.names import Names
from flowgauge.schema.filters import bound
from flowgauge.schema.filters.tree import Const
from flowgauge.schema.flow_query import EVERYTHING
from store_kit import flows

ROWS = ("to-db", "from-db", "dns", "ping", "probe")


@pytest.fixture(scope="module")
def traffic() -> FlowBatch:
    """Django → postgresql:5432, its answer, a DNS query without names of the server, a ping, an unexpected neighbour."""
    batch = flows(
        "flow-demo", 5, src_port=[40001, 5432, 40002, 0, 40003], dst_port=[5432, 40001, 53, 0, 5432], proto=[6, 6, 17, 1, 6],
        bytes=[1500, 20_000_000, 80, 84, 60], packets=[10, 15_000, 1, 1, 1], rtt_avg_us=[5000, 5001, 0, 0, 4999],
        icmp_type=[-1, -1, -1, 8, -1], flow_direction=[2, 1, 2, 0, 1], dns_latency_us=[0, 0, 2500, 0, 0],
        src_uid=[0, 1000, *[0xFFFFFFFF] * 3],
    )  # fmt: skip
    names = {
        "src_namespace": ("flow-demo", "flow-demo", "flow-demo", "", "other-team"),
        "dst_namespace": ("flow-demo", "flow-demo", "openshift-dns", "flow-demo", "flow-demo"),
        "src_owner": ("django-psql-example", "postgresql", "django-psql-example", "", "probe"),
        "dst_owner": ("postgresql", "django-psql-example", "", "postgresql", "postgresql"),
        "src_name": ("django-1", "postgresql-1", "django-1", "node-a", "probe-1"),
        "src_kind": ("Pod", "Pod", "Pod", "Node", "Pod"),
        "dst_name": ("postgresql-1", "django-1", "", "postgresql-1", "postgresql-1"),
        "dst_kind": ("Pod", "Pod", "", "Pod", "Pod"),
        "observed_if_names": ("eth0,veth1", "veth1", "", "", "eth0"),
    }
    addresses = {
        "src_addr": ("10.0.0.1", "10.0.0.2", "10.0.0.1", "192.0.2.1", "2001:db8::5"),
        "dst_addr": ("10.0.0.2", "10.0.0.1", "10.0.9.9", "10.0.0.2", "2001:db8::2"),
    }
    columns = {name: Names.from_strings(values) for name, values in names.items()}
    return batch.with_columns({**columns, **{name: from_texts(values) for name, values in addresses.items()}})


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("", ROWS),
        ("   ", ROWS),
        # names, either end, without case
        ("src_namespace = flow-demo", ("to-db", "from-db", "dns")),
        ("namespace = Flow-Demo", ROWS),
        ("namespace != flow-demo", ()),
        ("namespace = openshift-dns", ("dns",)),
        ("owner = postgresql and not owner = django-psql-example", ("ping", "probe")),
        ("owner in (probe, nobody)", ("probe",)),
        ("owner not in (probe, postgresql)", ("dns",)),
        ("src.owner = probe", ("probe",)),
        ("SRC_OWNER == 'probe'", ("probe",)),
        ("pod = node-a", ()),
        ("name = node-a", ("ping",)),
        ("src_pod = django-1", ("to-db", "dns")),
        ("source = django-1", ("to-db", "dns")),
        ("source = 192.0.2.0/24", ("ping",)),
        ("source in (192.0.2.1, probe)", ("ping", "probe")),
        ("destination = postgresql", ("to-db", "ping", "probe")),
        ("destination != postgresql", ("from-db", "dns")),
        # precedence: not, and, or
        ("proto = udp or proto = icmp and owner = nobody", ("dns",)),
        ("(proto = udp or proto = icmp) and owner = nobody", ()),
        ("not proto = tcp and port = 53", ("dns",)),
        ("not (proto = tcp and port = 53)", ROWS),
        ("NOT proto = tcp AND NOT proto = icmp", ("dns",)),
        # ports and protocols
        ("port = 5432", ("to-db", "from-db", "probe")),
        ("port = postgresql", ("to-db", "from-db", "probe")),
        ("dst_port in (dns, postgres)", ("to-db", "dns", "probe")),
        ("port < 1024", ("dns",)),
        ("port > 65535", ()),
        ("port <= 65535", ("to-db", "from-db", "dns", "probe")),
        ("port >= 40002", ("dns", "probe")),
        ("protocol = TCP", ("to-db", "from-db", "probe")),
        ("proto in (udp, 1)", ("dns", "ping")),
        ("proto > 6", ("dns",)),
        ("port = 0", ()),
        ("not port exists", ("ping",)),
        # absent: equals nothing, is in no range; not of it is true
        ("icmp_type = 8", ("ping",)),
        ("icmp_type < 100", ("ping",)),
        ("src_uid < 1000", ("to-db",)),
        ("src_uid >= 0", ("to-db", "from-db")),
        ("src_uid > 999", ("from-db",)),
        ("src_uid = 0", ("to-db",)),
        ("src_uid exists", ("to-db", "from-db")),
        ("not icmp_type = 8", ("to-db", "from-db", "dns", "probe")),
        ("icmp_type != 8", ("to-db", "from-db", "dns", "probe")),
        ("rtt_avg_ns < 1h", ("to-db", "from-db", "probe")),
        ("rtt_avg_ns = 0", ()),
        ("dst_owner exists", ("to-db", "from-db", "ping", "probe")),
        ("not src_namespace exists", ("ping",)),
        ("flow_direction exists", ("to-db", "from-db", "dns", "probe")),
        ("exporter_addr exists", ()),
        ("dst_owner ~ '.*'", ("to-db", "from-db", "ping", "probe")),
        ("drop_cause !~ x", ROWS),
        # quantities in any unit, exact at the edge of the physical unit
        ("bytes > 1kB", ("to-db", "from-db")),
        ("bytes >= 20MB", ("from-db",)),
        ("bytes > 20MB", ()),
        ("bytes = 1.5kB", ("to-db",)),
        ("bytes < 1KiB", ("dns", "ping", "probe")),
        ("packets = 15k", ("from-db",)),
        ("packets >= 15_000", ("from-db",)),
        ("rtt_avg_ns > 5ms", ("from-db",)),
        ("rtt_avg_ns >= 5ms", ("to-db", "from-db")),
        ("rtt_avg_ns > 4999001", ("to-db", "from-db")),
        ("rtt_avg_ns >= 4999001", ("to-db", "from-db")),
        ("rtt_avg_ns = 5000001", ()),
        ("rtt_avg_ns = 5000µs", ("to-db",)),
        ("dns_latency_ns = 2.5ms", ("dns",)),
        ("bytes <= 18446744073709551615", ROWS),
        ("bytes > 18446744073709551615", ()),
        # enumerations, lists, addresses
        ("flow_direction = Egress", ("to-db", "dns")),
        ("flow_direction in (egress, ingress)", ("to-db", "from-db", "dns", "probe")),
        ("observed_if_names = veth1", ("to-db", "from-db")),
        ("observed_if_names ~ ^eth", ("to-db", "probe")),
        ("addr = 10.0.0.2", ("to-db", "from-db", "ping")),
        ("addr = 10.0.9.0/24", ("dns",)),
        ("addr = 10.0.9.77/24", ("dns",)),
        ("src_addr = ::/0", ("probe",)),
        ("src_addr = 0.0.0.0/0", ("to-db", "from-db", "dns", "ping")),
        ("src_addr = 2001:DB8::/32", ("probe",)),
        ("src_addr in (192.0.2.1, 10.0.0.2, 2001:db8::/64)", ("from-db", "ping", "probe")),
        ("src_addr != 10.0.0.0/8", ("ping", "probe")),
        ("src_addr = ::ffff:10.0.0.1", ("to-db", "dns")),
        ("src_addr = private", ("to-db", "from-db", "dns")),
        ("src_addr = Public", ("ping", "probe")),
        ("addr in (public, 10.0.9.9)", ("dns", "ping", "probe")),
        ("src_addr != private", ("ping", "probe")),
        # patterns: anywhere, without case
        ("src_owner ~ psql", ("to-db", "dns")),
        ("src_owner ~ PSQL", ("to-db", "dns")),
        ("owner ~ '^(probe|nobody)$'", ("probe",)),
        ("src_owner ~ ^p", ("from-db", "probe")),
        (r'src_name ~ "-\d$"', ("to-db", "from-db", "dns", "probe")),
        ("src_owner !~ p", ("ping",)),
    ],
)
def test_meaning(traffic: FlowBatch, text: str, chosen: tuple[str, ...]) -> None:
    passed = mask(bound(text), traffic)
    assert tuple(name for name, passes in zip(ROWS, passed.tolist(), strict=True) if passes) == chosen


def test_no_filter_is_every_flow() -> None:
    assert bound("") == EVERYTHING


def test_what_is_certain_before_any_flow_is_seen_is_a_constant() -> None:
    assert bound("rtt_avg_ns = 1ns") == Const(value=False)
    assert bound("proto exists") == Const(value=True)
    assert bound("proto = tcp and rtt_avg_ns = 1ns") == Const(value=False)


@pytest.mark.parametrize(
    ("reach", "addresses"),
    [
        pytest.param(
            "private",
            "10.255.255.255 172.16.0.0 172.31.255.255 192.168.1.1 100.64.0.1 100.127.255.255 "
            "169.254.9.9 127.0.0.1 ::1 fd00::1 fe80::1",
            id="private",
        ),
        pytest.param(
            "public",
            "9.255.255.255 11.0.0.0 172.15.255.255 172.32.0.0 192.169.0.0 100.63.255.255 100.128.0.0 "
            "223.255.255.255 2001:db8::1 fbff::1",
            id="public",
        ),
        pytest.param("", ":: 0.0.0.0 224.0.0.251 255.255.255.255 ff02::fb", id="of no host"),
    ],
)  # fmt: skip
def test_how_far_away_an_address_may_be(reach: str, addresses: str) -> None:
    texts = addresses.split()
    batch = FlowBatch({"src_addr": from_texts(texts)})
    chosen = {word: mask(bound(f"src_addr = {word}"), batch).tolist() for word in ("private", "public")}
    assert chosen == {word: [word == reach] * len(texts) for word in chosen}


def test_a_column_that_a_batch_lacks_is_absent_in_every_row() -> None:
    batch = FlowBatch({}, 3)
    assert not mask(bound("src_owner = a or bytes > 5 or src_addr = ::/0 or observed_if_names ~ ."), batch).any()
    assert mask(bound("not src_owner exists"), batch).all()


def test_times_are_moments_or_nanoseconds() -> None:
    batch = flows("times", 2).with_columns({"time_end_ms": flows("times", 2).array("time_end_ms") * 0 + [1000, 2000]})
    assert mask(bound("time_end_ns > 1000000000"), batch).tolist() == [False, True]
    assert mask(bound('time_end_ns >= "1970-01-01T00:00:02Z"'), batch).tolist() == [False, True]
    assert mask(bound("time_end_ns < 1970-01-01T01:00:01.5+01:00"), batch).tolist() == [True, False]
