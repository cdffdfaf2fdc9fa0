# SPDX-License-Identifier: Apache-2.0
"""Receiving on real sockets: addresses of both families, drops of every kind counted, nothing lost at a stop."""

from __future__ import annotations

import queue
import socket
import time
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pytest

from flowgauge.collector import receiver as module
from flowgauge.collector.blocks import BLOCK_BYTES, BLOCK_FLOWS, FEWEST, SLOT_BYTES, Block, BlockPool
from flowgauge.collector.receiver import Receiver
from flowgauge.collector.senders import MAX_TURNED_AWAY, Door, Refusals, turn_away_unknown
from flowgauge.collector.udp_socket import UdpSocket
from flowgauge.errors import EnvironmentProblem, UsageError
from flowgauge.flow.addresses import to_text
from flowgauge.runtime.ledger import Ledger
from flowgauge.wire.datagrams import Datagrams

BUFFER = 4 << 20


class Noting(Ledger):
    """A ledger that remembers each addition to its counters."""

    def __init__(self) -> None:
        super().__init__("collector", "x@1")
        self.added: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, name: str, count: int = 1) -> None:
        """Counts."""
        self.added[name].append(count)
        super().add(name, count)


class Receiving:
    """A running receiver, and what a decoder would do: keep or give back its blocks."""

    def __init__(self, host: str = "127.0.0.1", *, buffer_bytes: int = BUFFER, queue_bytes: int = 8 * BLOCK_BYTES,
                 allow: tuple[str, ...] = ()) -> None:  # fmt: skip
        self.ledger = Noting()
        self.filled: queue.SimpleQueue[Block] = queue.SimpleQueue()
        self.refusals = Refusals()
        door = Door("UDP", allow, self.ledger, self.refusals)
        self.receiver = Receiver(UdpSocket(host, 0, buffer_bytes), queue_bytes, self.filled, self.ledger, door=door)
        self.receiver.start()

    def sender(self, family: int = socket.AF_INET) -> socket.socket:
        """A socket that sends to it."""
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.connect(("::1" if family == socket.AF_INET6 else "127.0.0.1", self.receiver.address[1]))
        return sock

    def received(self) -> list[tuple[str, int, bytes]]:
        """(sender, port, payload) of all datagrams, after ``stop``."""
        found = []
        while not self.filled.empty():
            block = self.filled.get()
            for datagrams in block.datagrams():
                for row in range(len(datagrams)):
                    payload = bytes(datagrams.payloads[row, : datagrams.lengths[row]])
                    found.append((to_text(bytes(datagrams.source_addr[row])), int(datagrams.source_port[row]), payload))
            block.done(0)
        return found


def refused(sock: socket.socket) -> bool:
    """Whether nobody listens, as the machine answers to a datagram."""
    sock.settimeout(60)
    try:
        sock.send(b"x")
        sock.recv(1)
    except ConnectionRefusedError:
        return True
    except TimeoutError:
        pass
    return False


@pytest.fixture
def receiving() -> Iterator[Receiving]:
    running = Receiving()
    yield running
    running.receiver.stop()


def test_both_families_arrive_at_one_socket_with_their_addresses_and_ports() -> None:
    running = Receiving("::")
    with running.sender() as four, running.sender(socket.AF_INET6) as six:
        four.send(b"four")
        six.send(b"six")
        ports = four.getsockname()[1], six.getsockname()[1]
        running.receiver.stop()
    assert sorted(running.received()) == [("127.0.0.1", ports[0], b"four"), ("::1", ports[1], b"six")]
    assert running.ledger.snapshot() == {"receive_datagrams": 2, "receive_bytes": 7}


def test_an_ipv4_address_listens_for_ipv4_only(receiving: Receiving) -> None:
    assert receiving.receiver.address[0] == "127.0.0.1"
    with receiving.sender(socket.AF_INET6) as six:
        assert refused(six)


def test_a_few_datagrams_are_handed_over_within_the_flush_time(receiving: Receiving) -> None:
    with receiving.sender() as sock:
        before = time.time_ns()
        sock.send(b"one")
        block = receiving.filled.get(timeout=60)
    (datagrams,) = block.datagrams()
    assert len(datagrams) == 1
    assert before <= datagrams.received_ns[0] <= time.time_ns()


