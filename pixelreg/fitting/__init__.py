"""Fitting: from pairs to models."""
