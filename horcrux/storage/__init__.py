"""Pools, volumes and images: types, names, and what an image must not hold."""
