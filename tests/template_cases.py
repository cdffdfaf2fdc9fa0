# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - a set of a message reads as one line
"""Golden cases of NetFlow v9 and IPFIX after the traps of framing, templates, types and sequence, by encoders of the tests.

Written by ``golden_cases``; ``tests/TRAPS.md`` says which trap is where.
"""

from __future__ import annotations

import struct

from device_cases import ipfix, key, short, v9
from netflow9_kit import BASIC as BASIC9
from netflow9_kit import INTERFACE, flowset, options_template, packet
from netflow9_kit import basic as basic9
from netflow9_kit import basic_template as basic_template9
from netflow9_kit import template as template9
from wire_cases import Case
from wire_kit import BASIC, EXPORT_S, VARIABLE, Spec, a_set, basic, basic_template, message, template

SWAPPED = (*BASIC[:5], (2, 4), (1, 4))
"""As BASIC, packets before bytes."""
KEY: tuple[Spec, ...] = BASIC[:5]
CISCO, CONVERTED, UNKNOWN_PEN = 9, 0xFFFFFFFF, 424242
BROKEN = struct.pack("!HHHH", 256, 3, 8, 4)
"""A template that says three fields and has one."""


def _framing9() -> dict[str, Case]:
    good = flowset(256, basic9(1))
    return {
        "netflow9-datagram-end": v9(
            "Traps 9, 10. Nothing but the end of the datagram ends the packet: the header's count of 0 or 99 bounds nothing, and a"
            " flowset that claims more than there is is named, not read from the next datagram.",
            packet(basic_template9(), good, count=0),
            packet(good, good, count=99, sequence=1),
            packet(good, flowset(256, basic9(7), basic9(8))[:40], sequence=2),
            packet(flowset(256, basic9(9)), sequence=3),
        ),
        "netflow9-flowset-lengths": v9(
            "Trap 11. Flowsets of length 0 to 3: reading ends there, what came before stays.",
            packet(basic_template9()),
            *[
                packet(flowset(256, basic9(10 + length)), struct.pack("!HH", 256, length), flowset(256, basic9(99)), sequence=1 + length)
                for length in range(4)
            ],
        ),
        "netflow9-padding": v9(
            "Trap 13. Padding of up to seven bytes behind the last record, of zeros or of what was in the buffer.",
            packet(basic_template9()),
            *[packet(flowset(256, basic9(pad), pad=pad, fill=b"\0" if pad % 2 else b"\7"), sequence=pad) for pad in range(1, 8)],
        ),
        "netflow9-padding-like-records": v9(
            "Trap 14. Behind records of two bytes, padding of two looks like one more: zeros that align the flowset are none.",
            packet(flowset(0, template9(257, [(4, 1), (5, 1)]))),
            packet(
                flowset(257, b"\x2f\x01", pad=2),
                flowset(257, b"\x2f\x02\x32\x03"),
                flowset(257, b"\x2f\x04", pad=2, fill=b"\x32"),
                sequence=1,
            ),
        ),
        "netflow9-source-ids": v9(
            "Trap 21. Numbers count the packets of a source id: id 1 loses two, which are taken to have held a record each as its"
            " others did, id 2 none; an id that comes after a reload begins"
            " anew and knows no templates of the other.",
            *[packet(basic_template9(), good, sequence=n, source_id=1) for n in (5, 6, 9)],
            *[packet(basic_template9(), good, sequence=n, source_id=2) for n in (100, 101)],
            packet(good, sequence=0, source_id=3),
        ),
        "netflow9-uptime-in-seconds": v9(
            "Trap 23. An uptime in seconds, recognised by its pace against the export time: times of flows count seconds too.",
            packet(basic_template9(), uptime_ms=5000),
            *[
                packet(
                    flowset(256, basic9(n, first_ms=5000 + 60 * n - 30, last_ms=5000 + 60 * n - 10)),
                    sequence=n,
                    uptime_ms=5000 + 60 * n,
                    export_s=EXPORT_S + 60 * n,
                )
                for n in range(1, 5)
            ],
        ),
        "netflow9-field-twice": v9(
            "Trap 29. A field twice in one template: whichever is not zero, and never a shift of what follows.",
            packet(
                flowset(0, template9(258, (*BASIC9[:5], (1, 4), (1, 4), (2, 4)))),
                *[
                    flowset(258, key(n) + struct.pack("!III", first, second, n))
                    for n, (first, second) in enumerate(((500, 0), (0, 600), (700, 700)), start=1)
                ],
            ),
        ),
    }  # fmt: skip


