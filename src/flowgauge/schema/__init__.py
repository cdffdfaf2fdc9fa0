# SPDX-License-Identifier: Apache-2.0
"""What a flow is made of: the column registry, the filter language and the query model. No numpy, no input or output."""
