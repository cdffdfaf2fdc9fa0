# SPDX-License-Identifier: Apache-2.0
"""Receives export datagrams, decodes them and runs the pipeline."""
