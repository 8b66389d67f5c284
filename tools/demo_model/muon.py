"""Muon: momentum whose update of a matrix is made orthogonal (Keller Jordan et al., 2024), experts in one batch."""

import collections

import torch

# Newton-Schulz coefficients: they need not converge to 1, only to bring every singular value near it fast.
A, B, C = 3.4445, -4.7750, 2.0315
ITERATIONS = 5


def orthogonal(x):
    """Of a batch of matrices [n, rows, columns], about the nearest matrices of singular values one."""
    tall = x.shape[-2] > x.shape[-1]
    x = x.transpose(-2, -1) if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.transpose(-2, -1)
        x = A * x + (B * square + C * square @ square) @ x
    return x.transpose(-2, -1) if tall else x


class Muon(torch.optim.Optimizer):
    """For parameters [..., rows, columns]; leading dimensions are separate matrices (the experts of a layer)."""

    def __init__(self, parameters, lr, momentum=0.95, weight_decay=0.01):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = collections.defaultdict(list)
            for p in group["params"]:
                by_shape[p.shape[-2:]].append(p)
            for parameters in by_shape.values():
                self._step_of_one_shape(parameters, group)

    def _step_of_one_shape(self, parameters, group):
        gradients = [p.grad for p in parameters]
        for p in parameters:
            if "momentum" not in self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        momenta = [self.state[p]["momentum"] for p in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        nesterov = torch._foreach_lerp(gradients, momenta, group["momentum"])
        flat = torch.cat([u.flatten(0, -3) if u.dim() > 2 else u.unsqueeze(0) for u in nesterov])
        update = orthogonal(flat.bfloat16() if flat.is_cuda else flat).float()
        update = update * max(1.0, flat.shape[-2] / flat.shape[-1]) ** 0.5
        sizes = [p.numel() // update[0].numel() for p in parameters]
        updates = [u.view_as(p) for u, p in zip(update.split(sizes), parameters)]
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(parameters, updates, alpha=-group["lr"])
