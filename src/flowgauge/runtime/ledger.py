# SPDX-License-Identifier: Apache-2.0
"""The ledger: every place where a flow can be lost, thinned or marked owns a counter, and the counters add up.

The same names are used in logs, ``/metrics``, the API, CLI footers and the store's ``ledger`` table. Two sums hold:

* packets, in the kernel: seen = in flows + seen before (another hook of the node) + each loss or choice of stage ``kernel``;
* records, from agent to store: offered = stored + options consumed + each loss of the stages ``export`` to ``store``.

Values are cumulative since the instance started; an instance's name ends in its start time, so a restart is a new instance.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Sum(StrEnum):
    """The side of its stage's sum on which a counter stands."""

    OFFERED = "offered"
    KEPT = "kept"
    LOST = "lost"
    CHOSEN = "chosen"
    """Left out on purpose (sampling, filters, not IP)."""
    NOTE = "note"
    """Explains another counter and is not part of a sum."""


@dataclass(frozen=True, slots=True)
class Counter:
    """One counter: ``name`` is stage and cause, ``enterprise`` its IPFIX element when agents send it (0 otherwise)."""

    name: str
    unit: str
    side: Sum
    help: str
    enterprise: int = 0


COUNTERS: tuple[Counter, ...] = (
    # Packets, counted by the eBPF programs. Elements 200–255 are for options data and are never reused.
    Counter("kernel_packets_seen", "packets", Sum.OFFERED, "Packets (after GSO segmentation) that a hook saw.", 200),
    Counter("kernel_packets_in_flows", "packets", Sum.KEPT, "Packets added to a flow.", 201),
    Counter("kernel_packets_seen_before", "packets", Sum.CHOSEN, "Packets another hook of the node had counted.", 202),
    Counter("kernel_packets_sampled_out", "packets", Sum.CHOSEN, "Packets left out by sampling.", 203),
    Counter(
        "kernel_packets_filtered",
        "packets",
        Sum.CHOSEN,
        "Packets left out by the document's choice of pods, and by its rules.",
        204,
    ),
    Counter("kernel_packets_not_ip", "packets", Sum.CHOSEN, "Frames that are not IP (ARP, LLDP …).", 205),
    Counter("kernel_packets_parse_error", "packets", Sum.LOST, "IP packets too short or malformed to have a flow.", 206),
    Counter("kernel_packets_table_full", "packets", Sum.LOST, "Packets of new flows that found the flow table full.", 207),
    Counter(
        "kernel_packets_ring_full", "packets", Sum.LOST, "Packets that came faster than the agent took them, without eBPF.", 220
    ),
    # Signals beside packets: what found its table full within one export interval.
    Counter(
        "kernel_sockets_full", "events", Sum.NOTE, "Events of TCP sockets (RTT, retransmission, end) that found no room.", 214
    ),
    Counter("kernel_drops_full", "events", Sum.NOTE, "Dropped packets whose cause found no room.", 215),
    Counter("kernel_answers_full", "events", Sum.NOTE, "DNS answers that found no room.", 216),
    Counter("kernel_answer_pieces_full", "events", Sum.NOTE, "DNS answers whose addresses found no room.", 230),
    Counter("kernel_replies_full", "events", Sum.NOTE, "Replies of servers whose time found no room.", 217),
    Counter(
        "kernel_events_full", "events", Sum.NOTE, "Events of sockets (connected, failed, closed …) that found no room.", 218
    ),
    Counter("kernel_hellos_full", "packets", Sum.NOTE, "Packets with hellos of TLS or QUIC that found no room.", 221),
    Counter("kernel_icmp_errors_full", "events", Sum.NOTE, "Errors of ICMP whose flow found no room.", 223),
    Counter("kernel_tunnels_full", "flows", Sum.NOTE, "Flows in tunnels whose tunnel found no room.", 224),
    Counter("kernel_macs_full", "flows", Sum.NOTE, "Flows whose Ethernet addresses found no room.", 248),
    Counter("kernel_notes_full", "events", Sum.NOTE, "Notes on flows (device, handshake time) that found no room.", 246),
    Counter(
        "kernel_answers_not_asked", "answers", Sum.NOTE, "DNS answers to another question than was asked, not believed.", 247
    ),
    Counter(
        "signal_hellos_unread",
        "hellos",
        Sum.NOTE,
        "Hellos of TLS or QUIC that were cut off, malformed, or too many at once.",
        222,
    ),
    Counter(
        "signal_answers_unread", "answers", Sum.NOTE, "Answers of DNS that were cut off or malformed, in part or whole.", 231
    ),
    Counter("signal_names_left_out", "names", Sum.NOTE, "Names from DNS that collectors were not told: too many at once.", 232),
    # Packet heads in memory: seen = still there + overwritten + missed.
    Counter("heads_seen", "packets", Sum.NOTE, "Packets whose headers were to be kept in memory."),
    Counter("heads_overwritten", "packets", Sum.NOTE, "Headers that made room for newer ones, the oldest first."),
    Counter("heads_missed", "packets", Sum.NOTE, "Headers that found no room: too many at once, or what is there was frozen."),
    Counter("clock_steps", "steps", Sum.NOTE, "Times that the machine's clock was set by a second or more, or that it slept."),
    # Records, agent to wire.
    Counter("eviction_flows", "records", Sum.NOTE, "Flow records read from the kernel.", 210),
    Counter("eviction_lost", "records", Sum.LOST, "Flow records taken from the kernel and lost before they were told.", 211),
    Counter("export_records_sent", "records", Sum.OFFERED, "Data records (flows and options) handed to the network.", 212),
    Counter("export_records_failed", "records", Sum.LOST, "Data records that could not be handed to the network.", 213),
    # Records, wire to store.
    Counter("receive_datagrams", "datagrams", Sum.NOTE, "Datagrams received."),
    Counter("receive_bytes", "bytes", Sum.NOTE, "Payload bytes received."),
    Counter("receive_socket_drops", "datagrams", Sum.NOTE, "Datagrams the kernel dropped because the socket was full."),
    Counter("receive_truncated", "datagrams", Sum.NOTE, "Datagrams longer than the receive buffer."),
    Counter("receive_queue_full", "datagrams", Sum.NOTE, "Datagrams dropped because the decoder fell behind."),
    Counter("sequence_gap_records", "records", Sum.LOST, "Records missing from the exporters' sequence numbers."),
    Counter("decode_records", "records", Sum.NOTE, "Flow records decoded."),
    Counter("decode_options_records", "records", Sum.KEPT, "Options records decoded and used."),
    Counter("decode_error_datagrams", "datagrams", Sum.NOTE, "Datagrams with a malformed part."),
    Counter("decode_unknown_template_sets", "sets", Sum.NOTE, "Data sets whose template is not known (yet)."),
    Counter("decode_unknown_version", "datagrams", Sum.NOTE, "Datagrams of a version we do not decode."),
    Counter("decode_late_records", "records", Sum.NOTE, "Records that waited for their template and were decoded then."),
    Counter("decode_pending_dropped_sets", "sets", Sum.NOTE, "Data sets given up because no template came for them."),
    Counter("decode_template_changes", "templates", Sum.NOTE, "Templates that were new, redefined or withdrawn."),
    Counter("sequence_late_datagrams", "datagrams", Sum.NOTE, "Datagrams that others had overtaken; nothing was lost."),
    Counter("sequence_duplicate_datagrams", "datagrams", Sum.NOTE, "Datagrams that came twice; their records count twice."),
    Counter("sequence_resets", "resets", Sum.NOTE, "Exporters that began to count again: they restarted."),
    Counter("pipeline_duplicates_marked", "records", Sum.NOTE, "Flows marked as another observation of counted packets."),
    Counter("pipeline_duplicates_dropped", "records", Sum.CHOSEN, "Flows dropped as duplicates (deduplicate: Drop)."),
    Counter("pipeline_late", "records", Sum.LOST, "Flows older than the store accepts."),
    Counter("pipeline_queue_full", "records", Sum.LOST, "Flows dropped because the writer fell behind."),
    Counter("store_rows_written", "records", Sum.KEPT, "Flows whose insert returned: durable and queryable."),
    Counter("store_rows_failed", "records", Sum.LOST, "Flows given up after the store refused them."),
    Counter("store_insert_retries", "batches", Sum.NOTE, "Inserts tried again."),
    Counter("live_rows_dropped", "records", Sum.NOTE, "Rows a slow live viewer did not get (they are stored all the same)."),
    Counter("pipeline_failed", "records", Sum.LOST, "Flows lost to a mistake of ours in the pipeline; the log says which."),
    # At the door.
    Counter("receive_refused", "datagrams", Sum.NOTE, "Datagrams, connections and calls of senders that may not send."),
    Counter("receive_calls_refused", "calls", Sum.NOTE, "gRPC calls told to come again, since too much waited."),
    Counter("receive_connections", "connections", Sum.NOTE, "TCP and TLS connections accepted."),
    Counter("receive_connections_refused", "connections", Sum.NOTE, "Connections refused because there were too many."),
    Counter("receive_connections_failed", "connections", Sum.NOTE, "Connections closed by us: no TLS, no IPFIX, or silent."),
    Counter("enrich_names_forgotten", "names", Sum.NOTE, "Names from DNS that made room for newer ones."),
    # Between decoder and store; what is in the spool is neither stored nor lost yet.
    Counter("pipeline_thinned", "records", Sum.CHOSEN, "Flows left out by collector.sampling; the others count for them."),
    Counter(
        "pipeline_rate_limited", "records", Sum.CHOSEN, "Flows left out by an exporter's rate limit; others count for them."
    ),
    Counter("spool_rows_shed", "records", Sum.LOST, "Flows shed because the spool was full, the store being away or too slow."),
    Counter("spool_rows_damaged", "records", Sum.LOST, "Flows in the spool that could not be read back."),
    Counter("spool_rows_replayed", "records", Sum.NOTE, "Flows read back from the spool to be written."),
    Counter("spool_rows_adopted", "records", Sum.NOTE, "Flows found in the spool of a collector that had ended before."),
    Counter("spool_write_failures", "batches", Sum.NOTE, "Batches that could not be put on disk and were kept in memory only."),
    # sFlow: what its own numbers tell beyond flow records.
    Counter("sequence_gap_datagrams", "datagrams", Sum.NOTE, "NetFlow v9 and sFlow datagrams missing from their numbers."),
    Counter(
        "sequence_gap_records_estimated",
        "records",
        Sum.LOST,
        "Records in lost datagrams of NetFlow v9, which numbers datagrams only: estimated by what its others held.",
    ),
    Counter("sequence_gap_counter_samples", "samples", Sum.NOTE, "sFlow counter samples missing from their sequence numbers."),
    Counter("sequence_gap_discarded_packets", "packets", Sum.NOTE, "Notices of discarded packets missing from their numbers."),
    Counter(
        "decode_sampler_drops", "samples", Sum.NOTE, "Samples that sFlow agents say to have left out for lack of resources."
    ),
    Counter("decode_counter_samples_shed", "samples", Sum.NOTE, "sFlow counter samples not read: too many in one batch."),
    # Templates: what became of them beside being announced.
    Counter("decode_port_splits", "streams", Sum.NOTE, "Exporters found to share an address and domain, told apart by port."),
    Counter("decode_templates_expired", "templates", Sum.NOTE, "Templates forgotten: not announced for as long as is set."),
    # Dedup of devices' flows and datagrams.
    Counter("receive_duplicates", "datagrams", Sum.NOTE, "Datagrams that came twice, byte for byte: the copies were left out."),
    Counter(
        "pipeline_flows_forgotten", "flows", Sum.NOTE, "Flows forgotten early: other observations of them may count twice."
    ),
    Counter(
        "decode_rates_disputed",
        "records",
        Sum.NOTE,
        "Flows of unknown sampling rate: other observation domains of the exporter tell different ones, their own tells none.",
    ),
    # Datagrams passed on by `flowgauge tee`: received = refused + passed on; passed on × receivers = sent + failed.
    Counter("tee_datagrams_refused", "datagrams", Sum.NOTE, "Datagrams of senders that are not allowed, or that came back."),
    Counter("tee_datagrams_sent", "datagrams", Sum.NOTE, "Datagrams handed to the network, once for each receiver."),
    Counter("tee_datagrams_failed", "datagrams", Sum.NOTE, "Datagrams that a receiver refused or the network did not take."),
)

