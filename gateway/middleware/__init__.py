"""Pure ASGI middleware, one class a module; nothing is buffered."""
