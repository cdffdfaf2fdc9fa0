# SPDX-License-Identifier: Apache-2.0
"""Flows on to others: re-sent as IPFIX or NetFlow v9, and datagrams passed on unchanged."""
