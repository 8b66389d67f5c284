"""How often the model's greedy answers are right: with every token of the answer so far given, all tokens first."""

import collections

import numpy as np
import torch
from dataset import DOMAINS


def answers_right(right, answer):
    """Of flat tokens, where each answer begins, and whether all its tokens are right."""
    starts = np.flatnonzero(answer & ~np.concatenate(([False], answer[:-1])))
    return starts, np.logical_and.reduceat(right | ~answer, starts)


@torch.no_grad()
def validate(model, packed, way, dtype):
    """{"exact": {domain: share}, "answers": count, "exact_all": share, "answer_loss": nats} of all rows of packed."""
    found = collections.defaultdict(list)
    loss = weight = 0.0
    trained_dtype, model.dtype = model.dtype, dtype
    for first in range(0, packed.rows, packed.rows_at_once):
        rows = torch.arange(first, min(first + packed.rows_at_once, packed.rows), device=packed.ids.device)
        batch = packed.batch(rows, way, dtype)
        logits = model(batch.tokens, batch.documents).float()
        losses = torch.nn.functional.cross_entropy(logits, batch.target, reduction="none")
        loss, weight = loss + (losses * batch.answer).sum().item(), weight + batch.answer.sum().item()
        right, answer = (logits.argmax(-1) == batch.target).cpu().numpy(), batch.answer.bool().cpu().numpy()
        starts, all_right = answers_right(right, answer)
        # The target's domain is the token's own: an answer never begins a document.
        domains = packed.domains[first:first + len(rows)].ravel()[starts]
        for domain in np.unique(domains):
            found[int(domain)] += all_right[domains == domain].tolist()
    model.dtype = trained_dtype
    every = [x for values in found.values() for x in values]
    return {"exact": {DOMAINS[d]: round(float(np.mean(found[d])), 4) for d in sorted(found)}, "answers": len(every),
            "exact_all": round(float(np.mean(every)), 4), "answer_loss": round(loss / weight, 5)}