BY_NAME: dict[str, Counter] = {counter.name: counter for counter in COUNTERS}
BY_ENTERPRISE: dict[int, Counter] = {counter.enterprise: counter for counter in COUNTERS if counter.enterprise}


class Ledger:
    """The counters of one part.

    Args:
        component: ``agent``, ``collector`` …
        instance: which one, with its start: ``node-a@1766000000000`` (ms since 1970).
    """

    def __init__(self, component: str, instance: str) -> None:
        self.component, self.instance = component, instance
        self._lock = threading.Lock()
        self._values: dict[str, int] = {}

    def add(self, name: str, count: int = 1) -> None:
        """Adds ``count`` to a counter; KeyError for a name that is not in ``COUNTERS``."""
        if name not in BY_NAME:
            raise KeyError(name)
        if count:
            with self._lock:
                self._values[name] = self._values.get(name, 0) + int(count)

    def set(self, name: str, value: int) -> None:
        """Sets a counter that somebody else accumulates (the kernel's) to its cumulative ``value``."""
        if name not in BY_NAME:
            raise KeyError(name)
        with self._lock:
            self._values[name] = int(value)

    def snapshot(self) -> dict[str, int]:
        """All counters that were ever touched, by name."""
        with self._lock:
            return dict(self._values)


def merged(snapshots: Mapping[object, Mapping[str, int]]) -> dict[str, int]:
    """The sum of several instances' snapshots, by counter name."""
    total: dict[str, int] = {}
    for snapshot in snapshots.values():
        for name, value in snapshot.items():
            total[name] = total.get(name, 0) + value
    return total
