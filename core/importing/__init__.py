"""The books of whoever billed before."""
