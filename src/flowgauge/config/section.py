# SPDX-License-Identifier: Apache-2.0
"""What all sections of the document share: names as users write them, and no others.

The fields' docstrings are for :mod:`flowgauge.config.descriptions`: reading them here would cost every start a tenth of a
second, and so would looking for plug-ins of pydantic among all installed packages.
"""

from __future__ import annotations

import os

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "true")  # read when the first section is declared


class Section(BaseModel):
    """A part of the document; each field's docstring says what it means."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)
