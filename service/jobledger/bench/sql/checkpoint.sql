-- Writes the backlog's pages before the clock starts, so that filling is not paid for by draining.
checkpoint
