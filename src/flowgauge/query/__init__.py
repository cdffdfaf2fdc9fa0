# SPDX-License-Identifier: Apache-2.0
"""Answers over the store: completeness, topology, every flow for exports."""
