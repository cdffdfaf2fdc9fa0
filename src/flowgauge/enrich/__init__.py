# SPDX-License-Identifier: Apache-2.0
"""Names for addresses, as of the flow's own time."""
