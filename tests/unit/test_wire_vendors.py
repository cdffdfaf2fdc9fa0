# SPDX-License-Identifier: Apache-2.0
"""Elements of vendors, of NetObserv under any enterprise number, and of users."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from flowgauge.errors import ConfigError
from flowgauge.schema.columns import BY_NAME
from flowgauge.wire.decoder import Decoder
from flowgauge.wire.element_files import elements_from
from flowgauge.wire.elements import DATA_TYPES, Elements, vendors_elements
from ipfix_records_kit import (
    CISCO,
    ENDS,
    IXIA,
    KEY,
    NTOP,
    details,
    one_set,
    rows,
    short,
)
from wire_kit import PEN, VARIABLE, a_set, column, message, template

# --- vendors and users --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pen", [2, 424242, PEN + 1])
def test_netobservs_elements_under_any_enterprise(pen: int) -> None:
    fields = [*KEY, *((number, VARIABLE, pen) for number in range(7733, 7739)), (7740, 8, pen), (7741, VARIABLE, pen),
              (7743, 2, pen), (7744, 2, pen), (7745, 4, pen), (7746, 4, pen), (1, 4)]  # fmt: skip
    names = b"".join(short(name) for name in (b"shop", b"web-1", b"data", b"db-0", b"node-a", b"node-b"))
    record = ENDS + names + struct.pack("!Q", 1_500_000) + short(b"eth0,br-ex") + struct.pack("!HH", 1, 8443)
    record += bytes(4) + bytes((10, 9, 8, 7)) + struct.pack("!I", 5)
    decoded = one_set(fields, record)
    columns = (
        "src_namespace",
        "src_name",
        "dst_namespace",
        "dst_name",
        "src_node",
        "dst_node",
        "rtt_max_ns",
        "observed_if_names",
    )
    assert rows(decoded, *columns) == [("shop", "web-1", "data", "db-0", "node-a", "node-b", 1_500_000, "eth0,br-ex")]
    found = rows(decoded, "post_nat_src_addr", "post_nat_dst_addr", "post_nat_src_port", "post_nat_dst_port")
    assert found == [("", "10.9.8.7", 1, 8443)]


def test_netobservs_numbers_mean_nothing_under_a_vendor_that_is_known() -> None:
    decoded = one_set([*KEY, (7734, VARIABLE, CISCO), (1, 4)], ENDS + short(b"web-1") + struct.pack("!I", 5))
    assert "src_name" not in decoded.flows


def test_the_table_of_vendors_names_each_element_once_with_a_type_and_column_that_there_are() -> None:
    keys = [(element.enterprise, element.number) for element in vendors_elements()]
    assert len(keys) > 1000
    assert keys == sorted(set(keys))
    assert {element.data_type for element in vendors_elements()} <= set(DATA_TYPES)
    assert {element.column for element in vendors_elements()} - {""} <= BY_NAME.keys()


def test_elements_without_a_column_are_told_by_number_and_type() -> None:
    fields = [*KEY, (12235, VARIABLE, CISCO), (118, 2, NTOP), (119, VARIABLE, NTOP), (201, VARIABLE, IXIA), (33, 2, 6871),
              (950, 4, 6876), (143, VARIABLE, 5951), (91, 2, 637), (55, 3, 31337), (33, 1), (1, 4)]  # fmt: skip
    record = ENDS + short(b"\x03ab") + b"\0\x5b" + short(b"TLS") + short(b"example.org") + b"\0\x50"
    record += struct.pack("!I", 1005) + short(b"curl") + b"\0\x09" + b"xyz" + b"\x11" + struct.pack("!I", 5)
    decoded, (detail,) = details(message(a_set(2, template(256, fields)), a_set(256, record)))
    assert rows(decoded, "application_name", "tls_server_name") == [("TLS", "example.org")]
    assert detail.extra == {
        "pen9_12235": [b"\x03ab"], "pen35632_118": [91], "pen6871_33": [80], "pen6876_950": [1005], "pen5951_143": ["curl"],
        "pen637_91": [9], "pen31337_55": [b"xyz"], "igmpType": [0x11],
    }  # fmt: skip


USERS = "enterprise,number,name,type,column\n4242,7,serverName,string,application_name\n4242,8,queueDepth,unsigned32,\n"
USERS_YAML = """
- {enterprise: 4242, number: 7, name: serverName, type: string, column: application_name}
- {enterprise: 4242, number: 8, name: queueDepth, type: unsigned32}
"""


@pytest.mark.parametrize("text", [USERS, USERS_YAML, "\ufeff" + USERS])
def test_users_add_elements(text: str) -> None:
    decoder = Decoder(detailed=True, elements=Elements(32473, elements_from(text, "mine.csv")))
    fields = [*KEY, (7, VARIABLE, 4242), (8, 4, 4242), (1, 4)]
    record = ENDS + short(b"intranet") + struct.pack("!II", 17, 5)
    decoded, (detail,) = details(message(a_set(2, template(256, fields)), a_set(256, record)), decoder=decoder)
    assert column(decoded, "application_name") == ["intranet"]
    assert detail.extra == {"pen4242_8": [17]}


@pytest.mark.parametrize(
    ("text", "message_part"),
    [
        ("enterprise,number,name,type,column\n1,0,a,string,\n", "number is from 1"),
        ("enterprise,number,name,type,column\n1,x,a,string,\n", "number is from 1"),
        ("enterprise,number,name,type,column\n-1,1,a,string,\n", "enterprise is a number"),
        ("enterprise,number,name,type,column\n1,1,a,text,\n", "type 'text' is none of"),
        ("enterprise,number,name,type,column\n1,1,a,string,nonsense\n", "'nonsense' is no column"),
        ("enterprise,number,name,type,column\n1,1,a,string,exporter_addr\n", "is no column that a record can fill"),
        ("enterprise,number,name,type,column\n1,1,a,string,bytes\n", "column bytes takes"),
        ("enterprise,number,name,type,column\n1,1,a,string,\n1,1,b,string,\n", "is there twice"),
        ("{{{", "neither CSV"),
        ("just text", "neither CSV"),
        ("- 1", "neither CSV"),
    ],
)
def test_mistakes_in_a_users_file_are_named(text: str, message_part: str) -> None:
    with pytest.raises(ConfigError) as raised:
        elements_from(text, "mine.csv")
    assert message_part in str(raised.value)
    assert "mine.csv" in str(raised.value)


def test_without_details_nothing_of_this_is_made() -> None:
    decoded = one_set(
        [*KEY, (291, VARIABLE), (1, 4)], ENDS + short(struct.pack("!BHHII", 3, 10, 4, 1, 2)) + struct.pack("!I", 5)
    )
    assert decoded.details == ()
    assert isinstance(decoded.flows.array("bytes"), np.ndarray)
