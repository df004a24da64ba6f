"""Files with wrong values inside and right lengths, check sums and nesting around them.

`mutated` damages bytes, of which most readers see no more than a head that is not whole. Here a
file is taken apart, something in it is changed, and it is put together again: JSON, safetensors,
PNG, zip (as PyTorch writes checkpoints), protobuf (ONNX), forms that are sent to a server.
"""

from __future__ import annotations

import io
import json
import random
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.hostile.mutation import mutated

PNG = b"\x89PNG\r\n\x1a\n"
ODD: Sequence[Any] = (
    *(0, 1, -1, 2, 255, 2**31, 2**32, 2**53, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, 1e-320),
    *(float("nan"), float("inf"), None, True, False, "", "x", "../x", "a/b", "\0", "\x1b[31m"),
    *("\ud800", "x" * 5000, "9" * 400, "NaN", "{}", "[]", "null", [], {}, [[]], [0], {"": 0}),
    *([None], [[[[[[[[0]]]]]]]], [1e308] * 3, list(range(300)), "F32", "F64", "I64", "BOOL", "U8"),
)
Others = Sequence[bytes]
Form = Callable[[bytes, Others, random.Random], "bytes | None"]


def inside(content: bytes, others: Others, rng: random.Random) -> bytes:
    """One of the endless files that are whole outside and wrong inside.

    What is of none of the forms above comes from `mutated`.
    """
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        content = _changed(content, others, rng)
    return content


def _changed(content: bytes, others: Others, rng: random.Random) -> bytes:
    for form in FORMS:
        try:
            made = form(content, others, rng)
        except Exception:  # damaged already, in a way that this form cannot put right
            continue
        if made is not None:
            return made
    return mutated(content, others or [content], rng) if content else b"\0"


def _json(content: bytes, others: Others, rng: random.Random) -> bytes | None:
    if content.lstrip()[:1] not in (b"{", b"["):
        return None
    return _text(_tree(json.loads(content), others, rng))


def _text(tree: Any) -> bytes:
    return json.dumps(tree).encode("utf-8", "surrogatepass")


def _tree(tree: Any, others: Others, rng: random.Random) -> Any:
    """A tree of JSON with a value or a key changed, at any depth, also in JSON within a string."""
    if isinstance(tree, dict) and tree and rng.random() < 0.9:
        key = rng.choice(list(tree))
        way = rng.random()
        if way < 0.05:
            return {name: value for name, value in tree.items() if name != key}
        if way < 0.1:
            other = rng.choice(["", "x", "__metadata__", key + "2", *map(str, tree)])
            return {other if name == key else name: value for name, value in tree.items()}
        if way < 0.15:
            return {**tree, key: tree[rng.choice(list(tree))]}
        return {**tree, key: _tree(tree[key], others, rng)}
    if isinstance(tree, list) and tree and rng.random() < 0.9:
        place, way = rng.randrange(len(tree)), rng.random()
        if way < 0.1:
            return tree[:place] + tree[place + 1 :]
        if way < 0.2:
            return tree[:place] + tree[place : place + 1] * rng.choice((2, 3, 50)) + tree[place:]
        return [*tree[:place], _tree(tree[place], others, rng), *tree[place + 1 :]]
    if isinstance(tree, str) and tree[:1] in ("{", "[") and rng.random() < 0.9:
        return _text(_tree(json.loads(tree), others, rng)).decode("utf-8", "surrogatepass")
    if isinstance(tree, (int, float)) and rng.random() < 0.4:
        return rng.choice((tree + 1, tree - 1, -tree, tree * 2, tree * 1000, str(tree), [tree]))
    return rng.choice(ODD)


def _safetensors(content: bytes, others: Others, rng: random.Random) -> bytes | None:
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= len(content) - 8 or content[8:9] != b"{":
        return None
    header, data = content[8 : 8 + length], content[8 + length :]
    if rng.random() < 0.15 and data:
        data = mutated(data, [data], rng)
    else:
        header = _text(_tree(json.loads(header), others, rng))
        header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data


