"""Which operators the graph of a stranger may have."""

from __future__ import annotations

STANDARD = frozenset({"", "ai.onnx", "ai.onnx.ml"})
# onnxruntime's own operators for quantised and fused networks: arithmetic alone. Others of that
# domain open files (EPContext) or run Python.
_ARITHMETIC = """
    QuantizeLinear DequantizeLinear QLinearAdd QLinearMul QLinearConcat QLinearLeakyRelu
    QLinearSigmoid QLinearSoftmax QLinearAveragePool QLinearGlobalAveragePool QLinearReduceMean
    QLinearWhere QGemm DynamicQuantizeMatMul MatMulIntegerToFloat NhwcMaxPool FusedConv FusedGemm
    FusedMatMul Gelu FastGelu QuickGelu BiasGelu BiasAdd BiasSplitGelu GroupNorm SkipGroupNorm
    SkipLayerNormalization Attention MultiHeadAttention NhwcConv Trilu
"""
CONTRIBUTED = frozenset(_ARITHMETIC.split())
# Their bodies run as often, and are as many, as numbers in a file say. No network of pictures that
# is traced has them.
BRANCHING = frozenset({"Loop", "Scan", "If", "SequenceMap"})


def refused(domain: str, operator: str) -> str:
    """Why a graph must not have an operator; empty for those that it may."""
    if domain in STANDARD and operator in BRANCHING:
        return (
            f"it needs the operator {operator!r}, which repeats or chooses as it runs; only graphs "
            "that go straight through are taken: export it by tracing"
        )
    if domain in STANDARD or (domain == "com.microsoft" and operator in CONTRIBUTED):
        return ""
    return f"it needs the operator {operator!r} of {domain!r}, which is not one of ONNX's own"
