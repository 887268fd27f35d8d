"""The demo's guest: a small bootable disk made from Debian packages alone."""
