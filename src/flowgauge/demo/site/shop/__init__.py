# SPDX-License-Identifier: Apache-2.0
"""The demo's one application: a list of entries."""
