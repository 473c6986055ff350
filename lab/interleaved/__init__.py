"""Histories of a few transactions whose statements are interleaved as a seed says, on a real database and without processes."""
