# SPDX-License-Identifier: Apache-2.0
"""Counter samples: an interface's or a host's cumulative counters, as plain values. They come every 20 s or so, hence few.

Names are those of the MIB object or of the sFlow structure. Formats that are not in the table are passed over by length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from flowgauge.schema.enums import FLOW_FORMAT, code
from flowgauge.wire.decoded import CounterData, OptionsData, Value
from flowgauge.wire.intake import Intake
from flowgauge.wire.sflow.headers import Heads
from flowgauge.wire.sflow.parts import Parts
from flowgauge.wire.sflow.samples import Samples
from flowgauge.wire.texts import MAX_TEXT_BYTES, text_of

MAX_SAMPLES = 2048
"""Counter samples read of one batch; each costs time. A thousand interfaces polled at once are half of that."""

IF_COUNTERS, PORT_NAME, HOST_DESCRIPTION = 1, 1005, 2000

_SFLOW5 = code(FLOW_FORMAT, "sflow5")
_STATUS = {0: "down", 1: "admin_up", 2: "oper_up", 3: "up"}
_NETWORK = "bytes_in:Q pkts_in:I errs_in:I drops_in:I bytes_out:Q pkts_out:I errs_out:I drops_out:I"
_FORMATS: Mapping[int, str] = {
    IF_COUNTERS: """
        ifIndex:I ifType:I ifSpeed:Q ifDirection:I ifStatus:I ifInOctets:Q ifInUcastPkts:I ifInMulticastPkts:I
        ifInBroadcastPkts:I ifInDiscards:I ifInErrors:I ifInUnknownProtos:I ifOutOctets:Q ifOutUcastPkts:I
        ifOutMulticastPkts:I ifOutBroadcastPkts:I ifOutDiscards:I ifOutErrors:I ifPromiscuousMode:I""",
    2: """
        dot3StatsAlignmentErrors:I dot3StatsFCSErrors:I dot3StatsSingleCollisionFrames:I dot3StatsMultipleCollisionFrames:I
        dot3StatsSQETestErrors:I dot3StatsDeferredTransmissions:I dot3StatsLateCollisions:I dot3StatsExcessiveCollisions:I
        dot3StatsInternalMacTransmitErrors:I dot3StatsCarrierSenseErrors:I dot3StatsFrameTooLongs:I
        dot3StatsInternalMacReceiveErrors:I dot3StatsSymbolErrors:I""",
    5: "vlan_id:I octets:Q ucastPkts:I multicastPkts:I broadcastPkts:I discards:I",
    6: """
        dot11TransmittedFragmentCount:I dot11MulticastTransmittedFrameCount:I dot11FailedCount:I dot11RetryCount:I
        dot11MultipleRetryCount:I dot11FrameDuplicateCount:I dot11RTSSuccessCount:I dot11RTSFailureCount:I
        dot11ACKFailureCount:I dot11ReceivedFragmentCount:I dot11MulticastReceivedFrameCount:I dot11FCSErrorCount:I
        dot11TransmittedFrameCount:I dot11WEPUndecryptableCount:I dot11QoSDiscardedFragmentCount:I
        dot11AssociatedStationCount:I dot11QoSCFPollsReceivedCount:I dot11QoSCFPollsUnusedCount:I
        dot11QoSCFPollsUnusableCount:I dot11QoSCFPollsLostCount:I""",
    7: """
        dot3adAggPortActorSystemID:6s2x dot3adAggPortPartnerOperSystemID:6s2x dot3adAggPortAttachedAggID:I
        dot3adAggPortState:4s dot3adAggPortStatsLACPDUsRx:I dot3adAggPortStatsMarkerPDUsRx:I
        dot3adAggPortStatsMarkerResponsePDUsRx:I dot3adAggPortStatsUnknownRx:I dot3adAggPortStatsIllegalRx:I
        dot3adAggPortStatsLACPDUsTx:I dot3adAggPortStatsMarkerPDUsTx:I dot3adAggPortStatsMarkerResponsePDUsTx:I""",
    1001: "cpu_5s:I cpu_1m:I cpu_5m:I total_memory:Q free_memory:Q",
    1002: "elapsed_time:I on_channel_time:I on_channel_busy_time:I",
    1004: "datapath_id:Q port_no:I",
    2003: """
        load_one:f load_five:f load_fifteen:f proc_run:I proc_total:I cpu_num:I cpu_speed:I uptime:I cpu_user:I cpu_nice:I
        cpu_system:I cpu_idle:I cpu_wio:I cpu_intr:I cpu_sintr:I interrupts:I contexts:I""",
    2004: """
        mem_total:Q mem_free:Q mem_shared:Q mem_buffers:Q mem_cached:Q swap_total:Q swap_free:Q page_in:I page_out:I
        swap_in:I swap_out:I""",
    2005: """
        disk_total:Q disk_free:Q part_max_used:I reads:I bytes_read:Q read_time:I writes:I bytes_written:Q write_time:I""",
    2006: _NETWORK,
    2007: """
        ipForwarding:I ipDefaultTTL:I ipInReceives:I ipInHdrErrors:I ipInAddrErrors:I ipForwDatagrams:I ipInUnknownProtos:I
        ipInDiscards:I ipInDelivers:I ipOutRequests:I ipOutDiscards:I ipOutNoRoutes:I ipReasmTimeout:I ipReasmReqds:I
        ipReasmOKs:I ipReasmFails:I ipFragOKs:I ipFragFails:I ipFragCreates:I""",
    2008: """
        icmpInMsgs:I icmpInErrors:I icmpInDestUnreachs:I icmpInTimeExcds:I icmpInParamProbs:I icmpInSrcQuenchs:I
        icmpInRedirects:I icmpInEchos:I icmpInEchoReps:I icmpInTimestamps:I icmpInAddrMasks:I icmpInAddrMaskReps:I
        icmpOutMsgs:I icmpOutErrors:I icmpOutDestUnreachs:I icmpOutTimeExcds:I icmpOutParamProbs:I icmpOutSrcQuenchs:I
        icmpOutRedirects:I icmpOutEchos:I icmpOutEchoReps:I icmpOutTimestamps:I icmpOutTimestampReps:I icmpOutAddrMasks:I
        icmpOutAddrMaskReps:I""",
    2009: """
        tcpRtoAlgorithm:I tcpRtoMin:I tcpRtoMax:I tcpMaxConn:I tcpActiveOpens:I tcpPassiveOpens:I tcpAttemptFails:I
        tcpEstabResets:I tcpCurrEstab:I tcpInSegs:I tcpOutSegs:I tcpRetransSegs:I tcpInErrs:I tcpOutRsts:I tcpInCsumErrs:I""",
    2010: """
        udpInDatagrams:I udpNoPorts:I udpInErrors:I udpOutDatagrams:I udpRcvbufErrors:I udpSndbufErrors:I
        udpInCsumErrors:I""",
    2100: "mhz:I cpus:I memory:Q memory_free:Q num_domains:I",
    2101: "state:I cpu_time:I nr_virt_cpu:I",
    2102: "memory:Q max_memory:Q",
    2103: "capacity:Q allocation:Q available:Q rd_req:I rd_bytes:Q wr_req:I wr_bytes:Q errs:I",
    2104: _NETWORK,
}
"""Format → its fields, each with its type as ``struct`` writes it; bytes are shown as MAC addresses are."""
_COMPILED = {
    tag: (struct.Struct("!" + "".join(kind for _, kind in fields)), [name for name, _ in fields])
    for tag, fields in ((tag, [field.split(":") for field in text.split()]) for tag, text in _FORMATS.items())
}
READ = frozenset({*_FORMATS, PORT_NAME, HOST_DESCRIPTION})


def counters(intake: Intake, heads: Heads, samples: Samples, parts: Parts) -> tuple[list[CounterData], list[OptionsData]]:
    """The counters of each sample, and the names of interfaces and hosts among them."""
    found: list[CounterData] = []
    told: list[OptionsData] = []
    read = min(len(samples), MAX_SAMPLES)
    intake.counts["decode_counter_samples_shed"] += len(samples) - read
    for sample, values in _values(intake, samples, parts, read):
        head = int(samples.head[sample])
        datagram = int(heads.datagram[head])
        one = CounterData(
            exporter_addr=heads.agent[head].tobytes(),
            obs_domain_id=int(heads.sub_agent[head]),
            source_type=int(samples.words["source_type"][sample]),
            source_index=int(samples.words["source_index"][sample]),
            values=values,
            received_ns=int(intake.origins.received_ns[datagram]),
            position=intake.origins.position(datagram, int(samples.start[sample])),
        )
        found.append(one)
        if name := values.get("ifName"):
            index = values.get("ifIndex", one.source_index)
            record = {"ingressInterface": index, "interfaceName": name}
            told.append(
                OptionsData(
                    exporter_addr=one.exporter_addr,
                    obs_domain_id=one.obs_domain_id,
                    records=(record,),
                    received_ns=one.received_ns,
                    flow_format=_SFLOW5,
                    position=one.position,
                )
            )
    intake.counts["decode_options_records"] += len(told)
    return found, told


def _values(intake: Intake, samples: Samples, parts: Parts, most: int) -> Iterator[tuple[int, Mapping[str, Value]]]:
    """Each sample's values by name, of all its records together."""
    at, owners, tags = 0, parts.owner.tolist(), parts.tag.tolist()
    starts, ends = parts.start.tolist(), parts.end.tolist()
    for sample in range(most):
        values: dict[str, Value] = {}
        while at < len(owners) and owners[at] == sample:
            if tags[at] in READ:
                content = bytes(intake.view.memory[starts[at] : ends[at]])
                read = _record(tags[at], content)
                if read is None:
                    intake.problems.add(
                        int(samples.datagram[sample]),
                        starts[at],
                        "counter_fields",
                        f"format {tags[at]}",
                        f"{len(content)} bytes",
                    )
                else:
                    values |= read
            at += 1
        yield sample, values


def _record(tag: int, content: bytes) -> dict[str, Value] | None:
    """The values of one record; None when it is too short for its format."""
    if tag in (PORT_NAME, HOST_DESCRIPTION):
        name = _text(content)
        return None if name is None else {"ifName" if tag == PORT_NAME else "hostname": name}
    form, names = _COMPILED[tag]
    if len(content) < form.size:
        return None
    read = (value.hex(":") if isinstance(value, bytes) else value for value in form.unpack_from(content))
    values: dict[str, Value] = dict(zip(names, read, strict=True))
    if tag == IF_COUNTERS:
        values["ifStatus"] = _STATUS[int(values["ifStatus"]) & 3]
    return values


def _text(content: bytes) -> str | None:
    """The string at the beginning: four bytes of length, then its bytes."""
    length = int.from_bytes(content[:4], "big")
    if len(content) < 4 + length:
        return None
    return text_of(content[4 : 4 + min(length, MAX_TEXT_BYTES)])
