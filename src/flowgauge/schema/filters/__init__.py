# SPDX-License-Identifier: Apache-2.0
"""The filter language: text → tree → bound tree."""
