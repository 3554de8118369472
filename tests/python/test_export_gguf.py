"""A GGUF file gives the same model and tokenizer as the folder it was made from."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_models as tiny
import torch
from tokenizers import Tokenizer

from gavel.toolkit.architecture import decoder_config, rope_tables
from gavel.toolkit.errors import ToolkitError, UnsupportedError
from gavel.toolkit.export import stop_tokens
from gavel.toolkit.gguf_file import unpermute
from gavel.toolkit.gguf_tokenizer import sentencepiece_model
from gavel.toolkit.sources import Source, TokenizerFile, open_source
from gavel.toolkit.tensors import check, checkpoint_shapes, parts
from gavel.toolkit.text import Text, proto


def check_all(source: Source) -> None:
    check(source, parts(decoder_config(source.config)))


@pytest.mark.parametrize("variant", ["llama", "llama-untied", "llama-head-dim", "qwen2", "qwen2-untied"])
def test_same_config_and_tensors_as_the_folder(variant: str, tmp_path: Path) -> None:
    made = tiny.model(variant)
    metadata = {}
    folder = open_source(tiny.save(made, tmp_path / "tiny"))
    path = tmp_path / "tiny.gguf"
    if variant == "llama-head-dim":
        with pytest.raises(ToolkitError, match="has shape"):
            check_all(open_source(tiny.save_gguf(made, path)))  # the file does not say the head's size
        return
    source = open_source(tiny.save_gguf(made, path, metadata=metadata))
    check_all(source)
    assert decoder_config(source.config) == decoder_config(folder.config)
    for name in checkpoint_shapes(parts(decoder_config(source.config))):
        assert torch.equal(source.tensor(name), folder.tensor(name)), name


def test_unpermute_undoes_permute() -> None:
    weight = torch.randn(24, 5)
    assert torch.equal(unpermute(tiny.permuted(weight, 3), 3), weight)


def test_quantised_tensors_are_dequantised(tmp_path: Path) -> None:
    made = tiny.model("llama")
    source = open_source(tiny.save_gguf(made, tmp_path / "tiny.gguf", quantised=("blk.0.ffn_gate.weight",)))
    exact = made.state_dict()["model.layers.0.mlp.gate_proj.weight"]
    found = source.tensor("model.layers.0.mlp.gate_proj.weight")
    assert not torch.equal(found, exact)
    torch.testing.assert_close(found, exact, atol=4e-3, rtol=0)


def test_head_that_is_the_embedding_with_more_bits_is_tied_to_it(tmp_path: Path) -> None:
    made = tiny.model("llama")
    head = made.state_dict()["lm_head.weight"]
    path = tiny.save_gguf(made, tmp_path / "tiny.gguf", extra={"output.weight": head}, quantised=("token_embd.weight",))
    source = open_source(path)
    check_all(source)
    assert decoder_config(source.config).tied
    assert torch.equal(source.tensor("model.embed_tokens.weight"), head)


def test_llama3_rope_is_recognised_in_its_table(tmp_path: Path) -> None:
    made = tiny.model("llama", rope_parameters=tiny.LLAMA3 | {"original_max_position_embeddings": 8192})
    plain = tiny.model("llama", rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
    factors = plain.model.rotary_emb.inv_freq / made.model.rotary_emb.inv_freq
    source = open_source(tiny.save_gguf(made, tmp_path / "a.gguf", extra={"rope_freqs.weight": factors}))
    check_all(source)
    torch.testing.assert_close(rope_tables(source.config)[0][0], made.model.rotary_emb.inv_freq)
    odd = torch.tensor([1.0, 3.0] * 4)
    with pytest.raises(UnsupportedError, match="table of rotary factors"):
        open_source(tiny.save_gguf(made, tmp_path / "b.gguf", extra={"rope_freqs.weight": odd}))


def test_linear_rope(tmp_path: Path) -> None:
    made = tiny.model("llama-linear")
    metadata: dict[str, float | str] = {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}
    source = open_source(tiny.save_gguf(made, tmp_path / "tiny.gguf", metadata=metadata))
    torch.testing.assert_close(rope_tables(source.config)[0][0], made.model.rotary_emb.inv_freq)


@pytest.mark.parametrize(
    "metadata, message",
    [
        ({"rope.scaling.type": "yarn"}, "yarn"),
        ({"attention.sliding_window": 64.0}, "sliding-window"),
        ({"expert_count": 4.0}, "experts"),
        ({"rope.dimension_count": 8.0}, "rotary positions on 8.0 of 16"),
    ],
)
def test_unsupported_files_are_refused_by_name(metadata: dict[str, float | str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=message):
        open_source(tiny.save_gguf(tiny.model("llama"), tmp_path / "tiny.gguf", metadata=metadata))


def test_unknown_pre_tokenizer_and_tensor_are_named(tmp_path: Path) -> None:
    made = tiny.model("llama")
    with pytest.raises(UnsupportedError, match="'chatglm-bpe' is not supported; known are qwen2"):
        open_source(tiny.save_gguf(made, tmp_path / "a.gguf", pre="chatglm-bpe"))
    path = tiny.save_gguf(made, tmp_path / "b.gguf", extra={"blk.0.attn_q_norm.weight": torch.ones(16)})
    with pytest.raises(ToolkitError, match="attn_q_norm"):
        check_all(open_source(path))


def test_truncated_file_is_named(tmp_path: Path) -> None:
    path = tiny.save_gguf(tiny.model("llama"), tmp_path / "tiny.gguf")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ToolkitError, match=r"cannot read .*tiny\.gguf.*incomplete"):
        open_source(path)


def test_tokenizer_is_the_one_the_file_was_made_from(tmp_path: Path) -> None:
    source = open_source(tiny.save_gguf(tiny.model("llama"), tmp_path / "tiny.gguf"))
    text, original = Text(source.tokenizer), tiny.tokenizer()
    original.encode_special_tokens = True
    for sample in (*tiny.TEXT, "Yes<|im_end|>", "naïve 1234\t\r\n  é"):
        assert text.encode(sample) == original.encode(sample).ids
    assert text.size == original.get_vocab_size()  # the embedding's padding is no token
    assert text.special == {token: i for i, token in enumerate(tiny.SPECIAL)}
    assert stop_tokens(source, text) == [2, 0]
    assert source.chat_template == tiny.TEMPLATE and not source.special.adds_bos


@pytest.mark.parametrize(
    "pre, pieces",
    [
        ("gpt-2", ["Ġadd", "Ġ12345", "!"]),
        ("smollm", ["Ġadd", "Ġ", "1", "2", "3", "4", "5", "!"]),
        ("starcoder", ["Ġadd", "Ġ", "1", "2", "3", "4", "5", "!"]),
        ("refact", ["Ġadd", "Ġ", "1", "2", "3", "4", "5", "!"]),
        ("gpt-4o", ["Ġadd", "Ġ", "123", "45", "!"]),
        ("qwen2", ["Ġadd", "Ġ", "1", "2", "3", "4", "5", "!"]),
        ("llama-bpe", ["Ġadd", "Ġ", "123", "45", "!"]),
        ("deepseek-coder", ["Ġadd", "Ġ", "1", "2", "3", "4", "5", "!"]),
    ],
)
def test_pre_tokenizers_split_as_their_models_do(pre: str, pieces: list[str], tmp_path: Path) -> None:
    source = open_source(tiny.save_gguf(tiny.model("llama"), tmp_path / "tiny.gguf", pre=pre))
    tokenizer = Tokenizer.from_str(source.tokenizer.data.decode())
    assert [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(" add 12345!")] == pieces
    assert (tokenizer.normalizer is not None) == (pre == "qwen2")
    assert tokenizer.decode(tokenizer.encode(" add 12345!\n é").ids) == " add 12345!\n é"


def test_sentencepiece_model_is_rebuilt(tmp_path: Path) -> None:
    import sentencepiece as sp

    (tmp_path / "text").write_text("\n".join(tiny.TEXT * 50))
    sp.SentencePieceTrainer.train(
        input=str(tmp_path / "text"),
        model_prefix=str(tmp_path / "m"),
        model_type="bpe",
        vocab_size=300,
        byte_fallback=True,
        user_defined_symbols=["<code>"],
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    original = TokenizerFile("tokenizer.model", (tmp_path / "m.model").read_bytes())
    pieces = proto(original.data).pieces

    class Fields:
        def field(self, key: str, *default: object) -> object:
            lists = {
                "tokenizer.ggml.tokens": [piece.piece for piece in pieces],
                "tokenizer.ggml.scores": [piece.score for piece in pieces],
                "tokenizer.ggml.token_type": [piece.type for piece in pieces],
            }
            return lists.get(key, default[0] if default else None)

    rebuilt = Text(TokenizerFile("tokenizer.model", sentencepiece_model(Fields())))  # type: ignore[arg-type]
    expected = Text(original)
    assert rebuilt.added == expected.added and rebuilt.size == expected.size
    for sample in (*tiny.TEXT, "  two  spaces", "é<code>😀", "</s>"):
        assert rebuilt.encode(sample) == expected.encode(sample)
