"""What this host is, can do, and lets QEMU reach."""
