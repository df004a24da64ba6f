"""Deep image-to-image models behind pixelreg's `Translator`: trained in PyTorch, run from ONNX."""
