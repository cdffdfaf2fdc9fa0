# SPDX-License-Identifier: Apache-2.0
"""Every mistake is pointed at, said in one sentence, and mended where that can be guessed."""

from __future__ import annotations

import pytest

from flowgauge.errors import FilterError
from flowgauge.schema.filters import MAX_LENGTH, bound
from flowgauge.schema.filters.parser import MAX_DEPTH


def wrong(text: str) -> FilterError:
    with pytest.raises(FilterError) as caught:
        bound(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "at", "underlined", "message", "suggestion"),
    [
        ("nmspace = a", 0, "nmspace", "no field 'nmspace'", "namespace"),
        ("src.prt = 1", 0, "src.prt", "no field", "src_port"),
        ("qqq = 1 and port = 80", 0, "qqq", "no field", ""),
        ("latency > 5ms", 0, "latency", "no field", "dns_latency_ns"),
        ("port 80", 5, "80", "expected an operator such as = after 'port'", "= 80"),
        ("namespace flow-demo and port = 80", 10, "flow-demo", "expected an operator such as =", "= flow-demo"),
        ("10.244.1.3", 0, "10.244.1.3", "'10.244.1.3' is a value", "addr = 10.244.1.3"),
        ("2001:db8::/32 and port = 80", 0, "2001:db8::/32", "is a value", "addr = 2001:db8::/32"),
        ("proto = tcp and 443", 16, "443", "'443' is a value", "port = 443"),
        ("fe80::1%eth0", 12, "", "expected an operator such as = after 'fe80::1%eth0'", ""),
        ("70000", 5, "", "expected an operator such as = after '70000'", ""),
        ("port and", 5, "and", "expected an operator", ""),
        ("port", 4, "", "the filter ends", ""),
        ("port =", 6, "", "expected a value, the filter ends", ""),
        ("port = 80 proto = tcp", 10, "proto", "expected 'and' or 'or'", "and proto"),
        ("port = 80 && proto = tcp", 10, "&&", "expected 'and' or 'or'", "and"),
        ("port = 80 and", 13, "", "expected a field, the filter ends", ""),
        ("!port = 80", 0, "!", "expected a field", "not"),
        ("and port = 80", 0, "and", "expected a field", ""),
        ("(port = 80", 10, "", "')', the filter ends", ""),
        ("port = 80)", 9, ")", "none is open", ""),
        ("port in 80", 8, "80", "expected '(' and values", ""),
        ("port in (80 81)", 12, "81", "expected ',' or ')'", ""),
        ("port in ()", 9, ")", "expected a value", ""),
        ("port in (80,", 12, "", "expected a value, the filter ends", ""),
        ("port not 80", 5, "not", "expected an operator", ""),
        ("src_name = and", 11, "and", "expected a value", '"and"'),
        ("src_name = 'open", 11, "'open", "quote is not closed", ""),
        ("port = postgrs", 7, "postgrs", "no port", "postgres"),
        ("proto = tpc", 8, "tpc", "no protocol", "tcp"),
        ("port = 80s", 7, "80s", "'s' is no unit of src_port", ""),
        ("bytes > 10Mbit", 8, "10Mbit", "'Mbit' is no unit of bytes", ""),
        ("bytes > many", 8, "many", "'many' is no number such as 10MB", ""),
        ("port = 99999", 7, "99999", "'99999' is out of range: a port is 0 to 65535", ""),
        ("port != 99999", 8, "99999", "a port is 0 to 65535", ""),
        ("dst_port in (80, 65536)", 17, "65536", "a port is 0 to 65535", ""),
        ("dst_port not in (65536, 80)", 17, "65536", "a port is 0 to 65535", ""),
        ("dst_port < 0x10000", 11, "0x10000", "a port is 0 to 65535", ""),
        ("target_port = -1", 14, "-1", "a port is 0 to 65535", ""),
        ("proto = tcp or proto = 256", 23, "256", "a protocol is 0 to 255", ""),
        ("vlan_id = 4096", 10, "4096", "vlan_id is 0 to 4095", ""),
        ("dot1q_customer_vlan_id >= 4096", 26, "4096", "dot1q_customer_vlan_id is 0 to 4095", ""),
        ("ip_tos = 256", 9, "256", "ip_tos is 0 to 255", ""),
        ("icmp_type = 256", 12, "256", "icmp_type is 0 to 255", ""),
        ("icmp_type != -1", 13, "-1", "icmp_type is 0 to 255", ""),
        ("icmp_code > 256", 12, "256", "icmp_code is 0 to 255", ""),
        ("mask = 129", 7, "129", "src_mask is 0 to 128", ""),
        ("tcp_flags = 4096", 12, "4096", "tcp_flags is 0 to 4095", ""),
        ("src_as = 4294967296", 9, "4294967296", "src_as is 0 to 4294967295", ""),
        ("src_uid = 4294967295", 10, "4294967295", "src_uid is 0 to 4294967294", ""),
        ("bytes > -5", 8, "-5", "bytes is 0 to 18446744073709551615 bytes", ""),
        ("bytes < 99999999999999999999999", 8, "99999999999999999999999", "is 0 to 18446744073709551615 bytes", ""),
        ("rtt_avg_ns > 2h", 13, "2h", "rtt_avg_ns is 0 to 4294967295000 ns", ""),
        ("port = 80.5", 7, "80.5", "'80.5' is no value: a port is a whole number", ""),
        ("packets in (1, 1.5)", 15, "1.5", "packets is a whole number of packets", ""),
        ("rtt_avg_ns > 5 ms", 15, "ms", "expected 'and' or 'or'", "and ms"),
        ("flow_direction = in", 17, "in", "expected a value", '"in"'),
        ("flow_direction = ingres", 17, "ingres", "one of ingress, egress, inner", "ingress"),
        ("addr = 10.0.0.300", 7, "10.0.0.300", "no address or CIDR block", ""),
        ("addr = 10.0.0.0/33", 7, "10.0.0.0/33", "'33' is out of range: the prefix length of 10.0.0.0 is 0 to 32", ""),
        ("src_addr != 2001:db8::/-1", 12, "2001:db8::/-1", "the prefix length of 2001:db8:: is 0 to 128", ""),
        ("source in (web, 10.0.0.0/33)", 16, "10.0.0.0/33", "the prefix length of 10.0.0.0 is 0 to 32", ""),
        ("addr = fe80::1%eth0/64", 7, "fe80::1%eth0/64", "no address", ""),
        ("addr < 10.0.0.1", 0, "addr", "use = with a CIDR block", ""),
        ("addr ~ 10", 0, "addr", "use = with a CIDR block", ""),
        ("src_owner > a", 0, "src_owner", "has no order", ""),
        ("bytes ~ 5", 0, "bytes", "no text to match", ""),
        ("source < a", 0, "source", "have no order", ""),
        ("src_mac = 1:2:3", 10, "1:2:3", "no MAC address", ""),
        ("time_end_ns > yesterday", 14, "yesterday", "no time", ""),
        ("time_start_ns > 5", 0, "time_start_ns", "no field 'time_start_ns'", "time_end_ns"),
        ("namespace = flow-*", 12, "flow-*", '~ "^flow-.*$"', ""),
        ('src_owner = ""', 12, '""', "write 'not src_owner exists'", ""),
        ("src_owner ~ '(?=x)'", 13, "(", "no look-around", ""),
        (r"src_owner ~ '(a)\1'", 16, "\\", "references", ""),
        ("src_owner ~ '[b-a]'", 14, "b", "this range is none", ""),
        ("src_owner ~ *a", 12, "*", "nothing to repeat", ""),
        (r'src_owner ~ "a\\\\(b"', 12, r'"a\\\\(b"', "group is not closed", ""),
    ],
)
def test_a_mistake_is_pointed_at(text: str, at: int, underlined: str, message: str, suggestion: str) -> None:
    error = wrong(text)
    assert message in error.message
    assert (error.at, text[error.at : error.at + error.length]) == (at, underlined)
    assert error.suggestion == suggestion


def test_the_carets_stand_below_the_mistake() -> None:
    assert wrong("port = 80 and nmspace = a").pointed() == "port = 80 and nmspace = a\n              ^^^^^^^"


def test_filters_have_a_greatest_length_and_depth() -> None:
    assert "longer than" in wrong("port = 80 or " * MAX_LENGTH).message
    deep = MAX_DEPTH * "("
    assert bound(f"{deep}port = 80{MAX_DEPTH * ')'}") == bound("port = 80")
    assert "nested" in wrong(f"({deep}port = 80){MAX_DEPTH * ')'}").message
    assert "nested" in wrong("not " * (MAX_DEPTH + 1) + "port = 80").message


def test_parentheses_side_by_side_are_not_nested() -> None:
    bound(" or ".join(["(port = 80)"] * (MAX_DEPTH + 5)))
