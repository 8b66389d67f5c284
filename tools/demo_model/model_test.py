"""The training modules compute what transformers computes of the checkpoints that they write.

    python3 -m unittest model_test      (needs torch and transformers; a CPU will do)
"""

import os
import pathlib
import tempfile
import unittest

import checkpoint
import compare
import torch
import train
from attention import documents_of
from configs import CONFIGS, TINY
from model import Model

ROWS, ROW_TOKENS = 2, 48
TOLERANCE = 1e-4


def shaken(model, seed):
    """Every parameter random and large enough to matter: norms, routers and adapters too."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data += noise * (0.2 if parameter.dim() == 1 else 0.5 * parameter.shape[-1] ** -0.5)
    return model


def our_logits(model, tokens, position):
    documents = documents_of(position, tokens.numel(), "masked", torch.float32)
    with torch.no_grad():
        return model(tokens.flatten(), documents).view(*tokens.shape, -1)


def their_logits(directory, tokens):
    import transformers
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    with torch.no_grad():
        return model(tokens).logits


def random_tokens(vocab):
    return torch.randint(0, vocab, (ROWS, ROW_TOKENS), generator=torch.Generator().manual_seed(3))


def largest_difference(config, directory):
    """Between our logits and transformers' of a random model written to the directory."""
    model = shaken(Model(config), 1)
    checkpoint.save(model, directory, torch.float32)
    tokens = random_tokens(config.vocab)
    ours = our_logits(model, tokens, torch.arange(ROW_TOKENS).expand(ROWS, -1))
    return (ours - their_logits(directory, tokens)).abs().max().item()


class ModelTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.directory = pathlib.Path(folder.name)

    def test_transformers_gives_the_same_logits(self):
        for size, configs in (("full", CONFIGS), ("tiny", TINY)):
            for name, config in configs.items():
                with self.subTest(f"{size} {name}"):
                    self.assertLess(largest_difference(config, self.directory / size / name), TOLERANCE)

    def test_files_are_small_enough(self):
        for name, megabytes in (("demo", 12.4), ("deepseek", 3.2), ("draft", 1.4)):
            model = Model(CONFIGS[name])
            checkpoint.save(model, self.directory / name)
            self.assertLess(os.path.getsize(self.directory / name / checkpoint.WEIGHTS_FILE), megabytes * 1e6, name)
        adapter = checkpoint.Adapter(train.ADAPTER_RANK, 2 * train.ADAPTER_RANK, "demo")
        model = Model(CONFIGS["demo"])
        for matrix in model.matrices().values():
            matrix.add_adapter(adapter.rank, 2.0)
        checkpoint.save_adapter(model, adapter, self.directory)
        self.assertLess(os.path.getsize(self.directory / checkpoint.ADAPTER_FILE), 1e6)

    def test_a_document_does_not_see_another(self):
        for name, config in TINY.items():
            model, tokens = shaken(Model(config), 1), random_tokens(config.vocab)
            cut = 20
            position = torch.cat((torch.arange(cut), torch.arange(ROW_TOKENS - cut))).expand(ROWS, -1)
            packed = our_logits(model, tokens, position)
            alone = our_logits(model, tokens[:, cut:], torch.arange(ROW_TOKENS - cut).expand(ROWS, -1))
            self.assertLess((packed[:, cut:] - alone).abs().max().item(), 1e-5, name)

    def test_load_reads_what_save_wrote(self):
        for name, config in TINY.items():
            written = shaken(Model(config), 1)
            checkpoint.save(written, self.directory / name, torch.float32)
            read = Model(config)
            checkpoint.load(read, self.directory / name)
            for (key, a), b in zip(written.named_parameters(), read.parameters()):
                self.assertTrue(torch.equal(a, b), f"{name} {key}")

    def test_adapter_merges_into_the_checkpoint(self):
        """The model with its adapter equals transformers on the checkpoint with the written adapter added."""
        config, directory = TINY["demo"], self.directory / "demo"
        model = shaken(Model(config), 1)
        checkpoint.save(model, directory, torch.float32)
        adapter = checkpoint.Adapter(rank=4, alpha=8, base="demo")
        for matrix in model.matrices().values():
            matrix.add_adapter(adapter.rank, adapter.alpha / adapter.rank)
            matrix.b.data.normal_(std=0.1)
        checkpoint.save_adapter(model, adapter, self.directory / "adapter", torch.float32)
        compare.save_merged(directory, self.directory / "adapter", directory / checkpoint.WEIGHTS_FILE)
        tokens = random_tokens(config.vocab)
        ours = our_logits(model, tokens, torch.arange(ROW_TOKENS).expand(ROWS, -1))
        self.assertLess((ours - their_logits(directory, tokens)).abs().max().item(), TOLERANCE)


if __name__ == "__main__":
    unittest.main()
