#!/usr/bin/env python3
"""Trains one of the demo's models on the data that dataset.py made:

    train.py demo WORK OUT (--minutes M | --tokens N)
    train.py draft WORK OUT --demo CHECKPOINT (--minutes M | --tokens N)

Stages: demo (Mixtral form), deepseek, draft (dense, distilled from the demo), lora-capitals and lora-korean (adapters
of the demo). Writes a checkpoint or adapter as Hugging Face's libraries have it to OUT, and a line of JSON every
--log-every steps to --log. Goes on where it was stopped: its state is in WORK. --minutes is the time of the whole
process, compilation included; --tokens is the reproducible form.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import time
import zlib

STARTED = time.monotonic()  # before PyTorch is imported: --minutes counts that too

import checkpoint  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from attention import WAYS, usable_way  # noqa: E402
from batches import PackedRows  # noqa: E402
from configs import CONFIGS, TINY  # noqa: E402
from model import Matrix, Model, run_layer  # noqa: E402
from muon import Muon  # noqa: E402
from validation import validate  # noqa: E402

OTHER_TOKENS_WEIGHT = 0.1  # what is said to the assistant is learnt with it, but little
DISTILLED_CE_WEIGHT = 0.1
GRADIENT_NORM_MAX = 1.0
ADAPTER_RANK = 4  # alpha is twice the rank
MATRIX_LR = {"muon": 0.02, "adamw": 0.002}
METRICS = ("loss", "answer_loss", "other_loss", "answer_accuracy", "balance", "specialisation", "kl", "agreement")


@dataclasses.dataclass(frozen=True)
class Stage:
    """What a stage trains on what."""

    config: str
    source: str
    held_out: str
    is_adapter: bool = False
    has_teacher: bool = False

    @property
    def needs_demo(self):
        return self.is_adapter or self.has_teacher


STAGES = {
    "demo": Stage("demo", "train", "held-out"),
    "deepseek": Stage("deepseek", "train", "held-out"),
    "draft": Stage("draft", "train", "held-out", has_teacher=True),
    "lora-capitals": Stage("demo", "capitals", "capitals-held-out", is_adapter=True),
    "lora-korean": Stage("demo", "korean", "korean-held-out", is_adapter=True),
}


def mean(values, weight):
    return (values * weight).sum() / weight.sum().clamp(min=1)


def losses_of(model, teacher, hidden, taught_hidden, routing, batch, coefficients):
    """What to minimise, and METRICS as one tensor."""
    logits = model.logits(hidden).float()
    token_losses = F.cross_entropy(logits, batch.target, reduction="none")
    answer, other = mean(token_losses, batch.answer), mean(token_losses, batch.other)
    guess = logits.detach().argmax(-1)
    kl = agreement = torch.zeros_like(answer)
    loss = answer + OTHER_TOKENS_WEIGHT * other
    if teacher is not None:
        with torch.no_grad():
            taught = teacher.logits(taught_hidden).float().log_softmax(-1)
        kl = mean((taught.exp() * (taught - logits.log_softmax(-1))).sum(-1), batch.answer)
        agreement = mean((taught.argmax(-1) == guess).float(), batch.answer)
        loss = kl + DISTILLED_CE_WEIGHT * loss
    balance, specialisation = routing.unbind()
    loss = loss + coefficients[0] * balance + coefficients[1] * specialisation
    accuracy = mean((guess == batch.target).float(), batch.answer)
    metrics = (loss, answer, other, accuracy, balance, specialisation, kl, agreement)
    return loss, torch.stack([m.detach() for m in metrics])


def make_objective(model, teacher, coefficients, compiled):
    """batch -> what losses_of gives; coefficients are those of balance and specialisation."""
    run, finish = run_layer, losses_of
    if compiled:
        run, finish = torch.compile(run, dynamic=False), torch.compile(finish, dynamic=False)

    def objective(batch):
        hidden, routing = model.hidden(batch.tokens, batch.documents, batch.counted if any(coefficients) else None, run)
        taught = None
        if teacher is not None:
            with torch.no_grad():
                taught, _ = teacher.hidden(batch.tokens, batch.documents, None, run)
        return finish(model, teacher, hidden, taught, routing, batch, coefficients)
    return objective


def make_optimizers(model, args):
    """Hidden matrices by args.optimizer; embedding, head, routers, norms and adapters' factors by AdamW."""
    matrices = [m.weight for m in model.modules() if isinstance(m, Matrix) and m.weight.requires_grad]
    known = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    groups, optimizers = [{"params": rest, "lr": args.adam_lr}], []
    if args.optimizer == "muon":
        optimizers.append(Muon(matrices, args.matrix_lr))
    elif matrices:
        groups.append({"params": matrices, "lr": args.matrix_lr})
    fused = args.device.type == "cuda"
    optimizers.append(torch.optim.AdamW(groups, betas=(0.9, 0.95), weight_decay=0.0, fused=fused))
    for group in (g for o in optimizers for g in o.param_groups):
        group["peak_lr"] = group["lr"]
    return optimizers


