# SPDX-License-Identifier: Apache-2.0
"""Flowgauge's own receive path up to columns, as a process: the collector's listeners and decoder, nothing behind.

    python -m rivals_kit.ours UDP|TCP|TLS PORT BUFFER_BYTES COUNT_FILE [CERTIFICATE KEY]

Columns are dropped. On SIGTERM it writes how many flows it decoded, and whether anything was counted as lost, and ends.
"""

from __future__ import annotations

import queue
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from flowgauge.collector.listeners import RECEIVE_QUEUE_BYTES
from flowgauge.collector.receiver import Receiver
from flowgauge.collector.senders import Refusals
from flowgauge.collector.streams import StreamListener
from flowgauge.collector.udp_socket import UdpSocket
from flowgauge.config.model import Listener, Tls
from flowgauge.runtime import logs
from flowgauge.runtime.ledger import Ledger
from flowgauge.runtime.linux import keep_freed_memory
from flowgauge.wire.decoder import Decoder
from flowgauge.wire.portions import Portions
from flowgauge.wire.repeats import Repeats

_LOSSES = ("sequence_gap", "decode_error", "decode_unknown", "decode_pending", "receive_socket_drops", "receive_queue_full")
HOST = "127.0.0.1"


def decode(arrived: queue.SimpleQueue[Any], counts: Counter[str]) -> None:
    """Leaves out repeated datagrams and decodes until None comes, as the collector does; a session has a decoder of its own."""
    common, repeats, portions = Decoder(), Repeats(), Portions()
    while (block := arrived.get()) is not None:
        decoder = common
        if block.session is not None:
            decoder = block.session.decoder = block.session.decoder or Decoder()
        flows = 0
        for datagrams in block.datagrams():
            for portion in portions.of(datagrams):
                kept = portion if block.session is not None else repeats.without(portion)[0]
                decoded = decoder.decode(kept)
                portions.note(len(kept), len(decoded.flows))
                counts.update(decoded.counts)
                flows += len(decoded.flows)
                del decoded  # the next may have its memory, as in the collector
        block.done(flows)
    counts.update(common.finish())


def listener(arguments: list[str], arrived: queue.SimpleQueue[Any], ledger: Ledger) -> Receiver | StreamListener:
    """The collector's listener of one transport."""
    transport, port, buffer_bytes, _, *files = arguments
    if transport == "UDP":
        return Receiver(UdpSocket(HOST, int(port), int(buffer_bytes)), RECEIVE_QUEUE_BYTES, arrived, ledger)
    tls = Tls(certificate=files[0], key=files[1]) if files else None
    settings = Listener(port=int(port), transport="TLS" if tls else "TCP", tls=tls)
    return StreamListener(HOST, settings, arrived, ledger, Refusals())


def main(arguments: list[str]) -> None:
    """Receives until it is told to end."""
    logs.configure("error")
    keep_freed_memory()
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
    ledger, counts = Ledger("collector", "bench@1"), Counter[str]()
    thread = threading.Thread(target=decode, args=(arrived, counts))
    receiver = listener(arguments, arrived, ledger)
    receiver.start()
    thread.start()
    stopped.wait()
    receiver.stop()
    arrived.put(None)
    thread.join()
    every = counts + Counter(ledger.snapshot())
    lost = sum(count for name, count in every.items() if name.startswith(_LOSSES))
    Path(arguments[3]).write_text(f"{counts['decode_records']} {lost}\n", encoding="ascii")


if __name__ == "__main__":
    main(sys.argv[1:])
