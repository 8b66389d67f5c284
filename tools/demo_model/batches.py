"""The packed tokens that dataset.py writes, on the device, and batches of their rows."""

import typing

import numpy as np
import torch
from attention import Documents, documents_of
from dataset import ANSWER, PADDING

DOCUMENTS_ROUNDED_TO = 64


class Batch(typing.NamedTuple):
    """All [tokens], rows one after the other; weights are 1 or 0, f32."""

    tokens: torch.Tensor
    documents: Documents
    target: torch.Tensor  # the next token
    answer: torch.Tensor  # whether the target is part of an answer
    other: torch.Tensor  # whether it is another token of the same document
    counted: torch.Tensor  # whether the token itself is no padding


class PackedRows:
    """One source's rows, whole on the device: 5 bytes a token."""

    def __init__(self, directory, device, rows_at_once):
        if not (directory / "manifest.json").exists():
            raise FileNotFoundError(f"{directory} has no finished data set: run dataset.py")
        # Vocabulary and row are below 2^15, and PyTorch has few operators for u16.
        ids, positions = (np.load(directory / f"{n}.npy").view(np.int16) for n in ("ids", "positions"))
        self.domains = np.load(directory / "domains.npy")
        self.rows, self.row_tokens = ids.shape
        self.rows_at_once = min(rows_at_once, self.rows)
        in_rows = np.sort((positions == 0).sum(1))[-self.rows_at_once:].sum()
        self.documents_max = int(-(-in_rows // DOCUMENTS_ROUNDED_TO) * DOCUMENTS_ROUNDED_TO)
        kinds = np.load(directory / "kinds.npy")
        self.ids, self.positions, self.kinds = (torch.from_numpy(a).to(device) for a in (ids, positions, kinds))
        self._order, self._order_of = None, None

    def step_rows(self, step, seed):
        """The rows of a step, on the device: every epoch in an order of its own, which the seed determines."""
        epoch, at = divmod(step, self.rows // self.rows_at_once)
        if self._order_of != (seed, epoch):
            generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
            self._order = torch.randperm(self.rows, generator=generator).to(self.ids.device)
            self._order_of = seed, epoch
        return self._order[at * self.rows_at_once:(at + 1) * self.rows_at_once]

    def batch(self, rows, way, dtype):
        """rows: their indices, a tensor on the device."""
        tokens, positions, kinds = (a[rows] for a in (self.ids, self.positions, self.kinds))
        documents = documents_of(positions, self.documents_max, way, dtype)
        tokens, kinds = tokens.flatten().long(), kinds.flatten()
        next_kind = kinds.roll(-1)
        follows = (documents.position.roll(-1) != 0) & (next_kind != PADDING)
        answer = follows & (next_kind == ANSWER)
        return Batch(tokens, documents, tokens.roll(-1), answer.float(), (follows & ~answer).float(),
                     (kinds != PADDING).float())
