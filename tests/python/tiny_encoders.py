"""Small encoders with random weights, made on the spot, and tokenizers like theirs: bytes, and tokens around a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tiny_models import TEXT, VOCABULARY, edit_config
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
    T5ForSequenceClassification,
)

# In the order of their ids: CodeT5's and RoBERTa's.
T5_SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
ROBERTA_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")

T5: dict[str, Any] = {
    "d_model": 48,
    "d_kv": 20,  # 3 * 20 is not 48
    "d_ff": 96,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 3,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 24,
    "vocab_size": 300,  # as many as the tokenizer has
    "pad_token_id": 0,
    "decoder_start_token_id": 0,
    "eos_token_id": 2,
}
ROBERTA: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 322,  # 320 tokens
    "type_vocab_size": 1,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}


def tokenizer(special: tuple[str, ...]) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 4,
        special_tokens=[AddedToken(token, special=True) for token in special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(TEXT * 20, trainer)
    start, end = (("<s>", made.token_to_id("<s>")), ("</s>", made.token_to_id("</s>")))
    made.post_processor = processors.RobertaProcessing(end, start, trim_offsets=True, add_prefix_space=False)
    return made


def spread(made: nn.Module) -> nn.Module:
    """Weights large enough, biases and norms uneven enough, that a mistake shows in the logits, and not so large that
    one attention swallows the others."""
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            random = torch.randn_like(parameter)
            if name.endswith(("norm.weight", "LayerNorm.weight")):
                parameter.copy_(1 + 0.2 * random)
            elif "relative_attention_bias" in name:
                parameter.copy_(random)
            else:
                parameter.copy_(0.15 * random)
    return made.eval()


def save(made: PreTrainedModel, folder: Path, special: tuple[str, ...]) -> Path:
    made.save_pretrained(folder)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer(special), bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    fast.save_pretrained(folder)
    return folder


def rankef(folder: Path, *, decoder: bool = True, untied: bool = False, **changes: Any) -> tuple[Any, nn.Sequential]:
    """RankEF's form: T5 with a classification head on the encoder's first state. `untied` is T5 1.1's: a vocabulary
    head of its own, and states that are not scaled before it."""
    torch.manual_seed(5)
    kind = T5ForConditionalGeneration if decoder else T5EncoderModel
    model = spread(kind(T5Config(**(T5 | changes))))
    head = spread(nn.Sequential(nn.Linear(T5["d_model"], 128), nn.ReLU(), nn.Linear(128, 3)))
    save(model, folder, T5_SPECIAL)
    tensors = {name: t.contiguous() for name, t in model.state_dict().items() if "embed_tokens" not in name}
    tensors.pop("lm_head.weight", None)
    if untied:
        model.lm_head.weight = nn.Parameter(0.15 * torch.randn(T5["vocab_size"], T5["d_model"]))
        model.config.scale_decoder_outputs = False
        tensors["lm_head.weight"] = model.lm_head.weight.detach()
        edit_config(folder, tie_word_embeddings=False, scale_decoder_outputs=False)
    tensors |= {f"class_head.{name}": tensor for name, tensor in head.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    return model, head


def labelled(labels: tuple[str, ...]) -> dict[str, Any]:
    return {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}


def t5_classifier(folder: Path, labels: tuple[str, ...], **changes: Any) -> PreTrainedModel:
    torch.manual_seed(6)
    model = spread(T5ForSequenceClassification(T5Config(**(T5 | labelled(labels) | changes))))
    save(model, folder, T5_SPECIAL)
    return model


def roberta(folder: Path, labels: tuple[str, ...], **changes: Any) -> PreTrainedModel:
    torch.manual_seed(7)
    model = spread(RobertaForSequenceClassification(RobertaConfig(**(ROBERTA | labelled(labels) | changes))))
    save(model, folder, ROBERTA_SPECIAL)
    return model
