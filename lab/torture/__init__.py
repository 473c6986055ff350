"""Attacks on the running product: real servers, producers and workers, faults drawn from a seed, and books that are proven afterwards."""