class Budget:
    """How much of the training is done, by the time or by the tokens. The learning rate follows it."""

    def __init__(self, args, seconds, progress):
        self.args, self.before = args, seconds
        self.anchor = None  # (seconds, progress) from which time counts: compiling is no training
        self.resumed_at = min(1.0, progress)  # a stage ends just after its time; more than 1 would run backwards

    def seconds(self):
        return self.before + time.monotonic() - STARTED

    def after_first_step(self):
        self.anchor = self.seconds(), self.resumed_at

    def progress(self, tokens):
        if self.args.tokens:
            return tokens / self.args.tokens
        if self.anchor is None:
            return self.resumed_at
        since, done = self.anchor
        left = max(self.args.minutes * 60 - since, 1e-3)
        return done + (1 - done) * (self.seconds() - since) / left


class Training:
    """A stage's model, optimisers and how far it has come."""

    def __init__(self, args):
        self.args, self.stage = args, STAGES[args.stage]
        torch.manual_seed(args.seed)
        self.way = usable_way(args.device) if args.attention == "auto" else args.attention
        self.dtype = torch.bfloat16 if args.device.type == "cuda" else torch.float32
        self.sizes = TINY if args.tiny else CONFIGS
        self.model, teacher = self._models()
        self.optimizers = make_optimizers(self.model, args)
        self.objective = make_objective(
            self.model, teacher, (args.balance, args.specialisation), args.device.type == "cuda")
        self.packed = PackedRows(args.work / self.stage.source, args.device, args.rows)
        self.held_out = PackedRows(args.work / self.stage.held_out, args.device, args.rows)
        if self.packed.rows < args.rows:
            raise ValueError(f"{self.stage.source} has {self.packed.rows} rows, fewer than a step's {args.rows}")
        self.adapter = checkpoint.Adapter(args.rank, 2 * args.rank, "polymath-demo") if self.stage.is_adapter else None
        self.state_file = args.work / f"state-{args.stage}.pt"
        self.made_with = self._made_with()
        self.step = self.tokens = 0
        self.budget = Budget(args, 0.0, 0.0)

    def _models(self):
        args, stage = self.args, self.stage
        model = Model(self.sizes[stage.config], self.dtype)
        teacher = None
        if args.init:
            checkpoint.load(model, args.init)
        if stage.is_adapter:
            checkpoint.load(model, args.demo)
            model.requires_grad_(False)
            for matrix in model.matrices().values():
                matrix.add_adapter(args.rank, 2.0)
        if stage.has_teacher:
            teacher = Model(self.sizes["demo"], self.dtype)
            checkpoint.load(teacher, args.demo)
            teacher = teacher.to(args.device).requires_grad_(False)
        return model.to(args.device), teacher

    def _made_with(self):
        """What a state must agree in to be gone on from."""
        free = ("device", "log", "log_every", "validate_every", "state_seconds")
        made_with = {k: str(v) for k, v in vars(self.args).items() if k not in free}
        for start in filter(None, (self.args.demo, self.args.init)):  # trained anew, it keeps its path
            made_with[f"weights of {start}"] = str(zlib.crc32((start / checkpoint.WEIGHTS_FILE).read_bytes()))
        return made_with

    def save_state(self):
        state = {"made_with": self.made_with, "model": self.model.state_dict(),
                 "optimizers": [o.state_dict() for o in self.optimizers], "step": self.step, "tokens": self.tokens,
                 "seconds": self.budget.seconds(), "progress": self.budget.progress(self.tokens)}
        part = self.state_file.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, self.state_file)

    def load_state(self):
        if not self.state_file.exists():
            return
        state = torch.load(self.state_file, map_location=self.args.device, weights_only=True)
        if state["made_with"] != self.made_with:
            print(f"{self.state_file} was made with other options: beginning anew", flush=True)
            return
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.tokens = state["step"], state["tokens"]
        self.budget = Budget(self.args, state["seconds"], state["progress"])
        print(f"going on from step {self.step}", flush=True)

    def one_step(self):
        """Returns the metrics; nothing here waits for the device."""
        factor = min(1.0, (self.step + 1) / self.args.warmup_steps) * max(0.0, 1 - self.budget.progress(self.tokens))
        for group in (g for o in self.optimizers for g in o.param_groups):
            group["lr"] = group["peak_lr"] * factor
        batch = self.packed.batch(self.packed.step_rows(self.step, self.args.seed), self.way, self.dtype)
        loss, metrics = self.objective(batch)
        loss.backward()
        learning = [p for p in self.model.parameters() if p.requires_grad]
        torch.nn.utils.clip_grad_norm_(learning, GRADIENT_NORM_MAX)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += batch.tokens.numel()
        return metrics

    def validation(self, way, dtype):
        return validate(self.model, self.held_out, way, dtype)

    def export(self):
        """Writes the result as bf16. Returns the exact answers of just these weights, computed in f32 as the engine."""
        for parameter in self.model.parameters():
            parameter.data.copy_(parameter.data.bfloat16())
        if self.adapter:
            checkpoint.save_adapter(self.model, self.adapter, self.args.out)
        else:
            checkpoint.save(self.model, self.args.out)
        return self.validation("masked", torch.float32)


