# SPDX-License-Identifier: Apache-2.0
"""Bytes ↔ batches. Pure: no socket, clock, log or metric."""
