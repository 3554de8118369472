"""What the reference implementation says of a few prompts: a bundle that answers otherwise is refused."""

from __future__ import annotations

import math
from typing import Any

import torch
from transformers import PreTrainedModel

from .architecture import MODELS, ROTARY, model_class, reference_config
from .program import PRECISIONS
from .prompts import Segments, encode_shared
from .quantize import dequantize, quantize, round_rows
from .sources import Source
from .tensors import checkpoint_tensor
from .text import Text

# Largest difference from the reference that passes, at least: of a logit, and of a judge's probability. The reference
# rounds as the precision does. What is left is the order of sums and, in the narrow precisions, the roundings it tips
# over, which grow from layer to layer by an amount that is the model's own: there it is measured, by disturbing every
# product as little as another order of sums might.
LOGIT_TOLERANCE = {"fp32": 1e-3, "bf16": 0.25, "fp16": 0.05, "int8": 0.5}
PROBABILITY_TOLERANCE = {"fp32": 1e-4, "bf16": 0.02, "fp16": 0.01, "int8": 0.05}
DISTURBANCE = {"bf16": 2.0**-8, "fp16": 2.0**-11, "int8": 1e-6}
DISTURBED_RUNS, MARGIN = 3, 3.0

PROMPTS = (
    "def add(a, b):\n    return",
    "To sort a list of numbers means to put them in order, so that",
    "import java.util.*;\n\nclass Solution {\n    /** Returns the largest of the given numbers. */\n"
    "    public static int largest(List<Integer> numbers) {\n",
    "from typing import List\n\n\ndef running_total(values: List[int]) -> List[int]:\n"
    '    """Return the sums of the first one, two, … and all values.\n\n'
    "    >>> running_total([1, 2, 3])\n    [1, 3, 6]\n    >>> running_total([])\n    []\n"
    '    """\n    total = 0\n    result = []\n    for value in values:\n        total += value\n',
)
JUDGED = {
    "prompt": 'def larger(a, b):\n    """Return the larger of two numbers."""\n',
    "language": "python",
    "code": "    return a if a > b else b\n",
}
SPOKEN = JUDGED | {"language": "Python"}  # as the prompt's slot has it
TOP = 8


def reference_model(source: Source) -> PreTrainedModel:
    """transformers' own model on the checkpoint's tensors, in fp32."""
    name = model_class(source.config)
    config = reference_config(source.config)
    with torch.device("meta"):
        model = MODELS[name](config)
    tied = config.tie_word_embeddings and "lm_head.weight" in model.state_dict()
    wanted = [key for key in model.state_dict() if not (tied and key == "lm_head.weight")]
    model.load_state_dict({key: checkpoint_tensor(source, key) for key in wanted}, strict=not tied, assign=True)
    if tied:
        model.tie_weights()
    model.model.rotary_emb = ROTARY[source.config["model_type"]](config=config)
    return model.eval()


def round_as(model: PreTrainedModel, precision: str) -> None:
    """Makes an fp32 model round as a bundle of this precision does: its matrices, and what goes into their products.

    The head's inputs stay as they are in int8, since a few of its rows are multiplied in float; a classifier's head is
    float32 throughout."""
    if precision == "fp32":
        return
    dtype = PRECISIONS[precision]

    def rounded(weight: torch.Tensor) -> torch.Tensor:
        if precision == "int8":
            return dequantize(*quantize(weight), weight.shape[1])
        return weight.to(dtype).to(torch.float32)

    def narrow(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (round_rows(inputs[0]) if precision == "int8" else inputs[0].to(dtype).to(torch.float32),)

    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head is not None and head.weight is not embedding.weight:
        head.weight.data = rounded(head.weight.data)
    embedding.weight.data = rounded(embedding.weight.data)
    for module in model.model.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data = rounded(module.weight.data)
            module.register_forward_pre_hook(narrow)


class Reference:
    """Next-token logits (or a classifier's) of token ids, by the reference implementation."""

    def __init__(self, source: Source, precision: str = "fp32") -> None:
        self.model = reference_model(source)
        self.classifier = model_class(source.config).endswith("SequenceClassification")
        self.disturbance = DISTURBANCE.get(precision, 0.0)
        self.head = self.model.score if self.classifier else self.model.lm_head
        round_as(self.model, precision)

    @torch.inference_mode()
    def logits(self, ids: list[int]) -> torch.Tensor:
        return self.head(self.model.model(torch.tensor([ids]), use_cache=False).last_hidden_state[0, -1])

    def disturbed(self, ids: list[int]) -> list[torch.Tensor]:
        """The same from runs whose products are a little off; none where no rounding can tip over."""
        if not self.disturbance:
            return []
        random = torch.Generator().manual_seed(0)

        def disturb(module: torch.nn.Module, inputs: object, out: torch.Tensor) -> torch.Tensor:
            return out * (1 + self.disturbance * torch.randn(out.shape, generator=random))

        linears = [module for module in self.model.model.modules() if isinstance(module, torch.nn.Linear)]
        hooks = [module.register_forward_hook(disturb) for module in linears]
        runs = [self.logits(ids) for _ in range(DISTURBED_RUNS)]
        for hook in hooks:
            hook.remove()
        return runs


def judge_logit(logits: torch.Tensor, judge: dict[str, Any], head: dict[str, Any]) -> float:
    """The judge's log-odds from the logits after its prompt."""
    if judge["type"] == "verbalizer":
        return float(logits[judge["positive"]].logsumexp(0) - logits[judge["negative"]].logsumexp(0))
    positive = head["positive"]
    if logits.numel() == 1:
        return float(logits[0])
    others = torch.cat([logits[:positive], logits[positive + 1 :]])
    return float(logits[positive] - others.logsumexp(0))


def probability(logit: float, judge: dict[str, Any]) -> float:
    calibration = judge["calibration"]
    return 1 / (1 + math.exp(-(calibration["scale"] * logit + calibration["shift"])))


def self_test(
    reference: Reference,
    tokens: Text,
    prompts: dict[str, Segments],
    head: dict[str, Any],
    judge: dict[str, Any] | None,
    precision: str,
) -> list[dict[str, Any]]:
    """The manifest's self-test. `ids` are those of `prompt` as plain text."""
    cases: list[dict[str, Any]] = []
    for prompt in PROMPTS:
        ids = tokens.encode(prompt)
        top = reference.logits(ids).topk(min(TOP, reference.head.out_features))
        off = [float((run[top.indices] - top.values).abs().max()) for run in reference.disturbed(ids)]
        cases.append(
            {
                "prompt": prompt,
                "ids": ids,
                "logits": {"ids": top.indices.tolist(), "values": top.values.tolist()},
                "tolerance": max([LOGIT_TOLERANCE[precision], *(MARGIN * value for value in off)]),
                "judge": None,
            }
        )
    if judge:
        ids = encode_shared(prompts["judge"], SPOKEN, "code", tokens)
        p = probability(judge_logit(reference.logits(ids), judge, head), judge)
        off = [abs(probability(judge_logit(run, judge, head), judge) - p) for run in reference.disturbed(ids)]
        tolerance = max([PROBABILITY_TOLERANCE[precision], *(MARGIN * value for value in off)])
        cases[0]["judge"] = JUDGED | {"p_correct": p, "tolerance": tolerance}
    return cases
