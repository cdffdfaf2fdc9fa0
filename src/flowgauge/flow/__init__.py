# SPDX-License-Identifier: Apache-2.0
"""Flows in columns: the batch that every stage takes and gives, masks from filters, Arrow at the edges."""
