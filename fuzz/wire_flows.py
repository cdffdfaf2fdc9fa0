# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - a program
"""Feeds the decoders of NetFlow 1, 5, 7 and sFlow broken datagrams, as ``wire_ipfix`` does for IPFIX."""

from __future__ import annotations

import sys

import wire_ipfix  # puts the tests' folder on the path

from flow_mutations import Mutator

if __name__ == "__main__":
    sys.exit(wire_ipfix.main("wire_flows", Mutator))