def _png(content: bytes, others: Others, rng: random.Random) -> bytes | None:
    if content[:8] != PNG:
        return None
    chunks, place = [], 8
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        body = content[place + 8 : place + 8 + length]
        chunks.append([content[place + 4 : place + 8], body])
        place += 12 + length
    chosen, way = rng.randrange(len(chunks)), rng.random()
    kind, body = chunks[chosen]
    if way < 0.1:
        del chunks[chosen]
    elif way < 0.2:
        chunks.insert(rng.randrange(len(chunks) + 1), [kind, body])
    elif kind in (b"IDAT", b"fdAT"):
        start = 4 if kind == b"fdAT" else 0
        rows = zlib.decompress(body[start:])
        chunks[chosen][1] = body[:start] + zlib.compress(mutated(rows, [rows], rng))
    else:
        chunks[chosen][1] = mutated(body, [body or b"\0"], rng)
    made = PNG
    for kind, body in chunks:
        made += len(body).to_bytes(4, "big") + kind + body
        made += zlib.crc32(kind + body).to_bytes(4, "big")
    return made


def _zip(content: bytes, others: Others, rng: random.Random) -> bytes | None:
    if content[:4] != b"PK\x03\x04":
        return None
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(each.filename, archive.read(each)) for each in archive.infolist()]
    chosen, way = rng.randrange(len(members)), rng.random()
    if way < 0.4:  # what says what the others are
        chosen = next((k for k, (name, _) in enumerate(members) if name.endswith(".pkl")), chosen)
    name, body = members[chosen]
    if way > 0.95:
        del members[chosen]
    elif way > 0.9:
        members[chosen] = (rng.choice(["../x", "x", name + "2", "/x", members[0][0]]), body)
    else:
        members[chosen] = (name, mutated(body, [one for _, one in members if one], rng))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, body in dict(members).items():
            archive.writestr(zipfile.ZipInfo(name), body)
    return made.getvalue()


def _protobuf(content: bytes, others: Others, rng: random.Random) -> bytes | None:
    fields = _fields(content)
    if not fields:
        return None
    chosen, way = rng.randrange(len(fields)), rng.random()
    number, wire, value = fields[chosen]
    if way < 0.07:
        del fields[chosen]
    elif way < 0.14:
        fields[chosen:chosen] = [fields[rng.randrange(len(fields))]] * rng.choice((1, 2, 100))
    elif wire == 0:
        fields[chosen] = (number, 0, rng.choice((0, 1, 2, value + 1, 2**31, 2**63, 2**64 - 1)))
    elif wire == 2 and value:
        made = _protobuf(value, others, rng) if len(value) > 1 else None
        if made is None or rng.random() < 0.1:
            made = (
                _changed(value, [value], rng) if value[:1] == b"{" else mutated(value, [value], rng)
            )
        fields[chosen] = (number, 2, made)
    else:
        fields[chosen] = (number, 2, mutated(b"\x08\x01", [b"\x08\x01"], rng))
    return b"".join(map(_field, fields))


def _fields(content: bytes) -> list[tuple[int, int, Any]] | None:
    """The fields of a message: (number, wire type, value); None for what is no message."""
    fields: list[tuple[int, int, Any]] = []
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, place = _varint(content, place)
            fields.append((number, wire, value))
            continue
        if wire == 2:
            length, place = _varint(content, place)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            return None
        if not number or place + length > len(content):
            return None
        fields.append((number, wire, content[place : place + length]))
        place += length
    return fields


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place


def _field(field: tuple[int, int, Any]) -> bytes:
    number, wire, value = field
    key = _written(number << 3 | wire)
    if wire == 0:
        return key + _written(value)
    return key + (_written(len(value)) if wire == 2 else b"") + value


def _written(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])


def _form(content: bytes, others: Others, rng: random.Random) -> bytes | None:
    if content[:3] != b"--x":
        return None
    parts = content.split(b"--x")
    chosen = rng.randrange(1, len(parts))
    head, gap, body = parts[chosen].partition(b"\r\n\r\n")
    if rng.random() < 0.3 or not gap:
        head = mutated(head, [head or b"\0"], rng)
    else:
        body = _changed(body[:-2], [body], rng) + b"\r\n"
    parts[chosen] = head + gap + body
    return b"--x".join(parts)


FORMS: Sequence[Form] = (_json, _png, _zip, _form, _safetensors, _protobuf)