class Log:
    """Lines of JSON, and the same on standard output."""

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("a")

    def write(self, **fields):
        line = json.dumps({k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in fields.items()})
        print(line, file=self.file, flush=True)
        print(line, flush=True)


def log_steps(training, log, sums, steps, seconds):
    """One line of the mean of the last steps' metrics."""
    args, packed = training.args, training.packed
    values = dict(zip(METRICS, (sums / steps).tolist()))  # waits for the device
    if values["loss"] != values["loss"]:
        raise FloatingPointError(f"the loss is not a number by step {training.step}")
    now, progress = training.budget.seconds(), training.budget.progress(training.tokens)
    log.write(step=training.step, tokens=training.tokens, seconds=now, progress=progress,
              tokens_per_s=steps * args.rows * packed.row_tokens / (now - seconds),
              lr=training.optimizers[0].param_groups[0]["lr"], **values)


def train(training, log):
    """Steps until the budget is used up."""
    args, budget = training.args, training.budget
    saved = budget.seconds()
    sums = training.one_step()
    since = training.step
    sums.sum().item()  # waits until all is compiled
    log.write(event="compiled", seconds=budget.seconds())
    budget.after_first_step()
    sums, since_seconds = torch.zeros_like(sums), budget.seconds()
    while budget.progress(training.tokens) < 1:
        sums += training.one_step()
        if training.step % args.log_every == 0:
            log_steps(training, log, sums, training.step - since, since_seconds)
            if training.step % args.validate_every == 0:
                log.write(event="validation", step=training.step, **training.validation(training.way, training.dtype))
            if budget.seconds() - saved > args.state_seconds:
                training.save_state()
                saved = budget.seconds()
            sums, since, since_seconds = torch.zeros_like(sums), training.step, budget.seconds()


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("work", type=pathlib.Path, help="what dataset.py wrote, and this stage's state")
    parser.add_argument("out", type=pathlib.Path, help="directory of the result")
    until = parser.add_mutually_exclusive_group(required=True)
    until.add_argument("--minutes", type=float)
    until.add_argument("--tokens", type=int)
    parser.add_argument("--demo", type=pathlib.Path, help="the demo's checkpoint: draft's teacher, adapters' base")
    parser.add_argument("--init", type=pathlib.Path, help="a checkpoint of the same form to begin with")
    parser.add_argument("--device", type=torch.device, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--attention", choices=("auto", *WAYS), default="auto", help="auto: the fastest that is right")
    parser.add_argument("--rows", type=int, default=32, help="rows of a step")
    parser.add_argument("--optimizer", choices=MATRIX_LR, help="of hidden matrices; default: muon")
    parser.add_argument("--matrix-lr", type=float, help=f"default: {MATRIX_LR}")
    parser.add_argument("--adam-lr", type=float, default=0.003, help="of embeddings, routers, norms and adapters")
    parser.add_argument("--warmup-steps", type=int, default=100)
    parser.add_argument("--balance", type=float, help="coefficient of the load-balancing loss; default: 0.01")
    parser.add_argument("--specialisation", type=float, help="coefficient of the documents' entropy; default: 0.02")
    parser.add_argument("--rank", type=int, help=f"of an adapter; default: {ADAPTER_RANK}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=pathlib.Path, help="default: WORK/STAGE.jsonl")
    parser.add_argument("--log-every", type=int, default=50, help="steps; validation and states come at such a step")
    parser.add_argument("--validate-every", type=int, default=500, help="steps, a multiple of --log-every")
    parser.add_argument("--state-seconds", type=float, default=60, help="how often the state is saved")
    parser.add_argument("--tiny", action="store_true", help="models small enough to test with on a CPU")
    args = parser.parse_args()
    settle(parser, args, STAGES[args.stage])
    return args


def settle(parser, args, stage):
    """Fills in what the stage decides, and refuses what it has no use for."""
    if bool(args.demo) != stage.needs_demo:
        parser.error(f"{args.stage} {'needs' if stage.needs_demo else 'takes no'} --demo")
    if args.init and stage.is_adapter:
        parser.error(f"{args.stage} takes no --init: it begins with --demo")
    trains_router = not (stage.is_adapter or stage.has_teacher)
    for name, is_used, default in (
            ("optimizer", not stage.is_adapter, "adamw" if stage.is_adapter else "muon"),
            ("balance", trains_router, 0.01), ("specialisation", trains_router, 0.02),
            ("rank", stage.is_adapter, ADAPTER_RANK)):
        if getattr(args, name) is not None and not is_used:
            parser.error(f"{args.stage} takes no --{name}")
        if getattr(args, name) is None:
            setattr(args, name, default if is_used or name == "optimizer" else 0)
    if stage.is_adapter and args.matrix_lr:
        parser.error(f"{args.stage} takes no --matrix-lr: an adapter's factors learn at --adam-lr")
    if args.validate_every % args.log_every:
        parser.error("--validate-every must be a multiple of --log-every")
    args.matrix_lr = args.matrix_lr or MATRIX_LR[args.optimizer]
    args.log = args.log or args.work / f"{args.stage}.jsonl"


def main():
    args = options()
    training, log = Training(args), Log(args.log)
    training.load_state()
    log.write(event="start", options={k: str(v) for k, v in vars(args).items()}, attention=training.way,
              parameters=sum(p.numel() for p in training.model.parameters()), rows=training.packed.rows)
    train(training, log)
    training.save_state()
    log.write(event="exported", step=training.step, tokens=training.tokens, seconds=training.budget.seconds(),
              **training.export())


if __name__ == "__main__":
    main()