def test_a_few_datagrams_do_not_wait_for_ever_while_another_port_keeps_the_decoder_busy(receiving: Receiving) -> None:
    others = Block(SLOT_BYTES[0], ipv6=True)
    receiving.filled.put(others)
    with receiving.sender() as sock:
        sock.send(b"one")
        deadline = time.monotonic() + 60
        while receiving.filled.qsize() < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert receiving.filled.get() is others
    assert receiving.filled.get(timeout=0).count == 1


def test_what_waits_in_the_socket_at_a_stop_is_received_and_nothing_after() -> None:
    """Nothing between the last receive and the close is lost unseen: senders are refused first."""
    running = Receiving()
    with running.sender() as sock:
        for number in range(1500):
            sock.send(number.to_bytes(4, "big"))
        running.receiver.stop()
        assert refused(sock)
    assert [int.from_bytes(payload, "big") for _, _, payload in running.received()] == list(range(1500))


def test_senders_are_refused_while_the_rest_is_received() -> None:
    for host in ("127.0.0.1", "0.0.0.0", "::"):
        sock = UdpSocket(host, 0, BUFFER)
        sock.open()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(("127.0.0.1", sock.address[1]))
            sender.send(b"before")
            sock.refuse_more()
            assert refused(sender)
        block = Block(SLOT_BYTES[0], ipv6=sock.ipv6)
        assert block.receive(sock.descriptor(), time.time_ns, wait=False) == 1
        assert block.receive(sock.descriptor(), time.time_ns, wait=False) == 0
        sock.close()


def test_the_kernels_drops_and_what_is_received_add_up_to_what_was_sent() -> None:
    """Also when no datagram follows those that were dropped."""
    sock = UdpSocket("127.0.0.1", 0, 212_992)
    sock.open()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(sock.address)
        for _ in range(2000):
            sender.send(bytes(1400))
    drops = sock.new_drops()
    block = Block(SLOT_BYTES[0], ipv6=sock.ipv6)
    received = block.receive(sock.descriptor(), time.time_ns, wait=False)
    assert drops > 0
    assert received + drops == 2000
    assert sock.new_drops() == 0
    sock.close()


def test_a_decoder_that_is_too_slow_costs_counted_datagrams_and_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)
    monkeypatch.setattr(module, "DRAIN_S", 0.05)
    running = Receiving(queue_bytes=2 * BLOCK_BYTES, buffer_bytes=32 << 20)
    with running.sender() as sock:
        for number in range(10_000):
            sock.send(number.to_bytes(4, "big"))
            if number % 100 == 0:
                time.sleep(0.001)
    running.receiver.stop()
    got = len(running.received())
    counted = running.ledger.snapshot()
    assert counted["receive_queue_full"] > 0
    assert got <= 2 * running.receiver._pool.blocks * 1024  # type: ignore[union-attr]
    assert counted["receive_datagrams"] == got + counted["receive_queue_full"]
    assert counted["receive_datagrams"] + counted.get("receive_socket_drops", 0) == 10_000


def test_what_is_dropped_is_dropped_by_whole_blocks_however_few_datagrams_were_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the few blocks that each of four ports has: else the socket's buffer overflows while few are dropped at a time."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)
    monkeypatch.setattr(module, "QUIET_FLUSH_S", 0.01)
    running = Receiving(queue_bytes=2 * BLOCK_BYTES)
    with running.sender() as sock:
        sock.send(b"of many flows")
        running.filled.get(timeout=60).done(10 * BLOCK_FLOWS)
        sock.send(b"kept by the decoder")
        kept = running.filled.get(timeout=60)
        deadline = time.monotonic() + 60
        while not running.ledger.added["receive_queue_full"] and time.monotonic() < deadline:
            sock.send(b"x" * 1400)
        assert running.ledger.added["receive_queue_full"][0] == FEWEST
        block = running.receiver._block
        assert block is not None
        while block.enough < block.capacity and time.monotonic() < deadline:
            time.sleep(0.01)
        assert block.enough == block.capacity
        kept.done(0)
    running.receiver.stop()


def test_a_datagram_too_long_for_its_slot_is_counted_and_the_next_ones_have_room(receiving: Receiving) -> None:
    """Traps 85, 86: the kernel says that it cut one (MSG_TRUNC), and slots grow up to jumbo datagrams."""
    with receiving.sender() as sock:
        for number in range(2):  # the block in use and its successor have small slots
            sock.send(bytes(9000))
            block = receiving.filled.get(timeout=60)
            (cut,) = block.datagrams()
            missing = 0 if cut.missing is None else int(cut.missing[0])
            assert int(cut.lengths[0]) + missing == 9000
            assert missing or number
            block.done(0)
        before = receiving.ledger.snapshot()["receive_truncated"]
        sock.send(b"x" * 9000)
        block = receiving.filled.get(timeout=60)
    assert block is not None
    assert before >= 1
    (datagrams,) = block.datagrams()
    assert datagrams.lengths.tolist() == [9000]
    assert datagrams.missing is None
    assert receiving.ledger.snapshot()["receive_truncated"] == before


