"""Replay of a workload log (Standard Workload Format) through the real service, and the check of what was recorded."""
