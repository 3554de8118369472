"""Bundles against transformers on the same weights in fp32: logits, greedy continuations, a judge's probability."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch
from transformers import PreTrainedModel

import gavel
from gavel.toolkit.export import export
from gavel.toolkit.prompts import encode_shared
from gavel.toolkit.pull import models_folder
from gavel.toolkit.reference import reference_model
from gavel.toolkit.sources import TokenizerFile, open_source
from gavel.toolkit.text import Text

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "python"))

import tiny_models as tiny  # noqa: E402

GGUF = {
    "smollm2": "smollm2-135m-instruct.gguf",
    "qwen2.5-coder": "qwen2.5-coder-0.5b-instruct.gguf",
}
TEXTS = [
    "def",
    "The capital of France is",
    "import java.util.*;\n\nclass Main {\n",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "#include <vector>\n\nint sum(const std::vector<int>& v) {\n",
    'def reverse(text):\n    """Return the text backwards."""\n',
    "public static boolean isPrime(int n) {\n    if (n < 2) return false;\n",
    "SELECT name, count(*) FROM users GROUP BY",
    "Zażółć gęślą jaźń — 日本語 🙂\n",
    "x = [i * i for i in range(10)]\nprint(x)\n# prints",
]
# Twenty prompts of different lengths, the longest beyond one forward pass of the engine.
PROMPTS = TEXTS + [text * (3 + 2 * i) for i, text in enumerate(TEXTS)]


def logits(bundle: Path, lines: list[str], vocabulary: int) -> numpy.ndarray:
    """What the library itself computes, through tests/conformance/logits.cpp."""
    program = ROOT / "build" / "bin" / "gavel_logits"
    done = subprocess.run([program, bundle], input="\n".join(lines).encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return numpy.frombuffer(done.stdout, dtype=numpy.float32).reshape(len(lines), vocabulary)


def line(ids: list[int]) -> str:
    return " ".join(map(str, ids))


@torch.inference_mode()
def reference_logits(model: PreTrainedModel, ids: list[int]) -> numpy.ndarray:
    return model(torch.tensor([ids]), logits_to_keep=1).logits[0, -1].numpy()


@torch.inference_mode()
def reference_choices(model: PreTrainedModel, ids: list[int], continuation: list[int]) -> list[int]:
    """The reference's likeliest token after the prompt and after each token of the continuation. Where each is the
    continuation's next, the continuation is the reference's own greedy one: by induction, and in one pass."""
    states = model.model(torch.tensor([ids + continuation]), use_cache=False).last_hidden_state[0, len(ids) - 1 :]
    return model.lm_head(states).argmax(-1).tolist()


@pytest.fixture(scope="module", params=list(GGUF))
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreTrainedModel]:
    """A real model's fp32 bundle and transformers' model on the same weights."""
    if request.param != "smollm2" and not os.environ.get("GAVEL_LARGE_PARITY"):
        pytest.skip("half a billion parameters in fp32 take minutes: set GAVEL_LARGE_PARITY=1")
    file = models_folder() / GGUF[request.param]
    if not file.is_file():
        pytest.skip(f"{file} is not there; bring it with `gavel pull {file.stem}`")
    bundle = ROOT / "build" / "models" / f"{file.stem}-fp32.gavel"
    if not bundle.is_dir():
        bundle = export(file, tmp_path_factory.mktemp("fp32") / bundle.name, precision="fp32")
    return bundle, reference_model(open_source(file))


def test_logits(real: tuple[Path, PreTrainedModel]) -> None:
    """Next-token logits within 1e-3 everywhere: after every prompt, the whole vocabulary; and inside one, position by
    position."""
    bundle, model = real
    tokenizer = gavel.Model.open(bundle).tokenizer
    prompts = [tokenizer.encode(text) for text in PROMPTS]
    prompts += [prompts[5][:i] for i in range(1, len(prompts[5]))]
    found = logits(bundle, [line(ids) for ids in prompts], model.config.vocab_size)
    worst = max(numpy.abs(found[i] - reference_logits(model, ids)).max() for i, ids in enumerate(prompts))
    print(f"{bundle.name}: largest difference of a logit {worst:.2e}")
    assert worst < 1e-3


def test_shared_prefix_logits(real: tuple[Path, PreTrainedModel]) -> None:
    """Ten continuations read together after one prefix, each as if it were alone."""
    bundle, model = real
    tokenizer = gavel.Model.open(bundle).tokenizer
    prefix = tokenizer.encode(PROMPTS[15])
    own = [tokenizer.encode(text) for text in TEXTS]
    lines = [line(prefix) + "|" + line(own[0])] + ["|" + line(ids) for ids in own[1:]]
    found = logits(bundle, lines, model.config.vocab_size)
    worst = max(numpy.abs(found[i] - reference_logits(model, prefix + ids)).max() for i, ids in enumerate(own))
    print(f"{bundle.name}: largest difference of a logit after a shared prefix {worst:.2e}")
    assert worst < 1e-3


@pytest.mark.timeout(1800)
def test_greedy(real: tuple[Path, PreTrainedModel]) -> None:
    """64 greedy tokens after 20 prompts, alone and in a batch of ten with a shared prefix."""
    bundle, model = real
    opened = gavel.Model.open(bundle)
    generator = gavel.Generator(opened)
    stops = set(opened.manifest["tokens"]["stop"])
    options = {"max_tokens": 64, "temperature": 0.0, "language_stops": False}
    for text in PROMPTS:
        ids = [segment["token"] for segment in opened.manifest["prompts"]["completion"] if "token" in segment]
        ids += opened.tokenizer.encode(text)
        alone = list(generator.generate(gavel.Task(prompt=text), candidates=1, **options).candidates[0].tokens)
        *expected, after = reference_choices(model, ids, alone)
        assert alone == expected, repr(text[:40])
        assert len(alone) == 64 or after in stops
        for candidate in generator.generate(gavel.Task(prompt=text), candidates=10, **options).candidates:
            assert list(candidate.tokens) == alone, repr(text[:40])


def test_judge(real: tuple[Path, PreTrainedModel]) -> None:
    """P(correct) within 1e-4, for candidates judged together and alone."""
    bundle, model = real
    opened = gavel.Model.open(bundle)
    judge = gavel.Judge(opened, kind="verbalizer")
    manifest = opened.manifest
    task = gavel.Task(prompt='def double(x):\n    """Return twice x."""\n', language="python")
    codes = ["    return 2 * x\n", "    return x\n", "    return x + x\n" * 9, "    pass"] + [
        f"    return x * {i} / {i + 1}\n" for i in range(6)
    ]
    file = manifest["tokenizer"]["file"]
    text = Text(TokenizerFile(file, (bundle / file).read_bytes()))
    verdicts = judge.judge(task, codes)
    for code, verdict in zip(codes, verdicts, strict=True):
        slots = {"prompt": task.prompt, "language": "Python", "code": code}
        values = reference_logits(model, encode_shared(manifest["prompts"]["judge"], slots, "code", text)).astype(float)
        spoken = manifest["judge"]
        logit = numpy.logaddexp.reduce(values[spoken["positive"]]) - numpy.logaddexp.reduce(values[spoken["negative"]])
        expected = 1 / (1 + math.exp(-logit))
        assert verdict.p_correct == pytest.approx(expected, abs=1e-4)
        assert judge.judge(task, [code])[0].p_correct == pytest.approx(verdict.p_correct, abs=1e-5)


@pytest.mark.parametrize("variant", [name for name in tiny.VARIANTS if name != "llama-head-dim"])
def test_variants(variant: str, tmp_path: Path) -> None:
    """Random weights of every family variant: rope scaling, tied and untied heads, biases, group sizes."""
    model = tiny.model(variant)
    bundle = export(tiny.save(model, tmp_path / "checkpoint"), tmp_path / "tiny.gavel", precision="fp32")
    random = numpy.random.default_rng(1)
    prefix = random.integers(3, 300, 120).tolist()
    own = [random.integers(3, 300, 1 + 9 * i).tolist() for i in range(10)]
    alone = [prefix[:n] for n in (1, 2, 15, 16, 17, 63, 64, 65, 120)]
    lines = [line(ids) for ids in alone]
    lines += [line(prefix) + "|" + line(own[0])] + ["|" + line(ids) for ids in own[1:]]
    found = logits(bundle, lines, tiny.VOCABULARY)
    for i, ids in enumerate(alone + [prefix + ids for ids in own]):
        expected = reference_logits(model, ids)
        assert numpy.abs(found[i] - expected).max() < 1e-3 * max(1.0, numpy.abs(expected).max())
