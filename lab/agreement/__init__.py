"""The books of the program and of the oracle in the same words, so that they can be compared whole."""
