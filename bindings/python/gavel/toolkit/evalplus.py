"""EvalPlus's own files: inputs instead of a test, and the reference solution to say what they should give."""

from __future__ import annotations

from typing import Any

from gavel.toolkit import datasets
from gavel.toolkit.datasets import DatasetError, Row

# What counts as the same result is a rule of its own for these; the edition on the Hub has it in its `test`.
OWN_RULE = {
    "find_zero", "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum",
    "intersection_array", "find_dissimilar", "Diff", "check_str", "text_match_three", "text_starta_endb",
    "are_equivalent", "sum_div",
}  # fmt: skip

TEST = """
def check(candidate):
    import copy

    def same(found, wanted):
        if isinstance(wanted, float) or isinstance(found, float):
            return abs(found - wanted) <= max({atol!r}, 1e-07 * abs(wanted))
        if isinstance(wanted, (list, tuple)):
            return (
                type(found) is type(wanted)
                and len(found) == len(wanted)
                and all(same(a, b) for a, b in zip(found, wanted))
            )
        return found == wanted

    known = {{}}
    exec({reference!r}, known)
    for arguments in {inputs!r}:
        wanted = known[{entry!r}](*copy.deepcopy(arguments))
        assert same(candidate(*copy.deepcopy(arguments)), wanted), arguments
"""


def evalplus(raw: Row, where: str) -> dict[str, Any]:
    """A test that runs every input of both kinds through the candidate and the reference."""
    entry = str(raw.get("entry_point") or "")
    if not entry or not raw.get("canonical_solution"):
        raise DatasetError(
            f"{where}: neither test nor entry_point with canonical_solution; nothing can check candidates"
        )
    test = None
    if entry not in OWN_RULE:
        reference = datasets.prompt(raw) + str(raw["canonical_solution"])
        inputs = [*(raw.get("base_input") or []), *(raw.get("plus_input") or [])]
        test = TEST.format(atol=float(raw.get("atol") or 0), reference=reference, inputs=inputs, entry=entry)
    return {"language": "python", "test": test}
