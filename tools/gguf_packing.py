"""Packs matrices in ggml's types. Simple roundings: good enough for tests and the demo models."""

import gguf
import numpy as np

TYPES = gguf.GGMLQuantizationType
BY_PACKAGE = {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0"}
FP4 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32)
IQ4 = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)
# Where a block of each type keeps its f16 scales.
F16_AT = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0], "MXFP4": [],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ1_S": [0], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0], "IQ4_XS": [0],
    "TQ1_0": [52], "TQ2_0": [64], "IQ1_M": [],
}  # fmt: skip


def halves(x):
    return x.astype(np.float16).view(np.uint8).reshape(*x.shape, 2)


def nearest(x, table):
    return np.abs(x[..., None] - table).argmin(-1).astype(np.uint8)


def inverse(x):
    return np.divide(1, x, out=np.zeros_like(x), where=x != 0)


def nibbles(q):
    """Value j low and value j + 16 high, of 32."""
    return q[..., :16] | q[..., 16:] << 4


def pack_iq4_nl(x):
    x = x.reshape(-1, 32)
    d = np.abs(x).max(-1) / 113
    q = nearest(x * inverse(d)[:, None], IQ4)
    return np.concatenate([halves(d), nibbles(q)], -1)


def pack_mxfp4(x):
    x = x.reshape(-1, 32)
    largest = np.abs(x).max(-1)
    e = np.where(largest > 0, np.floor(np.log2(np.where(largest > 0, largest, 1))) - 2 + 127, 0).clip(0, 254)
    q = nearest(x * np.exp2(128 - e)[:, None], FP4)
    return np.concatenate([e.astype(np.uint8)[:, None], nibbles(q)], -1)


def six_bit_scales(scale, minimum):
    """12 bytes of eight 6-bit scales and minimums."""
    s, m = scale.astype(np.uint8), minimum.astype(np.uint8)
    low = (s[:, :4] & 63) | s[:, 4:] >> 4 << 6
    mid = (m[:, :4] & 63) | m[:, 4:] >> 4 << 6
    return np.concatenate([low, mid, (s[:, 4:] & 15) | (m[:, 4:] & 15) << 4], -1)


def scaled_groups(x, levels):
    """Groups of 32 as scale * q - minimum, q in [0, levels]; scale and minimum of 6 bits under two f16."""
    x = x.reshape(-1, 8, 32)
    low = np.minimum(x.min(-1), 0)
    scale = (x.max(-1) - low).clip(0) / levels
    d, dmin = scale.max(-1) / 63, (-low).max(-1) / 63
    sc = np.rint(scale * inverse(d)[:, None]).clip(0, 63)
    m = np.rint(-low * inverse(dmin)[:, None]).clip(0, 63)
    d, dmin = d.astype(np.float16).astype(np.float32), dmin.astype(np.float16).astype(np.float32)
    step = (d[:, None] * sc)[..., None]
    q = np.rint((x + (dmin[:, None] * m)[..., None]) * inverse(step)).clip(0, levels).astype(np.uint8)
    return d, dmin, six_bit_scales(sc, m), q


def k_nibbles(q):
    """128 bytes: of each 64 values, the first 32 low."""
    return (q[:, ::2] & 15 | (q[:, 1::2] & 15) << 4).reshape(len(q), 128)


def pack_q4_k(x):
    d, dmin, scales, q = scaled_groups(x, 15)
    return np.concatenate([halves(d), halves(dmin), scales, k_nibbles(q)], -1)


def pack_q5_k(x):
    d, dmin, scales, q = scaled_groups(x, 31)
    fifth = (q >> 4 << np.arange(8, dtype=np.uint8)[:, None]).sum(1).astype(np.uint8)
    return np.concatenate([halves(d), halves(dmin), scales, fifth, k_nibbles(q)], -1)


