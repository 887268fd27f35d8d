"""Horcrux decides: types, rules and compilers. Nothing in this package opens a file, a socket or a process."""

__version__ = "0.1.0"
