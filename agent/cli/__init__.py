"""The command line: one module a noun. It speaks HTTP only."""
