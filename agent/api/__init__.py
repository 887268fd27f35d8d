"""The calls: one module for each first segment of a path."""
