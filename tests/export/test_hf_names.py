"""One name for each tensor."""

from __future__ import annotations

import pytest

from export.hf_names import plain_name


@pytest.mark.parametrize(
    ("stored", "plain"),
    [
        ("model.layers.3.mlp.up_proj.weight", "model.layers.3.mlp.up_proj.weight"),
        ("layers.3.mlp.up_proj.weight", "model.layers.3.mlp.up_proj.weight"),
        ("language_model.model.norm.weight", "model.norm.weight"),
        ("model.language_model.embed_tokens.weight", "model.embed_tokens.weight"),
        ("model.language_model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.q_proj"),
        ("language_model.lm_head.weight", "lm_head.weight"),
        ("score.weight", "score.weight"),
        ("model.vision_tower.embeddings.patch_embedding.weight", None),
        ("multi_modal_projector.mm_soft_emb_norm.weight", None),
        ("model.layers.0.self_attn.rotary_emb.inv_freq", None),
        ("classifier.out.weight", "classifier.out.weight"),
    ],
)
def test_each_way_of_storing_has_one_plain_name(stored: str, plain: str | None) -> None:
    """Prefixes of wrapped models fall away; what is not of the text model is None; the unknown stays as it is."""
    assert plain_name(stored) == plain
