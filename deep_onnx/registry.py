"""Architectures by name, as strings, so that nothing is imported to list them."""

from __future__ import annotations

from typing import NamedTuple


class Architecture(NamedTuple):
    """Where an architecture's training lives, and what --help says of it.

    home : ``"module:class"`` of its `deep_onnx.training.algorithm.Algorithm`.
    """

    home: str
    help: str


ARCHITECTURES: dict[str, Architecture] = {
    "dense-ae": Architecture(
        "deep_onnx.architectures.autoencoders:DenseAutoencoder",
        "Fully connected auto-encoder (Face2Sketch III-A).",
    ),
    "cae": Architecture(
        "deep_onnx.architectures.autoencoders:ConvolutionalAutoencoder",
        "Convolutional auto-encoder (Face2Sketch III-B).",
    ),
    "cvae": Architecture(
        "deep_onnx.architectures.autoencoders:VariationalAutoencoder",
        "Convolutional variational auto-encoder (Face2Sketch III-C).",
    ),
    "pix2pix": Architecture(
        "deep_onnx.architectures.pix2pix:Pix2Pix", "U-Net against a PatchGAN, on pairs."
    ),
    "cyclegan": Architecture(
        "deep_onnx.architectures.cyclegan:CycleGAN",
        "Two generators that undo each other, unpaired.",
    ),
    "stargan": Architecture(
        "deep_onnx.architectures.stargan:StarGAN",
        "One generator for all expressions, by their names.",
    ),
    "usgan": Architecture(
        "deep_onnx.architectures.usgan:USGAN",
        "StarGAN with one residual block, and the picture itself added to what it makes.",
    ),
    "ganimation": Architecture(
        "deep_onnx.architectures.ganimation:GANimation",
        "Attention and colour masks, by action units.",
    ),
    "reggan": Architecture(
        "deep_onnx.architectures.reggan:RegGAN",
        "Masked ridge regression as a layer, refined against a critic.",
    ),
    "ocnn": Architecture(
        "deep_onnx.architectures.ocnn:OCNN",
        "A mask and a picture from one small network, by blendshapes, perhaps tuned by penguins.",
    ),
    "portrait": Architecture(
        "deep_onnx.portrait.training:Portrait",
        "Portraits from masks and other portraits' parts; learns from pixelreg data masks.",
    ),
    "dcgan": Architecture("deep_onnx.architectures.dcgan:DCGAN", "New faces from noise."),
}
