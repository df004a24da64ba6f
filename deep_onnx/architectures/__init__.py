"""The networks, written from the papers, in PyTorch."""
