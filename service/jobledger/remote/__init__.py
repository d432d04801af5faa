"""The client side of the HTTP service: what `Client(url=…)` and `Worker(url=…)` speak through."""
