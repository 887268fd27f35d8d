"""Replication at work: runs at the source, replicas at the target, the drivers of streams."""
