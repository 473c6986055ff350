"""Accounts and entries: opened, locked, written by one writer, read."""
