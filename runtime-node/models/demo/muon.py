"""Muon for the matrices and AdamW for the rest: both halves of one optimizer step.

Muon (Keller Jordan, 2024) replaces a matrix's momentum by the nearest orthogonal matrix. On a model and
budget this small it reaches a given loss in clearly fewer steps than AdamW alone.
"""

import torch
import torch.distributed as dist


class Optimizer:
    """`step(progress)` averages the gradients over the workers and updates the weights.

    The learning rates rise over the first 3 % and then fall to zero along a cosine.
    """

    def __init__(self, model, rate=1.0, matrix_rate=0.02, other_rate=0.004, decay=0.05):
        named = list(model.named_parameters())
        self.matrices = [p for n, p in named if p.dim() == 2 and "embed" not in n]
        others = [p for n, p in named if p.dim() != 2 or "embed" in n]
        self.momenta = [torch.zeros_like(p) for p in self.matrices]
        self.adam = torch.optim.AdamW(others, lr=other_rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.matrix_rate, self.other_rate, self.decay = rate * matrix_rate, rate * other_rate, decay
        self.all = [p for _, p in named]
        self.rank, self.workers = dist.get_rank(), dist.get_world_size()

    @torch.no_grad()
    def step(self, progress: float):
        scale = min(progress / 0.03, 1.0) * (0.5 + 0.5 * torch.cos(torch.tensor(torch.pi * progress)).item())
        add_up([p.grad for p in self.all])
        for p in self.all:
            p.grad /= self.workers
        norm = torch.sqrt(sum(p.grad.square().sum() for p in self.all)).item()
        if norm > 1.0:
            for p in self.all:
                p.grad /= norm
        for group in self.adam.param_groups:
            group["lr"] = self.other_rate * scale
        self.adam.step()

        # Each worker does its share of the orthogonalisations.
        updates = [torch.zeros_like(p) for p in self.matrices]
        for i, (p, momentum) in enumerate(zip(self.matrices, self.momenta)):
            momentum.lerp_(p.grad, 0.05)
            if i % self.workers == self.rank:
                updates[i] = orthogonal(p.grad.lerp(momentum, 0.95))
        add_up(updates)
        rate = self.matrix_rate * scale
        for p, update in zip(self.matrices, updates):
            p.mul_(1 - rate * self.decay)
            p.add_(update, alpha=-rate * max(1, p.shape[0] / p.shape[1]) ** 0.5)
        for p in self.all:
            p.grad = None
        return norm


def add_up(tensors):
    """Sums the tensors over all workers, in place."""
    flat = torch.cat([t.flatten() for t in tensors])
    dist.all_reduce(flat)
    at = 0
    for t in tensors:
        t.copy_(flat[at : at + t.numel()].view_as(t))
        at += t.numel()


def orthogonal(matrix, rounds=5):
    """Newton-Schulz: brings all singular values near 1."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = x / (x.norm() + 1e-7)
    for _ in range(rounds):
        y = x @ x.T
        x = a * x + (b * y + c * (y @ y)) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T
