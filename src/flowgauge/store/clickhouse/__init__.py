# SPDX-License-Identifier: Apache-2.0
"""ClickHouse, embedded (chDB) or as a server: one client, one SQL."""
