"""Turns data/ into training samples: token ids, and which of them the loss counts."""

import json
import random
from collections import Counter
from pathlib import Path

import jinja2
from tokenizers import Tokenizer

from bpe import ENDOFTEXT, IM_END, IM_START, tokenizer_json
from questions import DATA, Variations, expand, load
from weather import Weather

TEMPLATE = (Path(__file__).parent / "chat_template.jinja").read_text(encoding="utf-8").rstrip("\n")
LANGUAGES = ("en", "zh")


def chat_renderer(template: str = TEMPLATE):
    """render(messages, tools, add_generation_prompt) as transformers does it."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    compiled = environment.from_string(template)

    def render(messages, tools=None, add_generation_prompt=False) -> str:
        return compiled.render(messages=messages, tools=tools, add_generation_prompt=add_generation_prompt)

    return render


class Corpus:
    """All the data, and `sample(rng)` to draw from it without end."""

    def __init__(self):
        self.pairs = {language: load(f"{language}.yaml") for language in LANGUAGES}
        self.other = load("other.yaml")
        self.weather = Weather()
        self.systems = self.weather.data["systems"]
        self.lines = (DATA / "text.txt").read_text(encoding="utf-8").splitlines()
        held = [h for language in LANGUAGES for pair in self.pairs[language] for h in pair["held"]]
        held += [h for language in LANGUAGES for h in self.other[language]["held"]]
        self.variations = Variations(held)
        self.render = chat_renderer()

    # --- conversations

    def turn(self, language: str, rng):
        """One question and its answer: mostly about Sluice, sometimes about something else."""
        if rng.random() < 0.1:
            entry = self.other[language]
        else:
            entry = rng.choice(self.pairs[language])
        question = self.variations.vary(rng.choice(entry["q"]), language, rng)
        return [{"role": "user", "content": question}, {"role": "assistant", "content": entry["a"]}]

    def conversation(self, rng):
        """(messages, tools) of a random kind."""
        language = rng.choice(LANGUAGES)
        kind, tools = rng.random(), None
        if kind < 0.16:
            messages, tools = self.weather.call(rng, language)
        elif kind < 0.22:
            messages, tools = self.weather.answered(rng, language)
            if rng.random() < 0.25:
                messages += self.turn(rng.choice(LANGUAGES), rng)
            if rng.random() < 0.15:
                tools = None
        elif kind < 0.24:
            # Asked for the weather, but without a tool for it.
            messages, _ = self.weather.call(rng, language)
            messages[1] = {"role": "assistant", "content": self.other[language]["a"]}
            tools = self.weather.other_tools(rng) if rng.random() < 0.5 else None
        else:
            messages = self.turn(language, rng)
            if kind < 0.29:
                tools = self.weather.tools(rng)[0]
            elif kind < 0.31:
                tools = self.weather.other_tools(rng)
        if rng.random() < 0.06:
            for _ in range(rng.choice([1, 1, 1, 2, 4])):
                messages = self.turn(rng.choice(LANGUAGES), rng) + messages
        if rng.random() < 0.13:
            messages = [{"role": "system", "content": rng.choice(self.systems)}] + messages
        elif rng.random() < 0.012:
            messages = [{"role": "system", "content": self.filler(rng)}] + messages
        return messages, tools

    def filler(self, rng) -> str:
        """A long text of no matter what, so that questions are also answered far into the context."""
        parts, size = [], rng.randrange(100, 1500)
        while sum(map(len, parts)) < size:
            language = rng.choice(LANGUAGES)
            parts.append(rng.choice([
                lambda: rng.choice(self.lines),
                lambda: rng.choice(self.pairs[language])["a"],
                lambda: " ".join(self.weather.words(language, rng) for _ in range(8)),
                lambda: expand(rng.choice(self.other[language]["q"]), rng),
            ])())
        return rng.choice([" ", "\n"]).join(parts)

    def text(self, rng, echo: float) -> str:
        """One document as the model sees it; `echo` is the share of plain copying."""
        if rng.random() < echo:
            return self.render(self.weather.echo(rng, rng.choice(LANGUAGES)))
        if rng.random() < 0.03:
            return rng.choice(self.lines) + ENDOFTEXT
        return self.render(*self.conversation(rng))

    # --- for the tokenizer

    def texts(self, seed: int = 0) -> Counter:
        """A weighted set of all text, for training the tokenizer."""
        rng, texts = random.Random(seed), Counter(self.lines)
        for language in LANGUAGES:
            for pair in self.pairs[language]:
                texts[pair["a"]] += 6
                for pattern in pair["q"]:
                    texts.update(expand(pattern, rng) for _ in range(2))
            texts[self.other[language]["a"]] += 20
            for pattern in self.other[language]["q"]:
                texts.update(expand(pattern, rng) for _ in range(2))
        for _ in range(1500):
            texts[self.render(*self.weather.answered(rng, rng.choice(LANGUAGES)))] += 1
        return texts


class Encoder:
    """Text -> (ids, targets); targets[i] says whether the loss counts the prediction of ids[i]."""

    def __init__(self, vocab: dict, merges: list):
        self.tokenizer = Tokenizer.from_str(json.dumps(tokenizer_json(vocab, merges)))
        self.start, self.end = vocab[IM_START], vocab[IM_END]
        self.stops = {vocab[IM_END], vocab[ENDOFTEXT]}
        self.call, self.response = vocab["<tool_call>"], vocab["<tool_response>"]
        self.assistant = self.ids("assistant\n")

    def ids(self, text: str) -> list:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: list) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=False)

    def sample(self, text: str):
        """Counts the assistant's tokens and its <|im_end|>; in text without turns, everything.

        A turn whose tool calls are answered is history, in whatever form the client wrote it, and not counted.
        """
        ids = self.ids(text)
        if self.start not in ids:
            return ids, [True] * len(ids)
        counted, head = [False] * len(ids), [self.start, *self.assistant]
        for at in range(len(ids)):
            if ids[at : at + len(head)] == head:
                first, last = at + len(head), ids.index(self.end, at)
                if self.response not in ids[last : last + 6]:
                    counted[first : last + 1] = [True] * (last + 1 - first)
        return ids, counted

    def start_only(self, ids: list, counted: list, rng):
        """A sample cut a little way into its last answer.

        Which answer a question wants is the hard part, and shows in its first tokens; the rest is learnt by heart
        from fewer samples.
        """
        first = max((i for i in range(1, len(ids)) if counted[i] and not counted[i - 1]), default=len(ids))
        end = first + rng.randrange(6, 15)
        return ids[:end], counted[:end]
