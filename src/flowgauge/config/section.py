# SPDX-License-Identifier: Apache-2.0
"""What all sections of the document share: names as users write them, and no others."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Section(BaseModel):
    """A part of the document; each field's docstring says what it means."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True, use_attribute_docstrings=True)
