"""Hostile input: files that are made, mutated, and read."""
