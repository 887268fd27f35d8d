"""Screens and serial lines of VMs, shown in a browser."""
