"""Training of the deep models, in PyTorch."""
