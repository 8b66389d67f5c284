"""The demo models in plain PyTorch, to train: Mixtral, dense Mistral (a Mixtral of one expert) and DeepSeek-V2 (MLA).

Every expert is computed for every token, as one wide GEMM weighted by the router's gates: at these sizes that is
faster than gathering tokens, and the gates of the experts not chosen are zero, so the result is the same.
A batch is a flat list of tokens; see attention.py.
"""

import torch
import torch.nn.functional as F
from attention import Documents, attend
from torch import nn

INITIAL_STD = 0.02


class Matrix(nn.Module):
    """A weight [..., out, in]. With an adapter it acts as weight + scale * b a, and only a and b learn."""

    def __init__(self, *shape):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape) * shape[-1] ** -0.5)
        self.a = self.b = None
        self.scale = 0.0

    def add_adapter(self, rank, scale):
        *leading, n_out, n_in = self.weight.shape
        self.weight.requires_grad_(False)
        self.a = nn.Parameter(torch.randn(*leading, rank, n_in) * n_in ** -0.5)
        self.b = nn.Parameter(torch.zeros(*leading, n_out, rank))
        self.scale = scale

    def effective(self):
        return self.weight if self.a is None else self.weight + self.scale * (self.b @ self.a)

    def forward(self, x):
        return linear(x, self.effective())


def linear(x, weight):
    """In the type of x: the master weights are f32, the activations bf16 on a GPU."""
    return F.linear(x, weight.to(x.dtype))


class Norm(nn.Module):
    """RMSNorm of the f32 residual; the result is in the type to compute in."""

    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x, dtype):
        x = x.float()
        return (self.weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps))).to(dtype)


def rope_table(width, theta, context):
    """cos and sin [context, width / 2] f32."""
    frequency = theta ** (-torch.arange(0, width, 2).double() / width)
    angle = torch.arange(context).double()[:, None] * frequency
    return angle.cos().float(), angle.sin().float()


def rotate_halves(x, cos, sin):
    """RoPE where element i turns with element i + width / 2."""
    a, b = x.float().chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(x.dtype)


def rotate_pairs(x, cos, sin):
    """RoPE where element 2 i turns with element 2 i + 1."""
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)


class GroupedQueryAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.head_dim = c.head_dim
        self.q = Matrix(c.heads * c.head_dim, c.hidden)
        self.k = Matrix(c.kv_heads * c.head_dim, c.hidden)
        self.v = Matrix(c.kv_heads * c.head_dim, c.hidden)
        self.o = Matrix(c.hidden, c.heads * c.head_dim)

    def forward(self, x, cos, sin, documents):
        q, k, v = (m(x).unflatten(-1, (-1, self.head_dim)) for m in (self.q, self.k, self.v))
        out = attend(rotate_halves(q, cos, sin), rotate_halves(k, cos, sin), v, documents)
        return self.o(out.flatten(1))


