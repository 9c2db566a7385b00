"""Every route of both upstreams, written down apart from the gateway's own table."""

from __future__ import annotations

from typing import Final

OLLAMA: Final = """
GET / | HEAD / | GET /api/version | HEAD /api/version | GET /api/status | GET /api/tags | HEAD /api/tags | GET /api/ps
POST /api/show | POST /api/generate | POST /api/chat | POST /api/embed | POST /api/embeddings | POST /api/create
POST /api/pull | POST /api/push | POST /api/copy | DELETE /api/delete | POST /api/blobs/:digest
HEAD /api/blobs/:digest | POST /api/me | POST /api/signout | DELETE /api/user/keys/:encodedKey
POST /api/experimental/web_search | POST /api/experimental/web_fetch | GET /api/experimental/model-recommendations
POST /v1/chat/completions | POST /v1/completions | POST /v1/responses | POST /v1/messages | POST /v1/embeddings
POST /v1/audio/transcriptions | GET /v1/models | GET /v1/models/:model
"""
"""ollama/server/routes.go of v0.33, all 34 registrations."""

LLAMA_SERVER: Final = """
GET /health | GET /v1/health | GET /models | GET /v1/models | GET /metrics | GET /props | POST /props | GET /slots
POST /slots/:id | GET /lora-adapters | POST /lora-adapters | POST /completion | POST /completions
POST /v1/completions | POST /chat/completions | POST /v1/chat/completions | POST /v1/chat/completions/control
POST /responses | POST /v1/responses | POST /v1/messages | POST /v1/messages/count_tokens
POST /chat/completions/input_tokens | POST /v1/chat/completions/input_tokens | POST /responses/input_tokens
POST /v1/responses/input_tokens | POST /v1/audio/transcriptions | POST /audio/transcriptions | POST /infill
POST /embedding | POST /embeddings | POST /v1/embeddings | POST /rerank | POST /reranking | POST /v1/rerank
POST /v1/reranking | POST /tokenize | POST /detokenize | POST /apply-template | GET /v1/stream/:conv_id
DELETE /v1/stream/:conv_id | GET /v1/streams | POST /v1/systemone | POST /models | DELETE /models | POST /models/load
POST /models/unload | GET /models/sse | GET /cors-proxy | POST /cors-proxy | GET /tools | POST /tools | POST /predict
POST /api/chat | GET /api/tags | POST /api/show
"""
"""The union over llama-server's versions of 2025 and 2026."""

PROMPT_ROUTES: Final = """
POST /api/generate | POST /api/chat | POST /v1/chat/completions | POST /v1/completions | POST /v1/responses
POST /v1/messages | POST /v1/audio/transcriptions | POST /completion | POST /completions | POST /chat/completions
POST /responses | POST /audio/transcriptions | POST /infill | POST /v1/systemone | POST /predict
"""
"""Those on which a model answers the client's text in words."""


def routes(listing: str) -> list[tuple[str, str]]:
    """Method and path of each route of a listing."""
    entries = [entry.split() for line in listing.splitlines() for entry in line.split("|") if entry.strip()]
    return [(method, path) for method, path in entries]