def _templates() -> dict[str, Case]:
    swapped = a_set(2, template(256, SWAPPED))
    options = a_set(3, template(256, [(10, 4), (82, 4)], scope=1))
    two = options_template(256, [(INTERFACE, 4)], [(82, 4)])
    return {
        "templates-by-domain-and-version": ipfix(
            "Trap 32. One exporter, one template id, four layouts: two domains, each in IPFIX and NetFlow v9.",
            message(basic_template(), domain=1),
            message(swapped, domain=2),
            packet(basic_template9(), source_id=1),
            packet(flowset(0, template9(256, (*BASIC9[:5], (2, 4), (1, 4), *BASIC9[7:]))), source_id=2),
            message(a_set(256, basic(10, 3)), domain=1),
            message(a_set(256, basic(3, 20)), domain=2),
            packet(flowset(256, basic9(30, 3)), source_id=1, sequence=1),
            packet(flowset(256, basic9(3, 40)), source_id=2, sequence=1),
        ),
        "templates-change-of-kind": ipfix(
            "Trap 33. An id of data becomes one of options and data again, in IPFIX and in NetFlow v9: always the newest.",
            message(basic_template(), a_set(256, basic(1))),
            message(options, a_set(256, struct.pack("!I4s", 1, b"eth1")), sequence=1),
            message(basic_template(), a_set(256, basic(2)), sequence=2),
            packet(basic_template9(), flowset(256, basic9(3))),
            packet(flowset(1, two), flowset(256, struct.pack("!I4s", 2, b"eth2")), sequence=1),
            packet(basic_template9(), flowset(256, basic9(4)), sequence=2),
        ),
        "templates-redefined": ipfix(
            "Trap 34. A template is redefined in the middle, even within a message: what came before is read by the old layout.",
            message(basic_template(), a_set(256, basic(1, 101))),
            message(a_set(256, basic(2, 102)), swapped, a_set(256, basic(103, 3)), sequence=1),
            message(a_set(256, basic(104, 4)), sequence=3),
            message(basic_template(), a_set(256, basic(5, 105)), sequence=4),
        ),
        "templates-broken-redefinition": ipfix(
            "Trap 35. A redefinition that cannot be used takes the former layout with it: data wait for a good one, which reads"
            " them, instead of being misread by the old one.",
            message(basic_template(), a_set(256, basic(1))),
            message(a_set(2, BROKEN), a_set(256, basic(9, 2)), sequence=1),
            message(swapped, sequence=2),
        ),
        "templates-withdrawn": ipfix(
            "Trap 36. No fields withdraw: one template, all of data, all of options; data of a withdrawn one are not read, and make"
            " no endless records. In NetFlow v9 it is malformed.",
            message(basic_template(), basic_template(257), a_set(3, template(300, [(10, 4), (82, 4)], scope=1))),
            message(a_set(2, struct.pack("!HH", 256, 0)), a_set(256, basic(1)), a_set(257, basic(2))),
            message(a_set(2, struct.pack("!HH", 2, 0)), a_set(257, basic(3)), a_set(300, struct.pack("!I4s", 1, b"eth1")), sequence=1),
            message(a_set(3, struct.pack("!HH", 3, 0)), a_set(300, struct.pack("!I4s", 1, b"eth2")), sequence=2),
            packet(basic_template9(), flowset(256, basic9(4))),
            packet(flowset(0, struct.pack("!HH", 256, 0)), flowset(256, basic9(5)), sequence=1),
        ),
        "templates-of-no-size": ipfix(
            "Trap 37. A template of zero-length fields only cannot be cut into records: refused. One zero-length field beside others"
            " is legal.",
            message(a_set(2, template(256, [(8, 0), (1, 0)])), a_set(256, bytes(64))),
            message(a_set(2, template(257, [(8, 0), (4, 1), (1, 4)])), a_set(257, struct.pack("!BI", 6, 7)), sequence=0),
            packet(flowset(0, template9(258, [(8, 0)])), flowset(258, bytes(64))),
        ),
        "templates-variable-padding": ipfix(
            "Trap 38. A record of variable lengths has at least a byte a field: three zero bytes behind records of four such fields"
            " are padding, not a record.",
            message(
                a_set(2, template(256, [(82, VARIABLE), (96, VARIABLE), (236, VARIABLE), (1, 4)])),
                a_set(256, short(b"eth0") + short(b"") + short(b"red") + struct.pack("!I", 5), bytes(3)),
            ),
        ),
        "templates-options-without-scope": ipfix(
            "Trap 39. An IPFIX options template needs at least one scope field, and at most as many as it has: refused, its data"
            " wait; the next set is read.",
            message(
                a_set(3, struct.pack("!HHHHHHH", 300, 2, 0, 149, 4, 34, 4)),
                a_set(3, struct.pack("!HHHHHHH", 301, 2, 3, 149, 4, 34, 4)),
                a_set(300, struct.pack("!II", 1, 50)),
                basic_template(),
                a_set(256, basic(1)),
            ),
        ),
        "templates-enterprise-options": ipfix(
            "Trap 40. Enterprise elements in options, in the scope too: the bit is no part of the number.",
            message(
                a_set(3, template(300, [(149, 4), (4242, 2, UNKNOWN_PEN), (34, 4), (7, 8, CISCO)], scope=2)),
                a_set(300, struct.pack("!IHIQ", 1, 9, 50, 77)),
            ),
        ),
        "templates-one-domain-restarts": ipfix(
            "Trap 43. One domain restarts and withdraws everything; the other keeps its templates and its numbers.",
            *[message(basic_template(), a_set(256, basic(n)), domain=n, sequence=9000) for n in (1, 2)],
            message(a_set(256, basic(3)), domain=1, sequence=0),
            message(a_set(256, basic(4)), a_set(2, struct.pack("!HH", 2, 0)), domain=1, sequence=1),
            message(a_set(256, basic(5)), domain=2, sequence=9001),
        ),
        "templates-missing-for-one-set": ipfix(
            "Trap 94. Sets without a template, of a reserved id and broken ones cost nothing of their neighbours.",
            message(basic_template(), a_set(300, bytes(20)), a_set(256, basic(1))),
            message(a_set(256, basic(2)), a_set(7, bytes(8)), a_set(256, basic(3)), a_set(2, BROKEN[:6]), a_set(257, b""), sequence=1),
            packet(basic_template9(), flowset(300, bytes(20)), flowset(256, basic9(4)), flowset(9, bytes(4)), flowset(256, basic9(5))),
        ),
    }  # fmt: skip


