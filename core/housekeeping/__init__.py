"""What the books drop: old runs, moved partitions, erased names."""
