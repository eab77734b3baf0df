"""Pools of connections: opened lazily, checked before use, replaced after faults."""
