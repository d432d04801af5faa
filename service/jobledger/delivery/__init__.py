"""Signed requests to endpoints of others: webhooks, and jobs that are pushed."""
