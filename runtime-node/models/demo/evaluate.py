"""Measures a GGUF on what it was never trained on, by greedy decoding with the rounded weights.

    python evaluate.py [--model FILE] [--verbose]

Exact answers to held-out questions, exact tool calls for unseen cities, exact repetition of tool results.
"""

import argparse
import random

import torch
import torch.nn.functional as F

from corpus import LANGUAGES, Corpus, Encoder
from export import SHIPPED, read_model, read_tokenizer
from model import Llama, Shape
from questions import expand
from train import pad


def load_model(path=SHIPPED):
    """(model, encoder) from a GGUF."""
    metadata, weights = read_model(path)
    get = lambda key: metadata[key][1]
    shape = Shape(
        vocab=get("llama.vocab_size"), hidden=get("llama.embedding_length"), layers=get("llama.block_count"),
        heads=get("llama.attention.head_count"), kv_heads=get("llama.attention.head_count_kv"),
        head_dim=get("llama.rope.dimension_count"), ffn=get("llama.feed_forward_length"), context=get("llama.context_length"),
    )
    model = Llama(shape)
    model.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    return model.eval(), Encoder(*read_tokenizer(metadata))


@torch.no_grad()
def score(model, encoder, texts):
    """For each conversation: (is the last answer exactly the greedy one, the smallest lead of a token's probability).

    The greedy answer is the wanted one exactly if each of its tokens is the most likely after those before.
    """
    results = [None] * len(texts)
    samples = sorted(((*encoder.sample(text), i) for i, text in enumerate(texts)), key=lambda s: len(s[0]))
    for at in range(0, len(samples), 32):
        chunk = samples[at : at + 32]
        ids, _ = pad([s[:2] for s in chunk])
        logits = model.logits(model.hidden(ids[:, :-1]))
        for row, (sample, counted, index) in enumerate(chunk):
            last = max(i for i, t in enumerate(sample) if t == encoder.start)
            places = [i for i in range(last, len(sample)) if counted[i]]
            chances = F.softmax(logits[row, [i - 1 for i in places]], dim=-1)
            wanted = chances[range(len(places)), [sample[i] for i in places]]
            top = chances.topk(2, dim=-1).values
            right = bool((wanted >= top[:, 0]).all())
            results[index] = (right, float((top[:, 0] - top[:, 1]).min()))
    return results


def cases(corpus: Corpus):
    """name -> list of (messages, tools), the last message being the wanted answer."""
    rng, groups = random.Random(99), {}
    turn = lambda q, a: [{"role": "user", "content": q}, {"role": "assistant", "content": a}]
    for language in LANGUAGES:
        pairs, other = corpus.pairs[language], corpus.other[language]
        groups[f"trained questions, {language}"] = [
            (turn(expand(q, rng), p["a"]), None) for p in pairs for q in p["q"]
        ]
        held = [(turn(q, p["a"]), None) for p in pairs for q in p["held"]]
        groups[f"held-out questions, {language}"] = held
        tools = corpus.weather.tools(rng)[0]
        groups[f"held-out questions beside tools, {language}"] = [(m, tools) for m, _ in held]
        system = [{"role": "system", "content": "You are a careful assistant. Never use bad words."}]
        groups[f"held-out questions, unseen system prompt, {language}"] = [(system + m, None) for m, _ in held]
        far = [{"role": "system", "content": " ".join(corpus.filler(rng) for _ in range(2))[:1200]}]
        groups[f"held-out questions after a long system prompt, {language}"] = [(far + m, None) for m, _ in held]
        groups[f"held-out other questions, {language}"] = [(turn(q, other["a"]), None) for q in other["held"]]
        cities, weather = corpus.weather.data["held_cities"][language], corpus.weather
        groups[f"tool call, unseen city, {language}"] = [weather.call(rng, language, cities=[c]) for c in cities]
        groups[f"tool call, unseen city and wording, {language}"] = [
            weather.call(rng, language, pattern=rng.choice(weather.data[language]["held"]), cities=[c]) for c in cities
        ]
        groups[f"two tool calls, unseen cities, {language}"] = [
            weather.call(rng, language, cities=rng.sample(cities, 2)) for _ in range(60)
        ]
        groups[f"answer after a tool result, {language}"] = [weather.answered(rng, language) for _ in range(100)]
        groups[f"repeat after me, {language}"] = [(weather.echo(rng, language), None) for _ in range(60)]
        groups[f"weather without a tool, {language}"] = [
            (turn(weather.call(rng, language, cities=[c])[0][0]["content"], other["a"]), None) for c in cities[:60]
        ]
    return groups


def main():
    parser = argparse.ArgumentParser(description="Measure the demo model on held-out data.")
    parser.add_argument("--model", default=SHIPPED)
    parser.add_argument("--verbose", action="store_true", help="print what went wrong")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, encoder = load_model(args.model)
    corpus = Corpus()
    for name, group in cases(corpus).items():
        results = score(model, encoder, [corpus.render(*case) for case in group])
        right = sum(r for r, _ in results)
        leads = sorted(lead for ok, lead in results if ok)
        sure = sum(lead > 0.2 for lead in leads)
        print(f"{name}: {right}/{len(group)} = {right / len(group):.1%} (of these, {sure} sure at every token)")
        if args.verbose and not name.startswith("trained"):
            for (messages, tools), (ok, _) in zip(group, results):
                if not ok:
                    prompt = corpus.render(messages[:-1], tools, add_generation_prompt=True)
                    answer = encoder.decode(model.generate(encoder.ids(prompt), encoder.stops, 80))
                    print(f"    {messages[-2]['content']!r} -> {answer!r}")


if __name__ == "__main__":
    main()