def pack_q6_k(x):
    x = x.reshape(-1, 16, 16)
    largest = np.take_along_axis(x, np.abs(x).argmax(-1)[..., None], -1)[..., 0]
    scale = largest / -32
    d = np.abs(scale).max(-1) / 127
    sc = np.rint(scale * inverse(d)[:, None]).clip(-128, 127)
    d = d.astype(np.float16).astype(np.float32)
    q = np.rint(x * inverse((d[:, None] * sc)[..., None])).clip(-32, 31) + 32
    q = q.astype(np.uint8).reshape(-1, 2, 4, 32)
    low = np.stack([q[:, :, 0] & 15 | (q[:, :, 2] & 15) << 4, q[:, :, 1] & 15 | (q[:, :, 3] & 15) << 4], 2)
    high = (q >> 4 << np.array([0, 2, 4, 6], np.uint8)[:, None]).sum(2).astype(np.uint8)
    n = len(q)
    return np.concatenate(
        [low.reshape(n, 128), high.reshape(n, 64), sc.astype(np.int8).view(np.uint8), halves(d)], -1
    )


def pack_iq4_xs(x):
    x = x.reshape(-1, 8, 32)
    scale = np.abs(x).max(-1) / 113
    d = scale.max(-1) / 31
    sc = np.rint(scale * inverse(d)[:, None]).clip(-32, 31)
    d = d.astype(np.float16).astype(np.float32)
    q = nearest(x * inverse((d[:, None] * sc)[..., None]), IQ4)
    six = (sc + 32).astype(np.uint16)
    high = (six >> 4 << np.arange(0, 16, 2, dtype=np.uint16)).sum(1).astype(np.uint16)
    low = (six[:, ::2] & 15 | (six[:, 1::2] & 15) << 4).astype(np.uint8)
    return np.concatenate([halves(d), high[:, None].view(np.uint8), low, nibbles(q).reshape(len(x), 128)], -1)


PACKERS = {
    "IQ4_NL": pack_iq4_nl, "MXFP4": pack_mxfp4, "Q4_K": pack_q4_k, "Q5_K": pack_q5_k, "Q6_K": pack_q6_k,
    "IQ4_XS": pack_iq4_xs,
}  # fmt: skip


def random_blocks(name, n_blocks, rng):
    """Blocks whose values are of the size of weights."""
    _, n_bytes = gguf.GGML_QUANT_SIZES[TYPES[name]]
    blocks = rng.integers(0, 256, (n_blocks, n_bytes), np.uint8)
    values = gguf.quants.dequantize
    probe = np.zeros((1, n_bytes), np.uint8) + 85
    set_scale(name, probe, np.float32(1))
    size = np.abs(values(probe.reshape(-1), TYPES[name])).max()
    scale = (rng.random(n_blocks) * 0.05 + 0.01) / max(size, 1)
    if name in ("IQ1_S", "IQ1_M", "IQ3_XXS"):  # a part of it must fit an f16, to be kept as Q6_K without loss
        scale = np.maximum(scale, 2.0**-11)
    set_scale(name, blocks, scale)
    return blocks


def set_scale(name, blocks, scale):
    half = np.broadcast_to(np.asarray(scale, np.float32).astype(np.float16), len(blocks))
    for at in F16_AT[name]:
        blocks[:, at : at + 2] = half[:, None].view(np.uint8).reshape(-1, 2)
    if name == "MXFP4":
        blocks[:, 0] = 121
    if name == "IQ1_M":
        bits = half.view(np.uint16)
        for j in range(4):
            blocks[:, 49 + 2 * j] = blocks[:, 49 + 2 * j] & 15 | (bits >> (4 * j) & 15).astype(np.uint8) << 4


def pack(value, kind, seed=0):
    """(array, type): `kind` where rows are whole blocks, else Q8_0, else F16."""
    random = kind.startswith("random:")
    name = kind.removeprefix("random:")
    if name in ("F32", "F16"):
        return value.astype(np.float32 if name == "F32" else np.float16), None
    if name == "BF16":
        return gguf.quants.quantize(value.astype(np.float32), TYPES.BF16), TYPES.BF16
    n_values, n_bytes = gguf.GGML_QUANT_SIZES[TYPES[name]]
    if value.shape[-1] % n_values != 0:
        return pack(value, "Q8_0" if value.shape[-1] % 32 == 0 and name != "Q8_0" else "F16")
    value = np.ascontiguousarray(value, np.float32)
    shape = (*value.shape[:-1], value.shape[-1] // n_values * n_bytes)
    if random:
        return random_blocks(name, value.size // n_values, np.random.default_rng(seed)).reshape(shape), TYPES[name]
    if name in BY_PACKAGE:
        return gguf.quants.quantize(value, TYPES[name]), TYPES[name]
    return PACKERS[name](value).reshape(shape), TYPES[name]
