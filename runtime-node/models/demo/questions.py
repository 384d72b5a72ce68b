"""Questions as people type them: expands the (x|y) patterns of data/*.yaml and varies the wording."""

import re
from functools import lru_cache
from pathlib import Path

import yaml

DATA = Path(__file__).parent / "data"
CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
SPECIAL = re.compile(r"[A-Z]\w*[A-Z_0-9]|/|Sluice|OpenAI|Python|Java|Type|Node|Cloud|Worker")


def load(name: str):
    return yaml.safe_load((DATA / name).read_text(encoding="utf-8"))


def expand(pattern: str, rng) -> str:
    """Takes one of each (x|y) at random and tidies the spaces that empty choices leave."""
    while match := CHOICE.search(pattern):
        pattern = pattern[: match.start()] + rng.choice(match[1].split("|")) + pattern[match.end() :]
    pattern = re.sub(r" {2,}", " ", pattern).strip()
    return re.sub(r" ([?.!,？])", r"\1", pattern)


def normal(text: str) -> str:
    """What is compared to keep held-out questions out of training: letters and digits only."""
    return "".join(c for c in text.casefold() if c.isalnum())


class Variations:
    """Rewords questions, and never returns one that holds a held-out question."""

    def __init__(self, held):
        self.rules = load("augment.yaml")
        self.held = {normal(h) for h in held}

    def vary(self, pattern: str, language: str, rng) -> str:
        """A training question from a pattern: expanded, and usually reworded."""
        for _ in range(50):
            text = expand(pattern, rng)
            if rng.random() < 0.3:
                text = self.recast(text, language, rng)
            if rng.random() < 0.85:
                text = self.reword_en(text, rng) if language == "en" else self.reword_zh(text, rng)
            if not self.is_held(text):
                return text
        raise ValueError(f"{pattern!r} can only give held-out questions")

    @lru_cache(maxsize=200_000)
    def is_held(self, text: str) -> bool:
        plain = normal(text)
        return plain in self.held or any(len(h) > 7 and h in plain for h in self.held)

    def recast(self, text: str, language: str, rng) -> str:
        """Puts the question in another form, where one fits."""
        for form in self.rules[language]["forms"]:
            if match := re.match(form["from"], text):
                rest = match[1]
                text = rng.choice(form["to"]).replace("{0}", rest)
                return text[:1].upper() + text[1:] if text.startswith(rest) and language == "en" else text
        return text

    def reword_en(self, text: str, rng) -> str:
        rules = self.rules["en"]
        text = swap(text, rules["swaps"], rng, r"\b{}\b")
        words = text.split(" ")
        if len(words) > 3 and rng.random() < 0.15:
            drop_one(words, rng, ("the", "a", "an", "do", "I", "is", "of", "to", "for", "does", "it"))
        if len(words) > 3 and rng.random() < 0.04:
            del words[rng.randrange(len(words))]
        if rng.random() < 0.12:
            at = rng.randrange(len(words))
            words[at] = typo(words[at], rng)
        if len(words) > 3 and rng.random() < 0.03:
            at = rng.randrange(len(words) - 1)
            words[at], words[at + 1] = words[at + 1], words[at]
        text = " ".join(words)
        if rng.random() < 0.3:
            text = text.rstrip("?.!")
        elif rng.random() < 0.1:
            text += rng.choice(["?", "!", ".", "??", " ?"])
        if rng.random() < 0.15:
            bare = text.rstrip("?.")
            text = bare + rng.choice(rules["suffixes"]) + text[len(bare) :]
        if rng.random() < 0.2:
            if not SPECIAL.match(text):
                text = text[:1].lower() + text[1:]
            text = rng.choice(rules["prefixes"]) + text
        if rng.random() < 0.25:
            text = text.lower()
        elif rng.random() < 0.02:
            text = text.upper()
        return text

    def reword_zh(self, text: str, rng) -> str:
        rules = self.rules["zh"]
        text = swap(text, rules["swaps"], rng, "{}")
        if rng.random() < 0.3:
            text = text.rstrip("？?。")
        elif rng.random() < 0.2:
            text = text.rstrip("？?。") + rng.choice(rules["suffixes"])
        if len(text) > 6 and rng.random() < 0.06:
            at = rng.randrange(len(text))
            text = text[:at] + text[at + 1 :]
        if rng.random() < 0.2:
            text = rng.choice(rules["prefixes"]) + text
        if rng.random() < 0.3:
            text = re.sub(r"(?<=[\u4e00-\u9fff]) (?=\w)|(?<=\w) (?=[\u4e00-\u9fff])", "", text)
        if rng.random() < 0.08:
            text = text.lower()
        return text.strip()


def swap(text: str, groups, rng, form: str) -> str:
    """Exchanges, now and then, a phrase for another of its group."""
    if rng.random() < 0.5:
        return text
    for group in groups:
        if rng.random() < 0.4:
            continue
        for phrase in group:
            match = re.search(form.format(re.escape(phrase)), text, re.IGNORECASE)
            if match:
                new = rng.choice(group)
                if match.start() == 0 and text[:1].isupper():
                    new = new[:1].upper() + new[1:]
                text = text[: match.start()] + new + text[match.end() :]
                break
    return text


def drop_one(words: list, rng, droppable):
    places = [i for i, w in enumerate(words) if w in droppable]
    if places:
        del words[rng.choice(places)]


def typo(word: str, rng) -> str:
    if len(word) < 4 or not word.isalpha():
        return word
    at = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(3)
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    return word[:at] + word[at] + word[at:]
