"""Sends an answer on and remembers it."""

from __future__ import annotations

from starlette.types import Message, Send

from gateway.answer_memory import AnswerMemory
from gateway.answer_reader import AnswerReader


def remembering(send: Send, memory: AnswerMemory, question: str) -> Send:
    """``send``, with the answer to ``question`` going to ``memory`` as well; nothing is held back for it.

    Args:
        send: to the client.
        memory: gets an answer that is complete and no error.
        question: what is answered, as one text.
    """
    reader: AnswerReader | None = None

    async def send_and_read(message: Message) -> None:
        nonlocal reader
        if message["type"] == "http.response.start":
            reader = _reader(message, memory, question)
            await send(message)
            return
        if reader is not None and not message.get("more_body", False):
            # Before the client can know that it has the whole answer, and send it back.
            reader.take(message.get("body", b""))
            reader.finish()
            await send(message)
            return
        await send(message)
        if reader is not None:
            reader.take(message.get("body", b""))

    return send_and_read


def _reader(start: Message, memory: AnswerMemory, question: str) -> AnswerReader | None:
    headers = {name.lower(): value for name, value in start["headers"]}
    if start["status"] != 200 or b"content-encoding" in headers:
        return None
    return AnswerReader(memory, question, headers.get(b"content-type", b"").decode("latin-1"))
