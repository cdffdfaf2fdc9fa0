# SPDX-License-Identifier: Apache-2.0
"""What ``bench/rivals.py`` measures with: datagrams, a sender, collectors as processes, and the table."""
