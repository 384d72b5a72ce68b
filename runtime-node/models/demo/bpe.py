"""Trains the byte-level BPE and describes it as a Hugging Face tokenizer.json.

It is an ordinary GPT-2 BPE at run time (same regex, greedy by rank), but the merges are chosen so that
a name is cut into the same tokens wherever it stands, which makes copying it into a tool call easy:

- a space joins the word after it only in the last merges, and only for frequent whole words;
- digits stay single;
- a merge never takes a part of one character together with a part of the next (matters for Chinese).
"""

from collections import Counter
from functools import lru_cache

from tokenizers.pre_tokenizers import ByteLevel

ENDOFTEXT, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTROL_TOKENS = [ENDOFTEXT, IM_START, IM_END]
# One token each, but ordinary visible text: engines look for these marks in the output, and some of
# them (mlx_lm) in the vocabulary.
TOOL_TOKENS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]

GPT2_SPLIT = ByteLevel(add_prefix_space=False)  # splits by GPT-2's regex and spells bytes as LETTERS


def byte_letters() -> dict:
    """GPT-2's table from byte to printable character."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = (b for b in range(256) if b not in set(keep))
    table = {b: chr(b) for b in keep}
    table.update({b: chr(256 + i) for i, b in enumerate(spare)})
    return table


LETTERS = byte_letters()
BYTES = {letter: byte for byte, letter in LETTERS.items()}
SPACE = LETTERS[32]


def train_bpe(texts: Counter, size: int, spaced: int):
    """Learns (vocab, merges) of exactly `size` tokens, `spaced` of them whole words with their space.

    `texts` counts each text's weight.
    """
    words = Counter()
    for text, weight in texts.items():
        for mark in TOOL_TOKENS + CONTROL_TOKENS:
            text = text.replace(mark, "\n")
        for word, _ in GPT2_SPLIT.pre_tokenize_str(text):
            words[word] += weight
    alone = Counter()
    for word, weight in words.items():
        alone[word.removeprefix(SPACE)] += weight
    alone.pop("", None)

    # Pair counts are updated merge by merge, in the words that held the pair.
    splits = [[list(word), weight] for word, weight in sorted(alone.items())]
    counts, where = Counter(), {}

    def count(index: int, sign: int):
        pieces, weight = splits[index]
        for pair in zip(pieces, pieces[1:]):
            if may_merge(*pair):
                counts[pair] += sign * weight
                where.setdefault(pair, set()).add(index)

    for index in range(len(splits)):
        count(index, 1)
    tokens = CONTROL_TOKENS + TOOL_TOKENS + [LETTERS[b] for b in range(256)]
    merges = []
    while len(tokens) < size - spaced:
        pair = max(counts, key=lambda p: (counts[p], p))
        merges.append(pair)
        tokens.append(pair[0] + pair[1])
        for index in where.pop(pair):
            count(index, -1)
            splits[index][0] = join(splits[index][0], pair)
            count(index, 1)
        del counts[pair]

    known, after_space = set(tokens), Counter()
    for word, weight in words.items():
        letters = word.removeprefix(SPACE)
        if letters and letters != word and letters in known and not any(c.isdigit() for c in letters):
            after_space[letters] += weight
    for letters, _ in sorted(after_space.items(), key=lambda e: (-e[1], e[0])):
        if len(tokens) == size:
            break
        merges.append((SPACE, letters))
        tokens.append(SPACE + letters)
    if len(tokens) != size:
        raise ValueError(f"only {len(tokens)} of {size} tokens: lower `spaced` or add text")
    return {token: i for i, token in enumerate(tokens)}, merges


@lru_cache(maxsize=None)
def may_merge(left: str, right: str) -> bool:
    """Whether the two pieces may become one: no space, no digit, no mix of parts of characters."""
    joined = bytes(BYTES[c] for c in left + right)
    if any(b in b" 0123456789" for b in joined):
        return False
    try:
        joined.decode("utf-8")
        return True
    except UnicodeDecodeError as error:
        # The beginning of a single character may be a token; anything else would straddle two.
        return error.start == 0 and error.reason == "unexpected end of data"


def join(pieces: list, pair: tuple) -> list:
    out, i = [], 0
    while i < len(pieces):
        if i + 1 < len(pieces) and (pieces[i], pieces[i + 1]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def tokenizer_json(vocab: dict, merges: list) -> dict:
    """The same tokenizer for the `tokenizers` library, transformers, vLLM and MLX."""
    added = [
        {
            "id": vocab[token],
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": token in CONTROL_TOKENS,
        }
        for token in CONTROL_TOKENS + TOOL_TOKENS
    ]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [list(pair) for pair in merges],
        },
    }