def test_the_queue_is_as_many_bytes_with_long_slots() -> None:
    for slot_bytes in SLOT_BYTES:
        assert BLOCK_BYTES * 0.9 < Block(slot_bytes, ipv6=True).capacity * slot_bytes <= BLOCK_BYTES
    pool = BlockPool(4 * BLOCK_BYTES, ipv6=True)
    blocks = [pool.take(0) for _ in range(4)]
    assert None not in blocks
    assert pool.take(0.01) is None
    assert pool.grow(3000)
    assert not pool.grow(3000)
    assert pool.grow(70_000)
    assert not pool.grow(70_000)
    pool.give(blocks[0])  # type: ignore[arg-type]
    again = pool.take(0)
    assert again is not None
    assert again.slot_bytes == SLOT_BYTES[-1]


def test_the_block_that_came_back_last_is_filled_first_and_more_than_a_few_are_made_only_when_asked_for() -> None:
    pool = BlockPool(4 * BLOCK_BYTES, ipv6=True)
    first, second = (pool.take(0, more=False) for _ in range(2))
    assert first is not None
    assert second is not None
    assert pool.take(0.01, more=False) is None
    pool.give(second)
    pool.give(first)
    assert pool.take(0, more=False) is first
    assert pool.take(0) is second
    assert pool.take(0) not in (None, first, second)


