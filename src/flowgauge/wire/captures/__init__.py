# SPDX-License-Identifier: Apache-2.0
"""Capture files: bytes of a file in, datagrams of flow exports out. Before ``wire.decoder``; does no input itself."""
