"""Asking people: a blind page of made pictures, and what their answers come to."""