def test_a_block_takes_as_many_datagrams_as_hold_enough_flows_unless_more_room_is_needed() -> None:
    pool = BlockPool(4 * BLOCK_BYTES, ipv6=True)
    block = pool.take(0, more=False)
    assert block is not None
    assert block.enough == block.capacity, "of the first ones nothing is known"
    for count, flows, enough in ((100, 2_000, BLOCK_FLOWS // 20), (100, 0, BLOCK_FLOWS // 20), (10, 60, block.capacity),
                                 (10, 10 * BLOCK_FLOWS, FEWEST)):  # fmt: skip
        block.count = count
        block.done(flows)
        assert pool.take(0, more=False) is block
        assert block.enough == enough
        assert not block.full
    block.done(0)
    assert pool.take(0) is block
    assert block.enough == block.capacity


def test_a_block_with_enough_flows_leaves_the_rest_in_the_socket() -> None:
    sock = UdpSocket("127.0.0.1", 0, BUFFER)
    sock.open()
    block = Block(SLOT_BYTES[0], ipv6=sock.ipv6)
    block.enough = 3
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(sock.address)
        for number in range(5):
            sender.send(bytes([number]))
    taken = []
    while sum(taken) < 5:
        assert block.receive(sock.descriptor(), time.time_ns, wait=True)
        assert block.full == (block.count == 3)
        taken.append(block.count)
        block.clear()
    assert taken == [3, 2]
    sock.close()


def test_datagrams_stay_in_the_socket_while_it_has_room_and_the_decoder_is_busy() -> None:
    running = Receiving(queue_bytes=8 * BLOCK_BYTES, buffer_bytes=32 << 20)
    capacity = Block(SLOT_BYTES[0], ipv6=True).capacity
    with running.sender() as sock:
        for number in range(3 * capacity):
            sock.send(number.to_bytes(4, "big"))
        deadline = time.monotonic() + 60
        while running.ledger.snapshot().get("receive_datagrams", 0) < 2 * capacity and time.monotonic() < deadline:
            time.sleep(0.01)
        assert running.receiver._socket.filled() > 0
        assert running.receiver._pool._made == 2  # type: ignore[union-attr]
    running.receiver.stop()
    assert len(running.received()) == 3 * capacity


def test_a_block_is_filled_again_and_again() -> None:
    sock = UdpSocket("127.0.0.1", 0, BUFFER)
    sock.open()
    block = Block(SLOT_BYTES[0], ipv6=sock.ipv6)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(sock.address)
        for turn in range(3):
            for number in range(turn + 1):
                sender.send(bytes([turn, number]))
            assert block.receive(sock.descriptor(), time.time_ns, wait=True) == turn + 1
            (datagrams,) = block.datagrams()
            assert [to_text(bytes(addr)) for addr in datagrams.source_addr] == ["127.0.0.1"] * (turn + 1)
            assert datagrams.payloads[:, :2].tolist() == [[turn, number] for number in range(turn + 1)]
            block.clear()
    sock.close()


def test_the_kernel_gives_what_was_asked_or_says_less() -> None:
    sock = UdpSocket("127.0.0.1", 0, 300_000)
    sock.open()
    assert sock.buffer_bytes == 300_000
    sock.close()


def test_a_port_that_is_taken_and_an_address_that_is_none_are_told() -> None:
    first = UdpSocket("127.0.0.1", 0, BUFFER)
    first.open()
    with pytest.raises(EnvironmentProblem, match=f"cannot listen on UDP 127.0.0.1:{first.address[1]}"):
        UdpSocket("127.0.0.1", first.address[1], BUFFER).open()
    first.close()
    with pytest.raises(UsageError, match="is not an address to listen on"):
        UdpSocket("no.such.host.invalid", 2055, BUFFER).open()


@pytest.mark.parametrize(("host", "loud"), [("::", True), ("0.0.0.0", True), ("127.0.0.1", False), ("::1", False)])
def test_listening_beyond_this_machine_is_said_loudly(host: str, loud: object, capsys: pytest.CaptureFixture[str]) -> None:
    from flowgauge.runtime import logs

    logs.configure("info", json=True)
    sock = UdpSocket(host, 0, BUFFER)
    sock.open()
    sock.close()
    assert ("listening_without_authentication" in capsys.readouterr().err) == loud


def test_senders_on_no_allow_list_are_turned_away_and_counted_by_address() -> None:
    running = Receiving("::", allow=("::1/128", "192.0.2.0/24"))
    with running.sender() as four, running.sender(socket.AF_INET6) as six:
        for _ in range(3):
            four.send(b"four")
        six.send(b"six")
        running.receiver.stop()
    assert [payload for _, _, payload in running.received()] == [b"six"]
    assert running.ledger.snapshot()["receive_refused"] == 3
    (told,) = running.refusals.snapshot()
    assert (told["address"], told["count"], told["reason"]) == ("127.0.0.1", 3, "UDP: not in the allow-list")


def test_what_is_no_flow_protocol_is_counted_by_address_and_bounded() -> None:
    refusals = Refusals()
    known = [b"\x00\x05", b"\x00\x09x", b"\x00\x0a", b"\x00\x00\x00\x05", b"\x00\x01", b"\x00\x07"]
    turn_away_unknown(Datagrams.from_payloads(known), refusals)
    assert refusals.snapshot() == []
    turn_away_unknown(Datagrams.from_payloads([b"", b"\x00", b"GET / HTTP/1.1", b"\x00\x0b", b"\x00\x00\x00\x04"]), refusals)
    (told,) = refusals.snapshot()
    assert (told["address"], told["count"]) == ("127.0.0.1", 5)
    for number in range(MAX_TURNED_AWAY + 10):
        refusals.add(np.frombuffer(number.to_bytes(16, "big"), np.uint8).reshape(1, 16), "x", 1)
    assert len(refusals.snapshot()) == MAX_TURNED_AWAY


def test_few_datagrams_wait_for_others_and_many_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a low rate it is the batches that cost: what comes within ``QUIET_FLUSH_S`` is one of them."""
    monkeypatch.setattr(module, "FLUSH_S", 0.05)
    monkeypatch.setattr(module, "QUIET_FLUSH_S", 3600.0)
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)
    receiving = Receiving()
    with receiving.sender() as sock:
        for number in range(20):
            sock.send(b"few %d" % number)
            time.sleep(0.01)
        time.sleep(0.2)
        assert receiving.filled.empty()
        for number in range(module.QUIET_DATAGRAMS):
            sock.send(b"many %d" % number)
        until = time.monotonic() + 60
        while receiving.filled.empty() and time.monotonic() < until:
            time.sleep(0.01)
        assert not receiving.filled.empty()
        sock.send(b"last")
        time.sleep(0.2)
    receiving.receiver.stop()
    payloads = [payload for _, _, payload in receiving.received()]
    assert payloads[:20] == [b"few %d" % number for number in range(20)]
    assert payloads[-1] == b"last"
    assert len(payloads) == 20 + module.QUIET_DATAGRAMS + 1
