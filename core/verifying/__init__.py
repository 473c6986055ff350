"""Whether the books hold what they promise: invariants, reconciling, repairs."""
