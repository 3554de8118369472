"""Plain values, as TOML gives them, into dataclasses by their fields' types; what does not fit is refused by name."""

from __future__ import annotations

import collections.abc
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from gavel.toolkit.errors import ToolkitError

Made = TypeVar("Made")
Checkpoint = NewType("Checkpoint", str)
"""A path where there is one, else a name, such as a Hub id."""


def made_of(kind: type[Made], said: Any, here: Path, where: str) -> Made:
    """The dataclass of a table; relative paths start from ``here``, and ``where`` opens messages."""
    if not isinstance(said, Mapping):
        raise ToolkitError(f"{where}: {said!r}; expected a table")
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    if unknown := [name for name in said if name not in known]:
        raise ToolkitError(f"{where}: unknown {', '.join(unknown)}; it may have {', '.join(known)}")
    required = (name for name, each in known.items() if each.default is MISSING and each.default_factory is MISSING)
    if missing := [name for name in required if name not in said]:
        raise ToolkitError(f"{where}: {', '.join(missing)} missing")
    hints = get_type_hints(kind)
    return kind(**{name: _value(hints[name], value, here, f"{where}, {name}") for name, value in said.items()})


def _value(kind: Any, value: Any, here: Path, where: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _value(next(each for each in inner if each is not NoneType), value, here, where)
    if origin is collections.abc.Sequence:
        _require(isinstance(value, list), value, "a list", where)
        return tuple(_value(inner[0], each, here, f"{where} {at}") for at, each in enumerate(value, 1))
    if origin is collections.abc.Mapping:
        _require(isinstance(value, dict), value, "a table", where)
        return {name: _value(inner[1], each, here, f"{where}, {name}") for name, each in value.items()}
    if origin is Literal:
        _require(value in inner, value, f"one of {', '.join(inner)}", where)
    elif is_dataclass(kind):
        return made_of(kind, value, here, where)  # type: ignore[arg-type]
    elif kind is Path:
        _require(isinstance(value, str) and value != "", value, "a path", where)
        return here / Path(value).expanduser()
    elif kind is Checkpoint:
        _require(isinstance(value, str) and value != "", value, "a path or a Hub id", where)
        path = here / Path(value).expanduser()
        return str(path) if path.exists() else value
    elif kind is not Any:
        allowed = (int, float) if kind is float else kind
        plain = kind is bool or not isinstance(value, bool)  # to Python a truth value is a number too
        _require(isinstance(value, allowed) and plain, value, kind.__name__, where)
    return value


def _require(holds: bool, value: Any, expected: str, where: str) -> None:
    if not holds:
        raise ToolkitError(f"{where}: {value!r}; expected {expected}")
