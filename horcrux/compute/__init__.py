"""Virtual machines: types, admission, the compilers to domain XML and cloud-init seeds."""
