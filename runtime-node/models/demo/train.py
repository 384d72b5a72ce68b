"""Trains the demo model from data/ and writes sluice-demo.gguf.

    python train.py                        # the shipped model
    python train.py --steps 20 --out x.gguf    # a quick try

Seeded: the same versions on the same kind of CPU give the same model up to rounding.
"""

import argparse
import itertools
import json
import random
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F

from bpe import train_bpe
from corpus import TEMPLATE, Corpus, Encoder
from export import SHIPPED, read_model, read_tokenizer, write_model
from model import Llama, Shape
from muon import Optimizer

SPACED_WORDS = 360  # tokens that are a whole word with its leading space


def batches(corpus: Corpus, encoder: Encoder, rng, tokens: int, copying: int):
    """Endless batches of about `tokens` tokens, each of samples of like length.

    The first `copying` thousand samples are largely plain copying, so that the attention heads that copy form early.
    """
    for round in itertools.count():
        echo = max(0.05, 0.04 * (copying - round) + 0.06)
        pool = []
        for _ in range(1024):
            sample = encoder.sample(corpus.text(rng, echo))
            if encoder.call not in sample[0] and rng.random() < 0.5:
                sample = encoder.start_only(*sample, rng)
            pool.append(sample)
        pool.sort(key=lambda s: len(s[0]))
        packs, pack = [], []
        for sample in pool:
            if pack and (len(pack) + 1) * len(sample[0]) > tokens:
                packs.append(pack)
                pack = []
            pack.append(sample)
        rng.shuffle(packs)
        yield from map(pad, packs)


def pad(pack):
    """(ids, counted) as rectangular tensors; the padding at the right is never counted or looked at."""
    length = max(len(ids) for ids, _ in pack)
    ids = torch.zeros(len(pack), length, dtype=torch.long)
    counted = torch.zeros(len(pack), length, dtype=torch.bool)
    for row, (sample, marks) in enumerate(pack):
        ids[row, : len(sample)] = torch.tensor(sample)
        counted[row, : len(sample)] = torch.tensor(marks)
    return ids, counted


def loss_of(model: Llama, ids, counted):
    """Mean cross-entropy of the counted tokens; scores are computed only where they count."""
    hidden = model.hidden(ids[:, :-1])
    wanted = counted[:, 1:]
    return F.cross_entropy(model.logits(hidden[wanted]), ids[:, 1:][wanted])


def work(rank: int, args, meeting: str):
    """One of `args.workers` processes, each with one thread and its own samples."""
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=args.workers)
    started = time.monotonic()
    corpus, model = Corpus(), Llama()
    if args.start:
        starts = [read_model(path) for path in args.start]
        vocab, merges = read_tokenizer(starts[0][0])
        model.load_state_dict({name: mean_of(weights[name] for _, weights in starts) for name in starts[0][1]})
    else:
        vocab, merges = train_bpe(corpus.texts(args.seed), Shape.vocab, SPACED_WORDS)
    encoder = Encoder(vocab, merges)
    optimizer = Optimizer(model, rate=args.rate)
    source = batches(corpus, encoder, random.Random(f"{args.seed}/{rank}"), args.tokens, 0 if args.start else 16)

    def save(path):
        weights = {name: p.detach().numpy() for name, p in model.named_parameters()}
        write_model(path, model.shape, weights, vocab, merges, TEMPLATE)

    seen, mean = 0, None
    for step in range(args.steps):
        ids, counted = next(source)
        loss = loss_of(model, ids, counted)
        loss.backward()
        progress = agreed(max((step + 1) / args.steps, (time.monotonic() - started) / (60 * args.minutes)))
        optimizer.step(progress)
        seen += ids.numel()
        mean = loss.item() if mean is None else 0.97 * mean + 0.03 * loss.item()
        if rank == 0 and (step % 20 == 0 or progress >= 1):
            seconds, busy = time.monotonic() - started, time.process_time()
            line = {"step": step, "loss": round(mean, 4), "tokens": seen * args.workers}
            line |= {"seconds": round(seconds), "cpuSecondsPerWorker": round(busy)}
            print(json.dumps(line), flush=True)
            if step % 100 == 0:
                save(args.out)
        if progress >= 1:
            break
    if rank == 0:
        save(args.out)
        print(f"trained in {(time.monotonic() - started) / 60:.1f} minutes; wrote {args.out}")
    dist.destroy_process_group()


def mean_of(arrays):
    """The mean of the same weights at several stages, which answers unseen questions better than any of them."""
    return torch.stack([torch.tensor(array) for array in arrays]).mean(0)


def agreed(value: float) -> float:
    """The first worker's value, in every worker."""
    shared = torch.tensor([value], dtype=torch.float64)
    dist.broadcast(shared, 0)
    return min(shared.item(), 1.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train the demo model.")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="the GGUF to write")
    parser.add_argument(
        "--start", type=Path, nargs="+",
        help="a GGUF of this model to train further, with its tokenizer; of several, one run's stages, their mean",
    )
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the learning rates")
    parser.add_argument("--steps", type=int, default=3600)
    parser.add_argument("--minutes", type=float, default=55, help="finish by then, with fewer steps if need be")
    parser.add_argument("--tokens", type=int, default=1024, help="tokens a worker takes in a step")
    parser.add_argument("--workers", type=int, default=2, help="processes, one CPU core each")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(work, (args, f"{folder}/meeting"), nprocs=args.workers)
