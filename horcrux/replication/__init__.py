"""Replication of VMs' volumes to another node: what is wanted, when it is due, and what a run has to send."""
