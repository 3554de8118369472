"""What a training leaves for an export: a peft adapter or a whole checkpoint, and how the judge is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from gavel.toolkit import bundle as bundles
from gavel.toolkit.architecture import family_of
from gavel.toolkit.datasets import write_atomically
from gavel.toolkit.judging import JUDGE_FILE
from gavel.toolkit.sources import Source
from gavel.toolkit.training.model import JudgeModel


def save(model: JudgeModel, source: Source, wording: dict[str, Any], folder: Path) -> None:
    if model.lora is None:
        save_checkpoint(model, source, folder)
    else:
        model.save_adapter(folder, source.base or source.origin)
    write_atomically(folder / JUDGE_FILE, bundles.to_json(wording))


def save_checkpoint(model: JudgeModel, source: Source, folder: Path) -> None:
    """A folder as transformers saves one, with the source's tokenizer."""
    config = dict(source.config)
    state = {name: each for name, each in model.causal.state_dict().items() if not name.startswith("lm_head.")}
    if model.score is None:
        if not model.config.tied:
            state["lm_head.weight"] = model.causal.lm_head.weight
    else:
        state["score.weight"] = model.score.weight
        names = {str(number): label for number, label in enumerate(model.verdicts.labels)}
        config |= {
            "architectures": [family_of(config).classifier],
            "id2label": names,
            "label2id": {label: int(number) for number, label in names.items()},
        }
    save_file(
        {name: each.detach().float().cpu().contiguous() for name, each in state.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    special = source.special
    settings = {
        **special.named,
        "add_bos_token": special.adds_bos,
        "bos_token": special.bos,
        "chat_template": source.chat_template,
    }
    write_atomically(folder / "config.json", bundles.to_json(config | {"dtype": "float32"}))
    write_atomically(folder / "tokenizer_config.json", bundles.to_json(settings))
    ends = [end for end in special.eos if isinstance(end, int)]
    if ends:
        write_atomically(folder / "generation_config.json", bundles.to_json({"eos_token_id": ends}))
    write_atomically(folder / source.tokenizer.name, source.tokenizer.data)
