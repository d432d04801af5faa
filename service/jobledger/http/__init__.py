"""The service: the core over HTTP, for programs in any language and for browsers. `jobledger serve` runs it."""
