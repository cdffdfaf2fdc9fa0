# SPDX-License-Identifier: Apache-2.0
"""Carries the bytes of one connection over another, both ways."""

from __future__ import annotations

import selectors
import socket

_IDLE_S = 60.0
_PIECE_BYTES = 1 << 16


def relay(one: socket.socket, two: socket.socket) -> None:
    """Carries bytes both ways until both ends are done or nothing came for a while."""
    other = {one: two, two: one}
    with selectors.DefaultSelector() as selector:
        for end in other:
            end.settimeout(_IDLE_S)
            selector.register(end, selectors.EVENT_READ, data=end)
        while selector.get_map():
            ready = selector.select(_IDLE_S)
            if not ready:
                return
            for key, _ in ready:
                speaker: socket.socket = key.data
                if piece := speaker.recv(_PIECE_BYTES):
                    other[speaker].sendall(piece)
                else:
                    selector.unregister(speaker)
                    other[speaker].shutdown(socket.SHUT_WR)