def _ipfix() -> dict[str, Case]:
    full = a_set(256, *[basic(n) for n in range(10)])
    return {
        "ipfix-several-messages": ipfix(
            "Trap 48. Several messages in one datagram; a length shorter than a header or longer than the datagram ends it.",
            message(basic_template()) + message(a_set(256, basic(1))) + message(a_set(256, basic(2)), sequence=1),
            message(a_set(256, basic(3)), sequence=2) + struct.pack("!HHIII", 10, 15, EXPORT_S, 3, 1) + bytes(20),
            message(a_set(256, basic(4)), sequence=3) + struct.pack("!HHIII", 10, 400, EXPORT_S, 4, 1) + a_set(256, basic(9)),
            message(a_set(256, basic(5)), sequence=4),
        ),
        "ipfix-reserved-sets": ipfix(
            "Trap 49. Sets 0, 1 and 4 to 255 are passed over, by their length; everything else is read.",
            message(a_set(0, bytes(8)), basic_template(), a_set(1, bytes(4)), a_set(256, basic(1)), a_set(255, bytes(12)), a_set(256, basic(2))),
        ),
        "ipfix-variable-lengths": ipfix(
            "Trap 50. One byte of length, or 255 and two, for short values too; a length beyond the set is malformed, the records"
            " before it stay.",
            message(
                a_set(2, template(256, [*KEY, (82, VARIABLE), (1, 4)])),
                a_set(256, key(1) + short(b"eth0") + struct.pack("!I", 1), key(2) + b"\xff\x00\x04eth1" + struct.pack("!I", 2)),
                a_set(256, key(3) + b"\xff" + struct.pack("!H", 300) + b"x" * 300 + struct.pack("!I", 3)),
                a_set(256, key(4) + short(b"") + struct.pack("!I", 4), key(5) + b"\xc8too long"),
                a_set(256, key(6) + short(b"eth6") + struct.pack("!I", 6)),
            ),
        ),
        "ipfix-sequence": ipfix(
            "Trap 51. Numbers count data records, those of options too, templates not, by domain and modulo 2^32; domain 2 loses"
            " five, domain 1 none.",
            message(basic_template(), a_set(3, template(300, [(10, 4), (82, 4)], scope=1)), sequence=2**32 - 11),
            message(full, sequence=2**32 - 11),
            message(a_set(300, struct.pack("!I4s", 1, b"eth1"), struct.pack("!I4s", 2, b"eth2")), sequence=2**32 - 1),
            message(basic_template(), a_set(256, basic(50)), sequence=1),
            message(a_set(256, basic(51)), sequence=2),
            message(basic_template(), full, domain=2, sequence=100),
            message(full, domain=2, sequence=115),
        ),
        "ipfix-numbers-and-booleans": ipfix(
            "Traps 57, 58. Floats of eight bytes sent as four, signed integers of fewer bytes, booleans of 1 (true) and 2 (false).",
            message(
                a_set(2, template(256, [*KEY, (1, 4), (311, 4), (320, 4), (321, 8), (434, 2), (276, 1)])),
                *[a_set(256, key(n) + struct.pack("!Iffdhb", n, 0.25, 1.5, -2.5, -7 * n, n)) for n in (1, 2)],
            ),
        ),
        "ipfix-interfaces": ipfix(
            "Trap 61. Physical interfaces beside logical ones do not replace them; alone they stand in.",
            message(
                a_set(2, template(256, [*KEY, (10, 4), (14, 4), (252, 4), (253, 4), (1, 4)]), template(257, [*KEY, (252, 4), (253, 4), (1, 4)])),
                a_set(256, key(1) + struct.pack("!5I", 3, 4, 30, 40, 1)),
                a_set(257, key(2) + struct.pack("!3I", 30, 40, 2)),
            ),
        ),
        "ipfix-converted-from-netflow9": ipfix(
            "Trap 64. Elements under enterprise 4294967295 are NetFlow v9's own, put there by a converter.",
            message(
                a_set(2, template(256, [*KEY, (1, 4), (40005, 1, CONVERTED), (33002, 2, CONVERTED), (2, 4)])),
                a_set(256, key() + struct.pack("!IBHI", 100, 5, 1001, 3)),
            ),
        ),
        "ipfix-relay": ipfix(
            "Trap 65. Records name the exporter behind a relay, of either family; those that name none are the sender's.",
            message(
                a_set(2, template(256, [(130, 4), *KEY, (1, 4)]), template(257, [(131, 16), *KEY, (1, 4)])),
                a_set(256, *[bytes((10, 9, 9, n)) + key(n) + struct.pack("!I", n) for n in (1, 2)], bytes(4) + key(3) + struct.pack("!I", 3)),
                a_set(257, bytes.fromhex("20010db8000000000000000000000009") + key(4) + struct.pack("!I", 4)),
            ),
        ),
        "ipfix-names-told-again": ipfix(
            "Trap 66. An interface and a VRF are renamed; the same numbers in another domain keep their names.",
            message(a_set(3, _names(), _vrfs()), a_set(300, _name(7, "ge-0/0/7")), a_set(301, _vrf(1, "red")), domain=1),
            message(a_set(3, _names(), _vrfs()), a_set(300, _name(7, "other")), a_set(301, _vrf(1, "blue")), domain=2),
            message(a_set(300, _name(7, "uplink")), a_set(301, _vrf(1, "green")), domain=1, sequence=2),
        ),
        "ipfix-sampling-ratios": ipfix(
            "Traps 67 to 71. Rates as taken and skipped, as a population, as a probability, of every width, in the record before"
            " those of options; a selector's before the system's; options that come behind the flows still hold for the batch.",
            message(
                a_set(2, *[template(256 + n, [*KEY, (1, 4), *rate]) for n, rate in enumerate(_RATES)]),
                *[a_set(256 + n, key(n) + struct.pack("!I", n) + told) for n, told in enumerate(_TOLD)],
                a_set(3, template(300, [(302, 2), (305, 4), (306, 4)], scope=1), template(301, [(149, 4), (34, 4)], scope=1)),
                a_set(300, struct.pack("!HII", 5, 1, 199)),
                a_set(301, struct.pack("!II", 1, 4000)),
            ),
        ),
        "ipfix-rates-of-other-domains": ipfix(
            "Trap 67. Domains 1 and 2 tell rates, which count for them; domain 3 tells none. It has that of interface 7, on which the"
            " others agree; that of interface 8 and of the device, on which they differ, is not known, and said to be disputed.",
            *[_tells(domain, whole=domain * 100, interface_8=domain * 10) for domain in (1, 2)],
            message(a_set(2, _SAMPLED), a_set(256, *[key(n) + struct.pack("!II", n, n) for n in (7, 8, 9)]), domain=3),
        ),
        "ipfix-64-bit-counters": ipfix(
            "Trap 92. Counters beyond 2^53 are written as they are: whoever reads JSON into floats must know it.",
            message(a_set(2, template(256, [*KEY, (1, 8), (2, 8)])), a_set(256, key() + struct.pack("!QQ", 2**64 - 1, 2**53 + 1))),
        ),
    }  # fmt: skip


