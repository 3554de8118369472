"""A Python candidate made whole: the rest of a body, or a function or class of its own, beside its test."""

from __future__ import annotations

import ast
import re
import textwrap
import warnings

from gavel.toolkit.program_text import Program, unfenced

IMPORT = re.compile(r"(?:from\s+[\w.]+\s+)?import\s+[^\n]+\n")


def python_program(prompt: str, code: str, test: str, entry_point: str) -> Program:
    """``prompt`` is the beginning of a program, or an instruction in words, of which nothing is used."""
    code, skipped = unfenced(code, ("python", "py", "python3"))
    # The Python sets only define check(); their harness calls it with the function under test.
    if entry_point and "def check(" in test:
        check = "check_candidate" if entry_point == "check" else "check"  # some tasks ask for a function of that name
        test = f"{test.replace('def check(', f'def {check}(')}\n{check}({entry_point})\n"
    if _defines(code, entry_point):
        head = _before_function(prompt, entry_point)
        future = code.lstrip().startswith("from __future__")
        source = code if future else head + code
        return Program(source, test, 0 if future else head.count("\n"), skipped)
    hoisted, body = _without_imports(code)
    lines = body.count("\n")
    for form in (body, textwrap.indent(body, "    ")):
        source = f"{hoisted}{prompt}{form}"
        if _compiles(source):
            break
    else:
        source = f"{hoisted}{prompt}{body}"
    before = source.count("\n") - lines
    return Program(source, test, before, skipped + code.count("\n") - lines)


def _defines(code: str, entry_point: str) -> bool:
    """Whether the code has the function at its top level; where it is no Python, whether it looks so."""
    tree = _compiled(code)
    if tree is None:
        return bool(entry_point) and bool(re.search(rf"^(?:async )?def {re.escape(entry_point)}\b", code, re.MULTILINE))
    names = {getattr(each, "name", None) for each in tree.body}
    for each in tree.body:
        if isinstance(each, ast.Assign):
            names |= {target.id for target in each.targets if isinstance(target, ast.Name)}
    return entry_point in names if entry_point else bool(names - {None})


def _before_function(prompt: str, entry_point: str) -> str:
    """What stands before the function that the prompt leaves open: imports and helpers."""
    opened = re.search(rf"^(?:@.*\n)*(?:async )?def {re.escape(entry_point)}\b", prompt, re.MULTILINE)
    head = prompt[: opened.start()] if opened and entry_point else ""
    return head if _compiles(head) else ""


def _without_imports(code: str) -> tuple[str, str]:
    """Import lines at the left margin before an indented body, and the body."""
    end = 0
    while found := IMPORT.match(code, end):
        end = found.end()
        while code[end : end + 1] == "\n":
            end += 1
    return code[:end], code[end:]


def _compiles(source: str) -> bool:
    return _compiled(source) is not None


def _compiled(source: str) -> ast.Module | None:
    """The tree of a source that the compiler takes whole (a parser alone allows a return outside a function)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the candidate's own, such as an odd escape
            tree = ast.parse(source)
            compile(tree, "candidate.py", "exec", dont_inherit=True)
            return tree
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
