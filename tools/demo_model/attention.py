"""Attention over packed rows: causal, and never across the border of two documents.

A batch is a flat list of tokens, rows one after the other. Two ways compute the same: `masked`, the reference, through
scaled_dot_product_attention and a block-diagonal mask of every row; and `by_document`, through flash attention's form
for sequences of varying length, which spends nothing on pairs of tokens that do not see each other.
"""

import typing

import torch
import torch.nn.functional as F

WAYS = ("masked", "by-document")
CHECKED_HEAD_WIDTHS = ((32, 32), (48, 32))  # of queries and values: the demo's and the DeepSeek form's
TOLERANCE = 0.03  # of bf16 results of size 1, and of their gradients


class Documents(typing.NamedTuple):
    """What attention knows of a batch of rows * row_tokens tokens. One of bounds and mask is None: the other way's."""

    position: torch.Tensor  # [tokens] i64, from 0 in every document; padding counts as a document
    index: torch.Tensor  # [tokens] i64, which document of the batch
    rows: int
    documents_max: int
    bounds: torch.Tensor | None  # [documents_max + 1] i32, where documents begin; the unused end is empty documents
    mask: torch.Tensor | None  # [rows, 1, row_tokens, row_tokens], 0 or -inf


def documents_of(position, documents_max, way, dtype):
    """position is [rows, row_tokens]. Nothing here waits for the device."""
    rows, row_tokens = position.shape
    flat = position.flatten().long()
    index = (flat == 0).cumsum(0) - 1
    if way == "by-document":
        return Documents(flat, index, rows, documents_max, _bounds(flat, index, documents_max), None)
    of_row = index.view(rows, 1, row_tokens, 1)
    causal = torch.ones(row_tokens, row_tokens, dtype=torch.bool, device=flat.device).tril()
    seen = (of_row == of_row.transpose(2, 3)) & causal
    mask = torch.zeros(seen.shape, dtype=dtype, device=flat.device).masked_fill_(~seen, float("-inf"))
    return Documents(flat, index, rows, documents_max, None, mask)


def _bounds(position, index, documents_max):
    tokens = position.numel()
    bounds = torch.full((documents_max + 2,), tokens, dtype=torch.int32, device=position.device)
    # Tokens that begin no document write into a last place that is cut off.
    place = torch.where(position == 0, index, documents_max + 1)
    bounds.scatter_(0, place, torch.arange(tokens, dtype=torch.int32, device=position.device))
    return bounds[:-1]


def attend(query, key, value, documents):
    """[tokens, heads, width] of each -> [tokens, heads, width of values]; keys' and values' heads are repeated."""
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    return (masked if documents.bounds is None else by_document)(query, key, value, documents)


def masked(query, key, value, documents):
    def by_row(x):
        return x.unflatten(0, (documents.rows, -1)).transpose(1, 2)

    out = F.scaled_dot_product_attention(by_row(query), by_row(key), by_row(value), attn_mask=documents.mask)
    return out.transpose(1, 2).flatten(0, 1)


def by_document(query, key, value, documents):
    """The ATen operator, as the public forms differ between releases of PyTorch; see usable_way."""
    width, value_width = query.shape[-1], value.shape[-1]
    row_tokens = query.shape[0] // documents.rows
    if value_width < width:  # this kernel wants them equal
        value = F.pad(value, (0, width - value_width))
    out = torch.ops.aten._flash_attention_forward(
        query, key, value, documents.bounds, documents.bounds, row_tokens, row_tokens, 0.0, True, False,
        scale=width ** -0.5)[0]
    return out[..., :value_width]


def usable_way(device):
    """by-document where this machine's PyTorch computes it right, compiled and with gradients; else masked."""
    if device.type != "cuda":
        return "masked"
    try:
        worst = max(_difference(device, *widths) for widths in CHECKED_HEAD_WIDTHS)
    except Exception as error:  # whatever this release of PyTorch raises: the reference way needs none of it
        print(f"attention by document is not usable here ({type(error).__name__}: {error}); using masks", flush=True)
        return "masked"
    print(f"attention by document differs from masks by at most {worst:.4f}", flush=True)
    return "by-document" if worst < TOLERANCE else "masked"


def _difference(device, width, value_width):
    """The largest difference between the two ways, of outputs and gradients."""
    rows, row_tokens, heads = 4, 256, 4
    starts = torch.zeros(rows, row_tokens, dtype=torch.long, device=device)
    starts[:, 37::61] = 1
    starts[:, 0] = 1
    at = torch.arange(row_tokens, device=device).expand(rows, -1)
    position = at - torch.where(starts == 1, at, 0).cummax(1).values
    generator = torch.Generator(device).manual_seed(1)

    def random_heads(width):
        return torch.randn(rows * row_tokens, heads, width, device=device, generator=generator).bfloat16()

    inputs = [random_heads(width), random_heads(width), random_heads(value_width)]
    gradient = random_heads(value_width)
    results = []
    for way, function in (("masked", attend), ("by-document", torch.compile(attend, dynamic=False))):
        leaves = [x.clone().requires_grad_() for x in inputs]
        out = function(*leaves, documents_of(position, 64, way, torch.bfloat16))
        out.backward(gradient)
        results.append([out.detach()] + [x.grad for x in leaves])
    # As a share of each one's largest value: gradients may be larger than 1.
    return max(((a - b).abs().max() / a.abs().max().clamp(min=1)).item() for a, b in zip(*results))
