"""When two candidates are the same program."""

from __future__ import annotations

from gavel._ffi import check, ffi, lib, new_text, take
from gavel.task import Language, number_of


def normal_form(code: str, language: Language = "any") -> str:
    """The code without comments and with white space reduced to what separates words, as a ranking compares it:
    candidates with equal normal forms are one program but for layout."""
    out, size = ffi.new("char **"), ffi.new("size_t *")
    c_text, _kept = new_text(code)
    check(lib().gavel_normal_form(out, size, c_text, number_of(language, Language, "language")))
    return bytes(ffi.buffer(take(out), size[0])).decode("utf-8", "surrogatepass")