class LatentAttention(nn.Module):
    """MLA (DeepSeek-V2, arXiv:2405.04434) without the queries' low rank."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        self.q = Matrix(c.heads * (c.nope_dim + c.rope_dim), c.hidden)
        self.kv_a = Matrix(c.kv_rank + c.rope_dim, c.hidden)
        self.kv_norm = Norm(c.kv_rank, c.eps)
        self.kv_b = Matrix(c.heads * (c.nope_dim + c.value_dim), c.kv_rank)
        self.o = Matrix(c.hidden, c.heads * c.value_dim)

    def forward(self, x, cos, sin, documents):
        c = self.c
        q_nope, q_rope = self.q(x).unflatten(-1, (c.heads, -1)).split((c.nope_dim, c.rope_dim), -1)
        latent, k_rope = self.kv_a(x).split((c.kv_rank, c.rope_dim), -1)
        up = self.kv_b(self.kv_norm(latent, x.dtype)).unflatten(-1, (c.heads, -1))
        k_nope, v = up.split((c.nope_dim, c.value_dim), -1)
        k_rope = rotate_pairs(k_rope.unsqueeze(1), cos, sin).expand(-1, c.heads, -1)
        q = torch.cat((q_nope, rotate_pairs(q_rope, cos, sin)), -1)
        return self.o(attend(q, torch.cat((k_nope, k_rope), -1), v.contiguous(), documents).flatten(1))


class Experts(nn.Module):
    """SwiGLU experts side by side. gates [tokens, experts] weights them; a dense layer is one expert without gates."""

    def __init__(self, count, hidden, width):
        super().__init__()
        self.gate = Matrix(count, width, hidden)
        self.up = Matrix(count, width, hidden)
        self.down = Matrix(count, hidden, width)

    def forward(self, x, gates=None):
        count = self.gate.weight.shape[0]
        a = linear(x, self.gate.effective().flatten(0, 1))
        b = linear(x, self.up.effective().flatten(0, 1))
        h = F.silu(a.float()) * b.float()
        if gates is not None:
            h = (h.unflatten(-1, (count, -1)) * gates.unsqueeze(-1)).flatten(1)
        return linear(h.to(x.dtype), self.down.effective().transpose(0, 1).flatten(1))


def route(logits, chosen_count, normalise, scale):
    """gates [tokens, experts], zero where not chosen; which were chosen; and the softmax over all experts."""
    probabilities = logits.softmax(-1)
    left, chosen = probabilities.detach(), torch.zeros_like(logits, dtype=torch.bool)
    for _ in range(chosen_count):  # a top-k that compiles into one kernel
        best = F.one_hot(left.argmax(-1), logits.shape[-1]).bool()
        chosen, left = chosen | best, left.masked_fill(best, -1.0)
    gates = probabilities * chosen
    if normalise:
        gates = gates / gates.sum(-1, keepdim=True)
    return gates * scale, chosen, probabilities


def entropy(distribution):
    return -(distribution * distribution.clamp(min=1e-9).log()).sum(-1)


def router_losses(chosen, probabilities, documents, counted):
    """Two terms. Balance (Switch Transformer, arXiv:2101.03961): 1 where the whole batch uses all experts alike.
    Specialisation: the mean over documents of the entropy of the document's mean router distribution, less the entropy
    of the mean over documents: minus the mutual information of document and expert. It is low where one conversation
    uses few experts and different ones different experts; without the second part, all come to use the same few.
    counted [tokens] is 0 for padding."""
    weight = counted.unsqueeze(-1)
    use = (chosen * weight).sum(0)
    mean = (probabilities * weight).sum(0) / counted.sum()
    balance = use.numel() * (use / use.sum() * mean).sum()
    sums = probabilities.new_zeros(documents.documents_max, use.numel())
    sums = sums.index_add(0, documents.index, probabilities * weight)
    size = counted.new_zeros(documents.documents_max).index_add(0, documents.index, counted)
    of_document, real = sums / size.clamp(min=1).unsqueeze(-1), (size > 0).float()
    of_all = of_document.sum(0) / real.sum()
    return torch.stack((balance, (entropy(of_document) * real).sum() / real.sum() - entropy(of_all)))


class DenseFeedForward(nn.Module):
    def __init__(self, hidden, width):
        super().__init__()
        self.dense = Experts(1, hidden, width)

    def forward(self, x, documents, counted):
        return self.dense(x), None


class Mixture(nn.Module):
    """Routed experts, and shared ones (one wider expert) if there are any."""

    def __init__(self, c, shared_width=0):
        super().__init__()
        self.chosen, self.normalise, self.scale = c.chosen, c.normalise, c.gate_scale
        self.router = nn.Parameter(torch.randn(c.experts, c.hidden) * INITIAL_STD)
        self.experts = Experts(c.experts, c.hidden, c.width)
        self.shared = Experts(1, c.hidden, shared_width) if shared_width else None

    def forward(self, x, documents, counted):
        logits = F.linear(x.float(), self.router)
        gates, chosen, probabilities = route(logits, self.chosen, self.normalise, self.scale)
        out = self.experts(x, gates)
        if self.shared is not None:
            out = out + self.shared(x)
        losses = None if counted is None else router_losses(chosen, probabilities, documents, counted)
        return out, losses


class Layer(nn.Module):
    def __init__(self, c, i):
        super().__init__()
        self.attention_norm, self.feed_forward_norm = Norm(c.hidden, c.eps), Norm(c.hidden, c.eps)
        self.attention, self.feed_forward = c.attention(), c.feed_forward(i)

    def forward(self, x, cos, sin, documents, counted, dtype):
        x = x + self.attention(self.attention_norm(x, dtype), cos, sin, documents)
        out, losses = self.feed_forward(self.feed_forward_norm(x, dtype), documents, counted)
        return x + out, losses


def run_layer(layer, *inputs):
    """What is compiled, once for all layers that are alike: a whole model takes a minute longer to compile."""
    return layer(*inputs)


class Model(nn.Module):
    """Any of the families: the configuration says what its layers are made of."""

    def __init__(self, config, dtype=torch.float32):
        super().__init__()
        self.config, self.dtype = config, dtype
        self.embed = nn.Parameter(torch.randn(config.vocab, config.hidden) * INITIAL_STD)
        self.layers = nn.ModuleList(Layer(config, i) for i in range(config.layers))
        self.norm = Norm(config.hidden, config.eps)
        self.head = None if config.tied else nn.Parameter(torch.randn(config.vocab, config.hidden) * INITIAL_STD)
        for name, table in zip(("cos", "sin"), rope_table(config.rope_dim, config.theta, config.context)):
            self.register_buffer(name, table, persistent=False)
        self._shrink_outputs()

    def _shrink_outputs(self):
        """What layers add to the residual begins small, so that depth does not matter at the start."""
        for name, parameter in self.named_parameters():
            if name.endswith(("attention.o.weight", "down.weight")):
                parameter.data *= (2 * self.config.layers) ** -0.5

    def matrices(self):
        """{name: Matrix}: the layers' weights but for routers and norms."""
        return {name: m for name, m in self.named_modules() if isinstance(m, Matrix)}

    def hidden(self, tokens, documents: Documents, counted=None, run=run_layer):
        """The last layer's result, and with counted the layers' mean (balance, specialisation)."""
        cos, sin = self.cos[documents.position].unsqueeze(1), self.sin[documents.position].unsqueeze(1)
        x, losses = F.embedding(tokens, self.embed), []
        for layer in self.layers:
            x, loss = run(layer, x, cos, sin, documents, counted, self.dtype)
            losses += [] if loss is None else [loss]
        return x, torch.stack(losses).mean(0) if losses else x.new_zeros(2)

    def logits(self, hidden):
        return linear(self.norm(hidden, self.dtype), self.embed if self.head is None else self.head)

    def forward(self, tokens, documents: Documents):
        """Logits [tokens, vocab]."""
        return self.logits(self.hidden(tokens, documents)[0])
