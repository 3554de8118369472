"""Encoders that judge against transformers on the same random weights: class probabilities, P(correct), feedback."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

import gavel
from gavel.toolkit.export import JudgeWording, export

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "python"))

import tiny_encoders as tiny  # noqa: E402
import tiny_models  # noqa: E402
from tables import record  # noqa: E402

TABLE = "Class probabilities of encoders beside transformers"

TASK = gavel.Task('def double(x):\n    """Return twice x, für jede Zahl."""\n', language="python")
CODES = ["    return 2 * x\n", "    return x\n", "    return x + x\n" * 9, "    pass"] + [
    f"    return x * {i} / {i + 1}\n" for i in range(6)
]
CLASSIFY = "<CLASSIFICATION>\nQUESTION:\n{}\nCODE:\n{}\nResult:\n"
GENERATE = "<GENERATION>\nQUESTION:\n{}\nCODE:\n{}\nEVAL_MESSAGE:\n"
BINARY = ("wrong", "correct")
TERNARY = ("Correct", "Execution error", "Intent error")
ERRORS = ("Correct", "NameError", "ValueError", "TypeError", "IndexError", "Intent error")
# A logit's error times the largest slope of a sigmoid or softmax, and what the narrow formats lose in these models.
FP32 = 1e-5


class Case:
    """A bundle, and the reference's logits of one candidate."""

    def __init__(self, folder: Path, logits: Callable[[Any, str], torch.Tensor], judge: JudgeWording | None) -> None:
        self.folder = folder
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self._logits = logits
        self._judge = judge

    def bundle(self, precision: str = "fp32") -> Path:
        path = self.folder.parent / f"{precision}.gavel"
        return export(self.folder, path, precision=precision, judge=self._judge, force=True)

    @torch.inference_mode()
    def logits(self, code: str, prompt: str = TASK.prompt) -> numpy.ndarray:
        return self._logits(self.tokenizer, prompt, code).double().numpy()


def softmax(logits: numpy.ndarray) -> numpy.ndarray:
    return numpy.exp(logits - numpy.logaddexp.reduce(logits))


def rankef(folder: Path, **changes: Any) -> Case:
    model, head = tiny.rankef(folder, **changes)

    def logits(tokenizer: Any, prompt: str, code: str) -> torch.Tensor:
        ids = tokenizer(CLASSIFY.format(prompt, code), truncation=True, max_length=1024, return_tensors="pt").input_ids
        return head(model.get_encoder()(ids).last_hidden_state[0, 0])

    case = Case(folder, logits, JudgeWording(truncate="end"))
    case.model = model
    return case


def pairs(folder: Path, model: Any) -> Case:
    return Case(
        folder,
        lambda tokenizer, prompt, code: model(tokenizer(prompt, code, return_tensors="pt").input_ids).logits[0],
        None,
    )


CASES: dict[str, Callable[[Path], Case]] = {
    "rankef-relu": rankef,
    "rankef-gated-gelu": lambda folder: rankef(folder, feed_forward_proj="gated-gelu"),
    "rankef-gated-silu": lambda folder: rankef(folder, feed_forward_proj="gated-silu"),
    "rankef-t5-1.1": lambda folder: rankef(folder, feed_forward_proj="gated-gelu", untied=True),
    "rankef-encoder": lambda folder: rankef(folder, decoder=False),
    "t5-classifier": lambda folder: pairs(folder, tiny.t5_classifier(folder, TERNARY)),
    "t5-classifier-gelu": lambda folder: pairs(folder, tiny.t5_classifier(folder, BINARY, feed_forward_proj="gelu")),
    "roberta-1": lambda folder: pairs(folder, tiny.roberta(folder, ("correct",))),
    "roberta-2": lambda folder: pairs(folder, tiny.roberta(folder, BINARY)),
    "roberta-3": lambda folder: pairs(folder, tiny.roberta(folder, TERNARY, type_vocab_size=2)),
    "roberta-6": lambda folder: pairs(folder, tiny.roberta(folder, ERRORS, hidden_act="relu")),
}
POSITIVE = {"roberta-2": 1, "t5-classifier-gelu": 1}


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def expected_p(logits: numpy.ndarray, positive: int) -> float:
    return 1 / (1 + numpy.exp(-logits[0])) if logits.size == 1 else softmax(logits)[positive]


def expected_probabilities(logits: numpy.ndarray) -> numpy.ndarray:
    return 1 / (1 + numpy.exp(-logits)) if logits.size == 1 else softmax(logits)


