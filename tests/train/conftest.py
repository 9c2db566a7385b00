"""The tiny topic, rows composed from it, and a tiny random model to train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
import torch

from guard.labels import DEFAULT_LABELS
from tests.train.tiny_base import MARKS, TEMPLATE
from train.corpus import Corpus, read_corpus
from train.dataset import clean
from train.encode import Encoder
from train.generate import Mixture, Side, generate
from train.model import Base, base_in
from train.random_base import save_random_base
from train.rows import Row
from train.run_dir import RunDir

TOPIC: Final = Path(__file__).parent / "tiny_topic"
"""A corpus about bees; nothing in train knows Star Trek."""

MIXTURE: Final = Mixture(
    named=60,
    wrapped=200,
    obfuscated=30,
    buried=20,
    long=10,
    composed_dialogues=60,
    validation_share=0.25,
    test_share=0.25,
)
SEED: Final = 3


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Two threads take turns waiting for each other over matrices of 48 columns."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def topic() -> Path:
    """The folder of the tiny topic."""
    return TOPIC


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    """The tiny topic, read."""
    return read_corpus(TOPIC, DEFAULT_LABELS)


@pytest.fixture(scope="session")
def sides(corpus: Corpus) -> dict[Side, Sequence[Row]]:
    """Rows composed from the tiny topic, clean."""
    return {**clean(generate(corpus, DEFAULT_LABELS, SEED, MIXTURE))[0]}


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> Base:
    """A random Qwen3 of two layers in a Hugging Face folder."""
    texts = [piece.text for piece in corpus.prompts]
    return base_in(save_random_base(tmp_path_factory.mktemp("tiny_qwen3"), MARKS, texts, hidden_size=48))


@pytest.fixture(scope="session")
def encoder(base: Base) -> Encoder:
    """The tiny model's tokenizer with its prompt's marks."""
    return Encoder(base.load_tokenizer(), TEMPLATE)


def write_checkpoint(run: RunDir) -> None:
    """What a run resumes from, as far as its folder is asked."""
    folder = run.checkpoints / "checkpoint-20"
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text("{}", "utf-8")
