# SPDX-License-Identifier: Apache-2.0
"""The command line: one file a verb, imported when it is called."""
