"""The worker: fetch, execute, report, heartbeat, stop."""
