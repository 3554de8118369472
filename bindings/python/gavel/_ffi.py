"""The shared library through cffi: where it is, how its header becomes declarations, how statuses become exceptions."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from cffi import FFI

from gavel._version import __version__
from gavel.errors import BY_CODE, InternalError, InvalidArgument, NotFound, Unsupported

_PACKAGE = Path(__file__).resolve().parent
_REPOSITORY = _PACKAGE.parents[2]


def library_path() -> str:
    """Path of libgavel.so: ``$GAVEL_LIBRARY``, else the checkout's build, else what the system's loader finds."""
    if named := os.environ.get("GAVEL_LIBRARY"):
        return named
    built = _REPOSITORY / "build" / "lib" / "libgavel.so"
    return str(built) if built.exists() else "libgavel.so"


def declarations(header: str) -> str:
    """The header's declarations, without preprocessor lines and the C++ linkage block."""
    header = re.sub(r"#ifdef __cplusplus\n.*?#endif\n", "", header, flags=re.DOTALL)
    header = re.sub(r"^#.*\n", "", header, flags=re.MULTILINE)
    return header.replace("GAVEL_API ", "")


def _header() -> str:
    for path in (_PACKAGE / "gavel.h", _REPOSITORY / "capi" / "gavel.h"):
        if path.exists():
            return path.read_text(encoding="utf-8")
    raise NotFound(f"gavel.h is neither in {_PACKAGE} nor in the checkout's capi folder; install the package again")


def _make_ffi() -> FFI:
    made = FFI()
    made.cdef(declarations(_header()))
    return made


ffi = _make_ffi()


@cache
def lib() -> Any:
    """The loaded library; on first use, so that commands that need none run where it is not built yet."""
    path = library_path()
    try:
        loaded = ffi.dlopen(path)
    except OSError as error:
        raise NotFound(
            f"libgavel cannot be loaded: {error}. Build it with CMake, or name it in GAVEL_LIBRARY"
        ) from None
    found = ffi.string(loaded.gavel_version()).decode()
    if found.split(".")[:2] != __version__.split(".")[:2]:
        raise Unsupported(f"{path} is version {found}, but this package is {__version__}; use those of one version")
    return loaded


def check(status: int) -> None:
    """Raises the exception of a status that is not 0."""
    if status != 0:
        message = ffi.string(lib().gavel_last_error()).decode("utf-8", "replace")
        raise BY_CODE.get(status, InternalError)(message)


def handle(new: Any, destroy: Any) -> Any:
    """The object a call left in ``new``, destroyed when the last reference to it goes."""
    return ffi.gc(new[0], destroy)


def take(memory: Any) -> Any:
    """Plain memory a call left in ``memory``, freed when the last reference to it goes."""
    return ffi.gc(memory[0], lib().gavel_free)


def sized(kind: str) -> Any:
    """A struct for the library to fill."""
    struct = ffi.new(f"{kind} *")
    struct.size = ffi.sizeof(kind)
    return struct


def initialised(kind: str) -> Any:
    """A struct with the library's defaults, to set fields of with `Fields`."""
    struct = ffi.new(f"{kind} *")
    check(getattr(lib(), f"{kind}_init")(struct, ffi.sizeof(kind)))
    return struct


def read_text(text: Any) -> str:
    """A gavel_text as a string."""
    return bytes(ffi.buffer(text.data, text.size)).decode("utf-8", "replace") if text.size else ""


def absent(value: float) -> float | None:
    """The ABI's NaN for a missing number as None."""
    return None if value != value else value


class Fields:
    """Sets fields of a struct of the ABI, and keeps alive what they point to."""

    def __init__(self, struct: Any) -> None:
        self.struct = struct
        self._kept: list[Any] = []

    def text(self, name: str, value: str) -> None:
        data = ffi.from_buffer(encode(value))
        self._kept.append(data)
        field = getattr(self.struct, name)
        field.data, field.size = data, len(data)

    def number(self, name: str, value: float) -> None:
        try:
            setattr(self.struct, name, value)
        except OverflowError:
            raise InvalidArgument(f"{name} is {value}, which is out of range") from None
        except TypeError:
            raise InvalidArgument(f"{name} is {value!r}, expected a number") from None

    def array(self, kind: str, name: str, count: str, values: Any) -> None:
        setattr(self.struct, name, self._keep(new_array(kind, values, name)))
        setattr(self.struct, count, len(values))

    def texts(self, name: str, count: str, values: list[str]) -> None:
        array = self._keep(ffi.new("gavel_text[]", len(values)))
        for slot, value in zip(array, values, strict=True):
            if any("\ud800" <= character <= "\udfff" for character in value):
                raise InvalidArgument(f"{name} holds {value!r}, which is no text: half of a surrogate pair")
            data = self._keep(ffi.from_buffer(encode(value)))
            slot.data, slot.size = data, len(data)
        setattr(self.struct, name, array)
        setattr(self.struct, count, len(values))

    def c_string(self, name: str, value: str) -> None:
        setattr(self.struct, name, self._keep(ffi.new("char[]", c_string(value, name))))

    def _keep(self, cdata: Any) -> Any:
        self._kept.append(cdata)
        return cdata


def encode(text: str) -> bytes:
    """UTF-8; half a surrogate pair goes through as it is, for the library to refuse with its place."""
    if not isinstance(text, str):
        raise InvalidArgument(f"expected a text, got {type(text).__name__}")
    return text.encode("utf-8", "surrogatepass")


def c_string(text: str | os.PathLike[str], name: str) -> bytes:
    """A path or short name as the ABI wants it: NUL-terminated, so without NUL inside."""
    data = os.fsencode(text)
    if b"\0" in data:
        raise InvalidArgument(f"{name} holds a NUL character: {text!r}")
    return data


def new_text(text: str) -> tuple[Any, Any]:
    """A gavel_text to pass by value, and what must stay alive meanwhile."""
    data = ffi.from_buffer(encode(text))
    return ffi.new("gavel_text *", {"data": data, "size": len(data)})[0], data


def new_array(kind: str, values: Any, name: str) -> Any:
    try:
        return ffi.new(f"{kind}[]", [*values])
    except OverflowError:
        raise InvalidArgument(f"{name} holds a number that is out of range") from None
    except TypeError as error:
        raise InvalidArgument(f"{name} holds something that is no number: {error}") from None
