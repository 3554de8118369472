"""A judge and a generator that are remote models, as equals of local ones.

The judge asks for Yes or No and reads P(correct) off the first token's log-probabilities, as a verbalizer does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from gavel.generator import Generation
from gavel.task import Candidate, Finish, GenerateStats, JudgeInfo, Language, Task, Verdict
from gavel.toolkit.program_text import unfenced
from gavel.toolkit.prompts import CHAT, JUDGE, fill_text
from gavel.toolkit.study.endpoint import Client, Endpoint, RemoteError

SPOKEN: dict[Language, str] = {"any": "any language", "java": "Java", "python": "Python", "cpp": "C++"}
FENCES: dict[Language, tuple[str, ...]] = {
    "any": (),
    "java": ("java",),
    "python": ("python", "py", "python3"),
    "cpp": ("cpp", "c++", "cxx", "cc", "hpp"),
}
FINISH: dict[str, Finish] = {"stop": "stop_token", "length": "length"}
TOP = 20  # log-probabilities asked for: the protocol's most
ANSWER_TOKENS = 4  # room for a blank or a mark before the word


class RemoteJudge:
    """See `gavel.AnyJudge`. Each candidate is one request; ``client.usage`` counts them and their tokens."""

    def __init__(self, name: str, endpoint: Endpoint) -> None:
        self.client = Client(endpoint)
        self._info = JudgeInfo(name, "remote", trained=False, labels=["correct", "wrong"])
        self._asked = {"logprobs": True, "top_logprobs": TOP} if endpoint.logprobs else {}

    def info(self) -> JudgeInfo:
        return self._info

    def judge(self, task: Task, candidates: Sequence[Candidate]) -> list[Verdict]:
        """P(correct) of each candidate: the softmax over Yes and No where the server tells log-probabilities, else 1 or
        0 by the answer's word; an answer that is neither abstains at 0.5, with its text as feedback."""
        return [self._verdict(task, candidate) for candidate in candidates]

    def _verdict(self, task: Task, candidate: Candidate) -> Verdict:
        said = {"prompt": task.prompt, "language": SPOKEN[task.language], "code": candidate.text}
        choice = self.client.ask(fill_text(JUDGE, said), max_tokens=ANSWER_TOKENS, temperature=0, **self._asked)[0]
        logit = yes_or_no(choice)
        if logit is not None:
            p_correct = 1 / (1 + math.exp(-logit))
            decision = "correct" if p_correct >= 0.5 else "wrong"
            return Verdict(p_correct, logit, decision, [p_correct, 1 - p_correct])
        word = _word(_content(choice))
        if word in ("yes", "no"):
            return Verdict(float(word == "yes"), None, "correct" if word == "yes" else "wrong")
        return Verdict(0.5, None, "abstain", feedback=_content(choice))


class RemoteGenerator:
    """Writes candidates as `gavel.Generator` does; an answer's code block is the candidate."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.client = Client(endpoint)
        self._asked = {"logprobs": True} if endpoint.logprobs else {}

    def generate(
        self,
        task: Task,
        *,
        candidates: int = 10,
        max_tokens: int = 512,
        temperature: float = 0.8,
        top_p: float = 0.95,
        seed: int = 0,
    ) -> Generation:
        """N candidates; as many requests as it takes, since servers may give fewer choices than asked for."""
        asked = fill_text(CHAT, {"prompt": task.prompt, "language": SPOKEN[task.language]})
        settings = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, **self._asked}
        made: list[Candidate] = []
        before, begun = self.client.usage.prompt_tokens, time.perf_counter()
        written = self.client.usage.completion_tokens
        while len(made) < candidates:
            missing = candidates - len(made)
            choices = self.client.ask(asked, n=missing, seed=seed * 1024 + len(made), **settings)
            made += [_candidate(task, choice, len(made) + at) for at, choice in enumerate(choices[:missing])]
        stats = GenerateStats(
            decode_seconds=time.perf_counter() - begun,
            prompt_tokens=self.client.usage.prompt_tokens - before,
            sampled_tokens=self.client.usage.completion_tokens - written,
        )
        return Generation(made, stats=stats)


def yes_or_no(choice: dict[str, Any]) -> float | None:
    """Log-odds of Yes against No at the answer's first token that is no blank; None where they are not told.

    Where only one of the words is among the likeliest tokens, the other counts as likely as the last of these, which is
    the most it can be.
    """
    for position in _logprobs(choice):
        if not _word(position["token"]):
            continue
        top = position.get("top_logprobs") or []
        words: dict[str, list[float]] = {"yes": [], "no": []}
        for each in top:
            words.get(_word(each["token"]), []).append(each["logprob"])
        if not any(words.values()):
            return None
        least = min(each["logprob"] for each in top)
        yes, no = (_log_sum(found or [least]) for found in words.values())
        return yes - no
    return None


def _log_sum(values: list[float]) -> float:
    most = max(values)
    return most + math.log(sum(math.exp(value - most) for value in values))


def _logprobs(choice: dict[str, Any]) -> list[dict[str, Any]]:
    """The answer's tokens with their log-probabilities; none where the server tells none."""
    told = (choice.get("logprobs") or {}).get("content") or []
    if any(not isinstance(each, dict) or not {"token", "logprob"} <= set(each) for each in told):
        raise RemoteError(f"log-probabilities of an unknown form: {str(told)[:200]}; set logprobs = false")
    return told


def _content(choice: dict[str, Any]) -> str:
    return choice["message"].get("content") or ""


def _word(text: str) -> str:
    """The first word, without marks around it."""
    words = text.split()
    return words[0].strip("*_`'\".,:;!()").lower() if words else ""


def _candidate(task: Task, choice: dict[str, Any], index: int) -> Candidate:
    text = _content(choice)
    return Candidate(
        unfenced(text, FENCES[task.language])[0],
        raw=text,
        logprobs=[float(each["logprob"]) for each in _logprobs(choice)],
        finish=FINISH.get(str(choice.get("finish_reason")), "given"),
        index=index,
    )
