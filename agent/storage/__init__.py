"""Pools, volumes, images and seeds: drivers, and the services above them."""
