"""What the source says of a struct's fields: the string below each of them, which Python throws away."""

import ast
import inspect
import textwrap
from collections.abc import Mapping


def field_notes(type_: type) -> Mapping[str, str]:
    """Note by attribute name, for the class and what it inherits. Empty where no source is kept. Reads files: it blocks."""
    notes: dict[str, str] = {}
    for cls in reversed(type_.__mro__[:-1]):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
        except (OSError, TypeError):
            continue
        definition = tree.body[0]
        if isinstance(definition, ast.ClassDef):
            notes |= _notes(definition)
    return notes


def _notes(definition: ast.ClassDef) -> dict[str, str]:
    found: dict[str, str] = {}
    for field, note in zip(definition.body, definition.body[1:], strict=False):
        match field, note:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
            case _:
                continue
    return found
