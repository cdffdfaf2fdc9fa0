# SPDX-License-Identifier: Apache-2.0
"""What the fields of a section mean: the docstrings below them, read from the source when a page of the docs is made."""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise

from pydantic import BaseModel


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Attribute → its docstring, of the fields that ``model`` itself declares."""
    declared = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(declared, ast.ClassDef)  # noqa: S101 - the source of a class
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(declared.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }
