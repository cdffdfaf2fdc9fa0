# SPDX-License-Identifier: Apache-2.0
"""The API's routes, one topic a file."""
