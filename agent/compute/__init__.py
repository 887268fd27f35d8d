"""VMs: the hypervisor's drivers, and the services above them."""
