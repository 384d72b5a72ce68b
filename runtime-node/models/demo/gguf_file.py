"""Reads and writes the part of GGUF v3 this model needs, and maps tensor names to Hugging Face's."""

import os
import struct

import numpy as np

ALIGN = 32
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
TENSOR_F32, TENSOR_F16 = 0, 1
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4  # tokenizer.ggml.token_type

LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(hf_name: str) -> str:
    """`model.layers.0.mlp.up_proj.weight` -> `blk.0.ffn_up.weight`."""
    if hf_name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if hf_name == "model.norm.weight":
        return "output_norm.weight"
    _, _, index, rest = hf_name.split(".", 3)
    return f"blk.{index}.{LAYER_NAMES[rest.removesuffix('.weight')]}.weight"


def hf_name(name: str) -> str:
    """The inverse of `gguf_name`."""
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    _, index, rest, _ = name.split(".")
    back = {v: k for k, v in LAYER_NAMES.items()}
    return f"model.layers.{index}.{back[rest]}.weight"


def to_pairs(rows: np.ndarray, heads: int) -> np.ndarray:
    """Reorders q/k rows from RoPE by halves (Hugging Face) to RoPE by adjacent pairs (GGUF llama)."""
    out, cols = rows.shape
    return rows.reshape(heads, 2, out // heads // 2, cols).swapaxes(1, 2).reshape(out, cols)


def to_halves(rows: np.ndarray, heads: int) -> np.ndarray:
    """The inverse of `to_pairs`."""
    out, cols = rows.shape
    return rows.reshape(heads, out // heads // 2, 2, cols).swapaxes(1, 2).reshape(out, cols)


def write_gguf(path, metadata: dict, tensors: dict):
    """Writes `metadata` (key -> (type, value); arrays as (ARRAY, (element type, list))) and numpy `tensors`."""
    head = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
    for key, (kind, value) in metadata.items():
        head += pack_string(key) + struct.pack("<I", kind) + pack_value(kind, value)
    offset = 0
    for name, tensor in tensors.items():
        kind = TENSOR_F16 if tensor.dtype == np.float16 else TENSOR_F32
        head += pack_string(name) + struct.pack("<I", tensor.ndim)
        head += struct.pack(f"<{tensor.ndim}Q", *reversed(tensor.shape))
        head += struct.pack("<IQ", kind, offset)
        offset += padded(tensor.nbytes)
    partial = f"{path}.partial"
    with open(partial, "wb") as file:
        file.write(head + bytes(padded(len(head)) - len(head)))
        for tensor in tensors.values():
            raw = np.ascontiguousarray(tensor).tobytes()
            file.write(raw + bytes(padded(len(raw)) - len(raw)))
    os.replace(partial, path)


def read_gguf(path):
    """The inverse of `write_gguf`: (metadata, tensors)."""
    with open(path, "rb") as file:
        raw = file.read()
    cursor = Cursor(raw)
    magic, version, tensor_count, key_count = cursor.take("<4sIQQ")
    if magic != b"GGUF" or version != 3:
        raise ValueError(f"{path} is not a GGUF version 3 file")
    metadata = {}
    for _ in range(key_count):
        key = cursor.string()
        (kind,) = cursor.take("<I")
        metadata[key] = (kind, cursor.value(kind))
    infos = []
    for _ in range(tensor_count):
        name = cursor.string()
        (dims,) = cursor.take("<I")
        shape = cursor.take(f"<{dims}Q")[::-1]
        infos.append((name, shape, *cursor.take("<IQ")))
    start = padded(cursor.at)
    tensors = {}
    for name, shape, kind, offset in infos:
        dtype = np.float16 if kind == TENSOR_F16 else np.float32
        count = int(np.prod(shape))
        tensors[name] = np.frombuffer(raw, dtype, count, start + offset).reshape(shape)
    return metadata, tensors


class Cursor:
    """Reads little-endian values one after the other."""

    FORMATS = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}

    def __init__(self, raw: bytes):
        self.raw, self.at = raw, 0

    def take(self, form: str):
        values = struct.unpack_from(form, self.raw, self.at)
        self.at += struct.calcsize(form)
        return values

    def string(self) -> str:
        (size,) = self.take("<Q")
        self.at += size
        return self.raw[self.at - size : self.at].decode("utf-8")

    def value(self, kind: int):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            element, count = self.take("<IQ")
            return element, [self.value(element) for _ in range(count)]
        return self.take(self.FORMATS[kind])[0]


def pack_value(kind: int, value) -> bytes:
    if kind == STRING:
        return pack_string(value)
    if kind == ARRAY:
        element, items = value
        return struct.pack("<IQ", element, len(items)) + b"".join(pack_value(element, i) for i in items)
    return struct.pack(Cursor.FORMATS[kind], value)


def pack_string(text: str) -> bytes:
    raw = text.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def padded(size: int) -> int:
    return -(-size // ALIGN) * ALIGN
