"""The predecessor's way: a transformers sequence classifier in float32 behind Flask, one request at a time.

``python -m benchmarks.flask_server BASE_GGUF ADAPTER_FOLDER trained|fresh``; *fresh* has the base with a head that was
never trained, which takes as long as one that was.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import torch

from benchmarks.listening import announce
from export.build import AdapterFolder
from startrek_guard.classifier import load_classifier
from train.encode import Encoder
from train.model import base_in, pad_token_id

try:
    from flask import Flask, jsonify, request
    from werkzeug.serving import WSGIRequestHandler, make_server
except ImportError as error:
    raise SystemExit(f"the predecessor's way needs Flask: pip install 'startrek-guard[bench]' ({error})") from error


class _Classifier:
    """The model and its tokenizer."""

    def __init__(self, base_path: Path, adapter_path: Path, *, trained: bool) -> None:
        manifest = AdapterFolder.open(adapter_path).manifest()
        base = base_in(base_path)
        self._tokenizer = base.load_tokenizer()
        encoder = Encoder(self._tokenizer, manifest.template)
        if trained:
            self._model = load_classifier(base, adapter_path, manifest.labels, encoder).merge_and_unload().eval()
        else:
            marks = {encoder.mark_id(mark) for mark in (manifest.template.prefix, manifest.template.suffix)}
            self._tokenizer.pad_token_id = pad_token_id(self._tokenizer, marks)
            pad = self._tokenizer.pad_token_id
            self._model = base.load_classifier(manifest.labels, pad, torch.float32).eval()

    def logits(self, prompt: str) -> list[float]:
        """Of the two labels, by class id, for a rendered prompt."""
        ids = self._tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
        with torch.inference_mode():
            found: Any = self._model(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"]).logits[0]
        return [float(value) for value in found]


class _Handler(WSGIRequestHandler):  # type: ignore[misc]  # the library is untyped here
    """Without Nagle's algorithm, which holds an answer back while the client holds back its acknowledgement."""

    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"


def main() -> None:
    """Serve."""
    base_path, adapter_path, kind = sys.argv[1:]
    classifier = _Classifier(Path(base_path), Path(adapter_path), trained=kind == "trained")
    lock = Lock()

    def classify() -> Any:  # noqa: ANN401 - what Flask makes of it
        prompt = request.get_json()["prompt"]
        with lock:
            off_topic, on_topic = classifier.logits(prompt)
        return jsonify(off_topic=off_topic, on_topic=on_topic)

    app = Flask(__name__)
    app.add_url_rule("/classify", view_func=classify, methods=["POST"])
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    announce(f"http://127.0.0.1:{server.server_port}/classify")
    server.shutdown()


if __name__ == "__main__":
    main()