_RATES: tuple[tuple[Spec, ...], ...] = (
    ((305, 4), (306, 4)), ((309, 2), (310, 2)), ((311, 8),), ((34, 1),), ((34, 8),), ((50, 2),), ((302, 2),), (),
)  # fmt: skip
_TOLD = (
    struct.pack("!II", 2, 1998), struct.pack("!HH", 2, 128), struct.pack("!d", 0.01), b"\x14", struct.pack("!Q", 100_000),
    struct.pack("!H", 512), struct.pack("!H", 5), b"",
)  # fmt: skip


def _tells(domain: int, whole: int, interface_8: int) -> bytes:
    """A message with the rates of a domain, that of interface 7 always 50, and one flow of another interface."""
    return message(
        a_set(3, template(300, [(149, 4), (34, 4)], scope=1), template(301, [(10, 4), (34, 4)], scope=1)),
        a_set(300, struct.pack("!II", domain, whole)),
        a_set(301, struct.pack("!4I", 7, 50, 8, interface_8)),
        a_set(2, _SAMPLED),
        a_set(256, key(domain) + struct.pack("!II", 9, domain)),
        domain=domain,
    )


_SAMPLED = template(256, [*KEY, (10, 4), (1, 4)])


def _names() -> bytes:
    return template(300, [(10, 4), (82, VARIABLE)], scope=1)


def _vrfs() -> bytes:
    return template(301, [(234, 4), (236, VARIABLE)], scope=1)


def _name(index: int, text: str) -> bytes:
    return struct.pack("!I", index) + short(text.encode())


_vrf = _name
CASES: dict[str, Case] = _framing9() | _templates() | _ipfix()
