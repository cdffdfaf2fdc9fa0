# SPDX-License-Identifier: Apache-2.0
"""Receives flow exports, decodes them, spools them to disk, runs the pipeline and writes to the store."""
