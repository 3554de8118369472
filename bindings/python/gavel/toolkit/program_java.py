"""A Java candidate made whole: the rest of a body, a method, or a class of its own, beside the class of its test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from gavel.toolkit.program_text import Program, unfenced

TOKEN = re.compile(
    r"(?P<skip>//[^\n]*|/\*.*?(?:\*/|\Z)|\s+)"
    r'|(?P<text>"""(?:\\.|[^\\])*?(?:"""|\Z)|"(?:\\.|[^"\\\n])*"?|\'(?:\\.|[^\'\\\n])*\'?)'
    r"|(?P<word>[A-Za-z_$][\w$]*)|(?P<other>.)",
    re.DOTALL,
)
IMPORT = re.compile(r"^[ \t]*import\s+(?:static\s+)?[\w.*\s]+?;", re.MULTILINE)
TYPES = {"class", "interface", "enum", "record"}
WORD = re.compile(r"[A-Za-z_$]")
BEFORE_CALL = {"return", "new", "else", "throw", "assert", "case", "do", "yield"}
EQUALS = re.compile(r"(?<![\w.)\]])(\w+)\.equals\((\w+)\)")


@dataclass(frozen=True)
class Token:
    start: int
    text: str
    depth: int  # of braces around it


def java_program(prompt: str, code: str, test: str, entry_point: str) -> Program:
    """``prompt`` is the beginning of a program, or an instruction in words, of which nothing is used."""
    code, skipped = unfenced(code, ("java",))
    imports = " ".join(_line(found) for found in IMPORT.findall(prompt))
    wanted = _class_under_test(prompt, test, entry_point)
    kind, holder = _shape(code, entry_point)
    if kind == "class":
        source = f"{imports}\n{_renamed(code, {holder: wanted} if wanted not in _types(code) else {})}"
        before = 1
    else:
        hoisted, code = _without_imports(code)
        head = prompt
        if kind == "method":
            head = _up_to_member(prompt, list(_tokens(prompt))) or f"{imports}\nclass {wanted} {{\n"
        source = f"{hoisted}{head}{code}"
        source += "\n}" * _open_braces(source)
        before = head.count("\n")
    # A type of the candidate's own must not stand before one that the test means, such as Arrays or its Main.
    meant = {token.text for token in _tokens(test)} - {wanted, *_types(prompt)}
    source = _renamed(_unpublished(source), {name: f"Candidate{name}" for name in _types(source) if name in meant})
    # Both ways round: a candidate that returns an object of its own must not be the only one to be asked.
    test = EQUALS.sub(r"(\1.equals(\2) && \2.equals(\1))", test)
    return Program(source, f"{imports}\n{test}", before, skipped)


def _line(statement: str) -> str:
    return " ".join(statement.split())


def _tokens(text: str) -> Iterator[Token]:
    """Words and signs; comments and white space are left out, and a literal is its opening quote."""
    depth = 0
    for found in TOKEN.finditer(text):
        if found.lastgroup == "skip":
            continue
        word = found.group()[0] if found.lastgroup == "text" else found.group()
        depth -= word == "}"
        yield Token(found.start(), word, depth)
        depth += word == "{"


def _class_under_test(prompt: str, test: str, entry_point: str) -> str:
    """The class that the test calls, else the last that the prompt opens, else Solution."""
    called = re.search(rf"\b([A-Z][\w$]*)\.{re.escape(entry_point)}\s*\(", test) if entry_point else None
    called = called or re.search(r"\bclass Main extends (\w+)", test)
    opened = re.findall(r"^\s*(?:\w+ )*class (\w+)", prompt, re.MULTILINE)
    return called.group(1) if called else opened[-1] if opened else "Solution"


def _shape(code: str, entry_point: str) -> tuple[str, str]:
    """("class", its name), ("method", "") or ("body", "")."""
    tokens = list(_tokens(code))
    if any(token.depth < 0 for token in tokens):  # it closes what the prompt opened
        return "body", ""
    holder = ""
    for at, token in enumerate(tokens):
        if token.depth == 0 and token.text in TYPES and at + 1 < len(tokens):
            holder = tokens[at + 1].text
        elif token.text == entry_point and token.depth <= 1 and _is_method(tokens, at):
            if token.depth == 0:
                return "method", ""
            if holder:
                return "class", holder
    return "body", ""


def _is_method(tokens: list[Token], at: int) -> bool:
    """Whether the name at ``at`` is declared there: a type before it, and after its parameters a body."""
    before = tokens[at - 1].text if at else ""
    if before in BEFORE_CALL or not (before[:1].isalpha() or before in (">", "]")):
        return False
    depth = 0
    for number in range(at + 1, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[number].text, 0)
        if depth == 0:
            following = tokens[number + 1].text if number + 1 < len(tokens) else ""
            return tokens[number].text == ")" and following in ("{", "throws")
    return False


def _types(source: str) -> set[str]:
    """The types that a source declares at its top level."""
    return {
        following.text
        for token, following in pairwise(_tokens(source))
        if token.depth <= 0 and token.text in TYPES and WORD.match(following.text)
    }


def _unpublished(code: str) -> str:
    """Without package, and without public before a type: one file holds them all."""
    pieces, end, package = [], 0, False
    for token in _tokens(code):
        package = package or (token.depth == 0 and token.text == "package")
        if package or (token.depth == 0 and token.text == "public"):
            pieces.append(code[end : token.start])
            end = token.start + len(token.text)
        package = package and token.text != ";"
    return "".join(pieces) + code[end:]


def _renamed(code: str, names: dict[str, str]) -> str:
    pieces, end, before = [], 0, ""
    for token in _tokens(code) if names else ():
        if token.text in names and before != ".":
            pieces += [code[end : token.start], names[token.text]]
            end = token.start + len(token.text)
        before = token.text
    return "".join(pieces) + code[end:]


def _without_imports(code: str) -> tuple[str, str]:
    """Imports on one line, to go before everything, and the code with blanks where they stood."""
    found = IMPORT.findall(code)
    return "".join(f"{_line(each)} " for each in found), IMPORT.sub(lambda at: "\n" * at.group().count("\n"), code)


def _up_to_member(prompt: str, tokens: list[Token]) -> str:
    """The prompt without the method that it leaves open; nothing where it opens no class."""
    ends = [
        token.start + 1
        for token in tokens
        if (token.text == "{" and token.depth == 0) or (token.text in ";}" and token.depth == 1)
    ]
    return f"{prompt[: ends[-1]]}\n" if ends else ""


def _open_braces(source: str) -> int:
    depth = 0
    for token in _tokens(source):
        depth += {"{": 1, "}": -1}.get(token.text, 0)
    return max(0, depth)