def test_probabilities(name: str, tmp_path: Path) -> None:
    """Every label's probability and P(correct), for candidates judged together and alone."""
    case = CASES[name](tmp_path / "checkpoint")
    model = gavel.Model.open(case.bundle(), self_test=True)
    judge = gavel.Judge(model)
    assert judge.info().kind == "classifier" and judge.info().trained
    verdicts = judge.judge(TASK, CODES)
    worst, apart = 0.0, set()
    for code, verdict in zip(CODES, verdicts, strict=True):
        logits = case.logits(code)
        assert len(verdict.probabilities) == len(judge.info().labels) == logits.size
        worst = max(worst, numpy.abs(verdict.probabilities - expected_probabilities(logits)).max())
        assert verdict.p_correct == pytest.approx(expected_p(logits, POSITIVE.get(name, 0)), abs=FP32)
        assert verdict.truncated == 0 and verdict.feedback == ""
        alone = judge.judge(TASK, [code])[0]
        assert alone.p_correct == pytest.approx(verdict.p_correct, abs=1e-5)
        apart.add(round(verdict.p_correct, 4))
    record(TABLE, {"model": name, "precision": "fp32", "largest difference": f"{worst:.1e}", "bound": FP32})
    assert worst < FP32
    assert len(apart) > 5  # or nothing was compared


@pytest.mark.parametrize("precision, bound", [("bf16", 0.05), ("fp16", 0.01), ("int8", 0.08)])
@pytest.mark.parametrize("name", ["rankef-gated-gelu", "t5-classifier", "roberta-3"])
def test_precisions(name: str, precision: str, bound: float, tmp_path: Path) -> None:
    """Narrow weights move a probability by no more than the bound; int8's ten scores are those of each alone, to the
    last bit; and the bundle's self-test, made from a reference that rounds alike, holds."""
    case = CASES[name](tmp_path / "checkpoint")
    judge = gavel.Judge(gavel.Model.open(case.bundle(precision), self_test=True))
    verdicts = judge.judge(TASK, CODES)
    expected = [expected_probabilities(case.logits(code)) for code in CODES]
    worst = max(numpy.abs(v.probabilities - e).max() for v, e in zip(verdicts, expected, strict=True))
    record(TABLE, {"model": name, "precision": precision, "largest difference": f"{worst:.1e}", "bound": bound})
    assert worst < bound
    for code, verdict in zip(CODES, verdicts, strict=True):
        alone = judge.judge(TASK, [code])[0].probabilities
        assert alone == pytest.approx(verdict.probabilities, abs=0 if precision == "int8" else 2e-2)


