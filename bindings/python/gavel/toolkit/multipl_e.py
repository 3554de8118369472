"""MultiPL-E's files: a problem in one of many languages, whose tests go on inside the prompt's program."""

from __future__ import annotations

import re
from typing import Any

from gavel.toolkit.datasets import DatasetError, Row

NAME = re.compile(r"(?P<suite>HumanEval|mbpp)_(?P<number>\d+)_(?P<function>\w+)$", re.IGNORECASE)
LANGUAGES = {"py": "python"}
STATUS = {"OK": "pass", "SyntaxError": "compile_error", "Exception": "exception", "Timeout": "timeout"}
TUPLES = re.compile(r"\b(?:Unit|Pair|Triplet|Quartet|Quintet|Sextet|Septet|Octet|Ennead|Decade)\b\s*[<.(]")
JAVATUPLES = re.compile(r"^import org\.javatuples\.\*;[ \t]*$", re.MULTILINE)
ASSERT_EQUALS = re.compile(r"assert\((?P<found>.+)\.equals\((?P<wanted>.+)\)\);$", re.MULTILINE)


def multipl_e(raw: Row, where: str) -> dict[str, Any]:
    """Prompt and test as two texts of their own. Java tasks that need org.javatuples get no test: it is not there."""
    named = NAME.match(str(raw["name"]))
    if named is None:
        raise DatasetError(f"{where}: name {raw['name']!r}; expected HumanEval_NUMBER_FUNCTION or mbpp_NUMBER_FUNCTION")
    language = LANGUAGES.get(str(raw.get("language")), str(raw.get("language")))
    suite = "HumanEval" if named["suite"].lower() == "humaneval" else "MBPP"
    row: dict[str, Any] = {
        "task_id": f"{suite}_{raw.get('language')}/{named['number']}",
        "source": f"{suite}/{named['number']}",
        "dataset": f"MultiPL-E {suite}",
        "language": language,
        "entry_point": named["function"],
    }
    if language == "java":
        row |= _java(raw, named["function"])
    elif language == "python":
        row["test"] = str(raw["tests"]).partition("\ndef test_check")[0] + "\n"
    candidates = _candidates(raw)
    return row | ({"candidates": candidates} if candidates else {})


def _java(raw: Row, function: str) -> dict[str, Any]:
    prompt, tests = str(raw["prompt"]), str(raw["tests"])
    _, brace, rest = tests.partition("}")
    opened = re.findall(r"^class (\w+)", prompt, re.MULTILINE)
    # The candidate's own result is not to say what it equals.
    rest = ASSERT_EQUALS.sub(r"assert((\g<wanted>).equals(\g<found>));", rest)
    whole = brace and opened and not TUPLES.search(prompt + tests)
    return {
        "prompt": JAVATUPLES.sub("", prompt),
        "test": f"class Main extends {opened[-1]} {{{rest}" if whole else None,
        "entry_point": "".join(
            [part if not at else part[:1].upper() + part[1:] for at, part in enumerate(function.split("_"))]
        ),
    }


def _candidates(raw: Row) -> list[Row]:
    if raw.get("completions"):
        return [{"code": code, "index": index} for index, code in enumerate(raw["completions"])]
    found = []
    for index, result in enumerate(raw.get("results") or []):
        program, status = str(result["program"]), STATUS.get(str(result.get("status")))
        code = program.removeprefix(str(raw["prompt"])).removesuffix(str(raw["tests"])).removesuffix("\n")
        candidate: Row = {"code": code, "index": index}
        if status:
            candidate |= {"status": status, "passed": status == "pass"}
        found.append(candidate)
    return found
