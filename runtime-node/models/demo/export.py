"""Writes the GGUF, and from it an f32 GGUF and a Hugging Face directory with the same numbers.

    python export.py --hf DIR --f32 FILE

Both are made from the shipped f16 GGUF alone: its rounded weights are the truth, widened to f32.
"""

import argparse
import json
import struct
from pathlib import Path

import numpy as np

from bpe import CONTROL_TOKENS, ENDOFTEXT, IM_END, TOOL_TOKENS, tokenizer_json
from gguf_file import (
    ARRAY, BOOL, CONTROL, F32, I32, NORMAL, STRING, U32, USER_DEFINED,
    gguf_name, hf_name, read_gguf, to_halves, to_pairs, write_gguf,
)

HERE = Path(__file__).parent
SHIPPED = HERE / "sluice-demo.gguf"


def write_model(path, shape, weights: dict, vocab: dict, merges: list, template: str):
    """Writes `weights` (Hugging Face names, numpy f32) as an f16 GGUF; norms stay f32."""
    tokens = sorted(vocab, key=vocab.get)
    kinds = [CONTROL if t in CONTROL_TOKENS else USER_DEFINED if t in TOOL_TOKENS else NORMAL for t in tokens]
    metadata = {
        "general.architecture": (STRING, "llama"),
        "general.name": (STRING, "Sluice demo"),
        "general.alignment": (U32, 32),
        "general.file_type": (U32, 1),
        "llama.context_length": (U32, shape.context),
        "llama.embedding_length": (U32, shape.hidden),
        "llama.block_count": (U32, shape.layers),
        "llama.feed_forward_length": (U32, shape.ffn),
        "llama.attention.head_count": (U32, shape.heads),
        "llama.attention.head_count_kv": (U32, shape.kv_heads),
        "llama.attention.layer_norm_rms_epsilon": (F32, shape.norm_eps),
        "llama.rope.dimension_count": (U32, shape.head_dim),
        "llama.rope.freq_base": (F32, shape.rope_theta),
        "llama.vocab_size": (U32, shape.vocab),
        "tokenizer.ggml.model": (STRING, "gpt2"),
        "tokenizer.ggml.pre": (STRING, "gpt-2"),
        "tokenizer.ggml.tokens": (ARRAY, (STRING, tokens)),
        "tokenizer.ggml.token_type": (ARRAY, (I32, kinds)),
        "tokenizer.ggml.merges": (ARRAY, (STRING, [" ".join(pair) for pair in merges])),
        "tokenizer.ggml.bos_token_id": (U32, vocab[ENDOFTEXT]),
        "tokenizer.ggml.eos_token_id": (U32, vocab[IM_END]),
        "tokenizer.ggml.padding_token_id": (U32, vocab[ENDOFTEXT]),
        "tokenizer.ggml.add_bos_token": (BOOL, False),
        "tokenizer.chat_template": (STRING, template),
    }
    tensors = {}
    for name, value in weights.items():
        if name.endswith("q_proj.weight"):
            value = to_pairs(value, shape.heads)
        elif name.endswith("k_proj.weight"):
            value = to_pairs(value, shape.kv_heads)
        tensors[gguf_name(name)] = value.astype(np.float16 if value.ndim == 2 else np.float32)
    write_gguf(path, metadata, tensors)


def read_model(path=SHIPPED):
    """Reads a GGUF of `write_model` back: (metadata, f32 weights by Hugging Face name)."""
    metadata, tensors = read_gguf(path)
    weights = {}
    for name, value in tensors.items():
        value = value.astype(np.float32)
        if name.endswith("attn_q.weight"):
            value = to_halves(value, metadata["llama.attention.head_count"][1])
        elif name.endswith("attn_k.weight"):
            value = to_halves(value, metadata["llama.attention.head_count_kv"][1])
        weights[hf_name(name)] = value
    return metadata, weights


def read_tokenizer(metadata: dict):
    """(vocab, merges) as in `bpe.train_bpe`."""
    vocab = {token: i for i, token in enumerate(metadata["tokenizer.ggml.tokens"][1][1])}
    return vocab, [tuple(pair.split(" ")) for pair in metadata["tokenizer.ggml.merges"][1][1]]


def write_f32(path, source=SHIPPED):
    """Writes the same model with every tensor in f32."""
    metadata, tensors = read_gguf(source)
    metadata["general.file_type"] = (U32, 0)
    write_gguf(path, metadata, {name: value.astype(np.float32) for name, value in tensors.items()})


def write_hf(directory, source=SHIPPED):
    """Writes a Hugging Face directory of LlamaForCausalLM in f32."""
    metadata, weights = read_model(source)
    vocab, merges = read_tokenizer(metadata)
    get = lambda key: metadata[key][1]
    bos, eos = get("tokenizer.ggml.bos_token_id"), get("tokenizer.ggml.eos_token_id")
    theta = get("llama.rope.freq_base")
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": get("llama.vocab_size"),
        "hidden_size": get("llama.embedding_length"),
        "intermediate_size": get("llama.feed_forward_length"),
        "num_hidden_layers": get("llama.block_count"),
        "num_attention_heads": get("llama.attention.head_count"),
        "num_key_value_heads": get("llama.attention.head_count_kv"),
        "head_dim": get("llama.rope.dimension_count"),
        "max_position_embeddings": get("llama.context_length"),
        "rms_norm_eps": round(get("llama.attention.layer_norm_rms_epsilon"), 9),
        "rope_theta": theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "torch_dtype": "float32",
        "dtype": "float32",
    }
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": ENDOFTEXT,
        "eos_token": IM_END,
        "pad_token": ENDOFTEXT,
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": get("llama.context_length"),
        "chat_template": get("tokenizer.chat_template"),
    }
    generation = {"bos_token_id": bos, "eos_token_id": [eos, bos], "pad_token_id": bos, "do_sample": False}
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "config.json", config)
    write_json(directory / "generation_config.json", generation)
    write_json(directory / "tokenizer.json", tokenizer_json(vocab, merges))
    write_json(directory / "tokenizer_config.json", tokenizer_config)
    write_safetensors(directory / "model.safetensors", weights)


def write_safetensors(path, weights: dict):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, value in weights.items():
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [at, at + value.nbytes]}
        at += value.nbytes
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for value in weights.values():
            file.write(np.ascontiguousarray(value).tobytes())


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write other forms of the shipped model.")
    parser.add_argument("--hf", metavar="DIR", help="write a Hugging Face directory")
    parser.add_argument("--f32", metavar="FILE", help="write an f32 GGUF")
    parser.add_argument("--model", default=SHIPPED, help="the f16 GGUF to read")
    args = parser.parse_args()
    if args.hf:
        write_hf(args.hf, args.model)
    if args.f32:
        write_f32(args.f32, args.model)