@pytest.mark.parametrize("name", ["rankef-relu", "rankef-gated-gelu", "rankef-t5-1.1"])
def test_feedback(name: str, tmp_path: Path) -> None:
    """What the decoder writes is what generate writes, for ten candidates at once and for each alone."""
    case = CASES[name](tmp_path / "checkpoint")
    model = gavel.Model.open(case.bundle())
    judge = gavel.Judge(model, feedback_tokens=24)
    verdicts = judge.judge(TASK, CODES)
    plain = gavel.Judge(model).judge(TASK, CODES)
    for code, verdict, other in zip(CODES, verdicts, plain, strict=True):
        ids = case.tokenizer(GENERATE.format(TASK.prompt, code), return_tensors="pt").input_ids
        written = case.model.generate(ids, do_sample=False, num_beams=1, max_new_tokens=24, use_cache=False)[0]
        assert verdict.feedback == case.tokenizer.decode(
            written, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        assert judge.judge(TASK, [code])[0].feedback == verdict.feedback
        assert verdict.p_correct == other.p_correct and other.feedback == ""
    assert len({verdict.feedback for verdict in verdicts}) > 5  # or the encoder's states did not matter


@pytest.mark.parametrize("name", ["rankef-relu", "rankef-t5-1.1"])
def test_feedback_ends(name: str, tmp_path: Path) -> None:
    """Each ends at its own end token: here one that this model writes early, for some sooner than for others."""
    case = CASES[name](tmp_path / "checkpoint")
    ids = [case.tokenizer(GENERATE.format(TASK.prompt, code), return_tensors="pt").input_ids for code in CODES]
    written = [case.model.generate(i, do_sample=False, max_new_tokens=24, use_cache=False)[0].tolist() for i in ids]
    for end in sorted({token for text in written for token in text[2:]}):
        places = {text.index(end) if end in text[2:] else None for text in written}
        if len(places) > 2:
            break
    assert len(places) > 2
    tiny_models.edit_config(case.folder, eos_token_id=end)
    (case.folder / "generation_config.json").unlink()
    judge = gavel.Judge(gavel.Model.open(case.bundle()), feedback_tokens=24)
    for verdict, each in zip(judge.judge(TASK, CODES), ids, strict=True):
        options = {"do_sample": False, "max_new_tokens": 24, "use_cache": False, "eos_token_id": end}
        expected = case.model.generate(each, **options)[0].tolist()
        expected = expected[:-1] if expected[-1] == end else expected
        assert verdict.feedback == case.tokenizer.decode(expected, skip_special_tokens=True)


def test_long_positions(tmp_path: Path) -> None:
    """Beyond the largest distance, and beyond one pass of the engine: relative positions as the reference has them."""
    case = CASES["rankef-gated-gelu"](tmp_path / "checkpoint")
    judge = gavel.Judge(gavel.Model.open(case.bundle()))
    codes = [f"    return {i} * x  # {'x + ' * 60 * i}\n" for i in range(1, 5)]
    for code, verdict in zip(codes, judge.judge(TASK, codes), strict=True):
        assert verdict.probabilities == pytest.approx(softmax(case.logits(code)), abs=FP32)


def test_end_truncated_as_rankef(tmp_path: Path) -> None:
    """With "truncate": "end", what RankEF's own script feeds: the first 1024 tokens of the whole, closed."""
    case = CASES["rankef-relu"](tmp_path / "checkpoint")
    judge = gavel.Judge(gavel.Model.open(case.bundle()))
    code = "    return x + x\n" * 200
    verdict = judge.judge(TASK, [code])[0]
    whole = len(case.tokenizer(CLASSIFY.format(TASK.prompt, code)).input_ids)
    assert verdict.truncated == whole - 1024 > 0
    assert verdict.probabilities == pytest.approx(softmax(case.logits(code)), abs=FP32)


def test_task_truncated(tmp_path: Path) -> None:
    """By default the task's end is left out, as little of it as need be, and the candidate is read whole."""
    case = CASES["roberta-3"](tmp_path / "checkpoint")
    judge = gavel.Judge(gavel.Model.open(case.bundle()))
    prompt = TASK.prompt + "# für jede Zahl — auch 🙂\n" * 40
    for code in CODES:
        verdict = judge.judge(gavel.Task(prompt), [code])[0]
        fitting = max(
            (n for n in range(len(prompt)) if len(case.tokenizer(prompt[:n], code).input_ids) <= 320), default=0
        )
        whole, read = (len(case.tokenizer(text, code).input_ids) for text in (prompt, prompt[:fitting]))
        assert verdict.truncated == whole - read > 0
        expected = softmax(case.logits(code, prompt[:fitting]))
        assert verdict.probabilities == pytest.approx(expected, abs=FP32)


@pytest.mark.parametrize("labels", [("score",), BINARY, TERNARY, ERRORS])
def test_decoder_classifiers(labels: tuple[str, ...], tmp_path: Path) -> None:
    """A decoder's head with any number of labels; one is a reward head, whose probability is its sigmoid."""
    torch.manual_seed(8)
    values = tiny_models.LLAMA | tiny.labelled(labels) | {"max_position_embeddings": 512, "pad_token_id": 0}
    model = tiny_models.spread(LlamaForSequenceClassification(LlamaConfig(**values)))
    folder = tiny_models.save(model, tmp_path / "checkpoint")
    bundle = export(folder, tmp_path / "fp32.gavel", precision="fp32")
    opened = gavel.Model.open(bundle, self_test=True)
    judge = gavel.Judge(opened)
    assert judge.info().labels == list(labels)
    from gavel.toolkit.prompts import encode_shared
    from gavel.toolkit.sources import TokenizerFile
    from gavel.toolkit.text import Text

    text = Text(TokenizerFile("tokenizer.json", (bundle / "tokenizer.json").read_bytes()))
    segments = json.loads((bundle / "gavel.json").read_text())["prompts"]["judge"]
    codes = [code for code in CODES if len(code) < 40]
    for code, verdict in zip(codes, judge.judge(TASK, codes), strict=True):
        ids = encode_shared(segments, {"prompt": TASK.prompt, "language": "Python", "code": code}, "code", text)
        with torch.inference_mode():
            states = model.model(torch.tensor([ids]), use_cache=False).last_hidden_state[0, -1]
            logits = model.score(states).double().numpy()
        assert verdict.probabilities == pytest.approx(expected_probabilities(logits), abs=FP32)
        positive = 1 if labels is BINARY else 0
        assert verdict.p_correct == pytest.approx(expected_p(logits, positive), abs=FP32)
