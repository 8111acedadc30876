"""The memory plan against real bytes: of tensors, of FSDP's shards on the meta device, of a block's backward pass."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from longtake.errors import UserError
from longtake.memory import KVContext
from longtake.models import backends
from longtake.models.attention import WholeClip, block_causal_mask
from longtake.models.hub import presets
from longtake.models.wan import WanConfig, WanTransformer
from longtake.sampling.noise import CounterNoise
from longtake.train.app import app
from longtake.train.distil.config import distil_config
from longtake.train.distil.rollout import Beside, Rollout
from longtake.train.memory_plan import Bytes, Clip, Plan, activations, held, of_block, rollout_caches
from longtake.train.sharding import checkpoint_blocks
from longtake.train.stage_plan import stage_plan
from tests.tiny import TINY_WAN, tiny_transformer
from tests.train.distil import toys


def test_weights_gradients_and_moments_are_those_of_the_real_network() -> None:
    network = tiny_transformer().requires_grad_(True)
    network.patch_embedding.requires_grad_(False)
    optimiser = torch.optim.AdamW(p for p in network.parameters() if p.requires_grad)
    text, latents = torch.randn(1, 3, TINY_WAN.text_dim), torch.randn(1, 16, 2, 4, 4)
    network(latents, torch.full((1, 2), 500.0), text).sum().backward()
    optimiser.step()
    plan = held(network, 1, average=True, blocks=network.blocks)
    assert plan.weights == sum(p.nbytes for p in network.parameters())
    assert plan.gradients == sum(p.grad.nbytes for p in network.parameters() if p.grad is not None)
    moments = [value for state in optimiser.state.values() for value in state.values() if value.ndim]
    assert plan.optimiser == sum(value.nbytes for value in moments)
    assert plan.average == plan.gradients
    assert plan.gathered == 0, "one process holds everything"


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("blocks", [1, 2, 6])
def test_a_blocks_backward_pass_needs_what_is_planned(
    monkeypatch: pytest.MonkeyPatch, bfloat16: bool, blocks: int
) -> None:
    monkeypatch.setattr(backends, "_halves_without_amx", lambda: False)  # fused attention, as on a GPU
    config = WanConfig(
        num_attention_heads=4, attention_head_dim=48, ffn_dim=1120, num_layers=1, freq_dim=32, text_dim=24
    )
    frames, side = 6, 16
    network = WanTransformer(config).requires_grad_(True)
    rule = WholeClip(
        grid=config.grid(side, side),
        positions=tuple(range(frames)),
        mask=block_causal_mask(frames, frames // blocks) if blocks > 1 else None,
    )
    with torch.autocast("cpu", torch.bfloat16) if bfloat16 else nullcontext():
        context = network.text_context(torch.randn(1, 8, 24))
        x = network.patchify(torch.randn(1, 16, frames, side, side)).float()
        _, time = network.condition_embedder(torch.full((1, frames), 500.0))
        kept = saved_bytes(
            network, lambda: network.blocks[0](x, time, context.layers[0], None, None, rule, 0)
        )
    tokens = frames * (side // 2) ** 2
    planned = of_block(config, Clip(clips=1, tokens=tokens, text_rows=8, blocks=blocks, bfloat16=bfloat16))
    assert planned == pytest.approx(kept, rel=0.03), f"planned {planned}, kept {kept}"


def saved_bytes(network: torch.nn.Module, forward) -> int:  # type: ignore[no-untyped-def]
    """Bytes of every different tensor that autograd keeps, the network's own parameters aside."""
    own = {p.untyped_storage().data_ptr() for p in network.parameters()}
    found: dict[int, int] = {}
    alive = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        alive.append(tensor)
        found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        made = forward()
    assert made.requires_grad
    return sum(size for place, size in found.items() if place not in own)


def test_shards_on_the_meta_device_are_what_is_planned() -> None:
    """Wan 1.3B, never in memory, sharded by FSDP for 8 processes of which only one exists."""
    program = """
import torch, torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore
from longtake.models.hub import presets
from longtake.models.wan import WanConfig, WanTransformer
from longtake.train.app import app
from longtake.train.distil.config import distil_config
from longtake.train.memory_plan import held
from longtake.train.sharding import mesh_of, shard
dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=8)
with torch.device("meta"):
    network = WanTransformer(WanConfig(num_attention_heads=12, attention_head_dim=128, ffn_dim=8960, num_layers=30))
planned = held(network, 8, average=True, blocks=network.blocks).weights
shard(network, mesh_of(torch.device("cpu"), 8))
real = sum(p.to_local().numel() * 4 for p in network.parameters())
print(planned, real, all(p.is_meta for p in network.parameters()))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    planned, real, on_meta = ended.stdout.split()
    assert on_meta == "True", "nothing was allocated"
    assert int(planned) == pytest.approx(int(real), rel=0.01)


def test_the_largest_pass_counts_and_the_table_says_everything() -> None:
    plan = Plan(
        stage="dmd",
        gpus=8,
        networks={"student": Bytes(weights=2**30), "teacher": Bytes(weights=2**30, gathered=2**29)},
        activations={"student": 3 * 2**30, "critic": 2**30},
        caches=2**28,
    )
    assert plan.total == int((1 + 1.5 + 3 + 0.25) * 2**30)
    text = "\n".join(plan.lines())
    for words in ("dmd on 8 GPUs", "student", "teacher", "activations, critic: 1.00", "most at a time: 5.75"):
        assert words in text


def test_activations_grow_with_layers_by_their_inputs_only() -> None:
    clip = Clip(clips=2, tokens=100, text_rows=8, blocks=1, bfloat16=False)
    one, two = (
        activations(
            WanConfig(num_attention_heads=2, attention_head_dim=12, ffn_dim=32, num_layers=n),
            clip,
            checkpointed=True,
        )
        for n in (1, 2)
    )
    assert two - one == 2 * 24 * 4 * (100 + 4 * 8)


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_forward_pass_keeps_what_is_planned(monkeypatch: pytest.MonkeyPatch, checkpointed: bool) -> None:
    monkeypatch.setattr(backends, "_halves_without_amx", lambda: False)
    config = WanConfig(
        num_attention_heads=4, attention_head_dim=48, ffn_dim=1120, num_layers=3, freq_dim=32, text_dim=24
    )
    network, frames, side = WanTransformer(config).requires_grad_(True), 6, 16
    if checkpointed:
        checkpoint_blocks(network)
    given = torch.randn(1, 16, frames, side, side), torch.full((1, frames), 500.0), torch.randn(1, 8, 24)
    kept = saved_bytes(network, lambda: network(*given))
    clip = Clip(clips=1, tokens=frames * (side // 2) ** 2, text_rows=8, blocks=1, bfloat16=False)
    planned = activations(config, clip, checkpointed=checkpointed)
    planned -= (of_block(config, clip) - clip.tokens * config.dim * 4) if checkpointed else 0
    assert planned == pytest.approx(kept, rel=0.1), f"planned {planned}, kept {kept}"


def test_one_process_checkpoints_big_networks_alone_and_the_plan_knows() -> None:
    """Wan is big, mini is not: on one GPU mini keeps everything of its eight blocks or more."""
    big, small = distil_config("wan-1.3b-causvid"), distil_config("mini")
    one, eight = (stage_plan("dmd", big, gpus).activations for gpus in (1, 8))
    assert one == eight
    alone, spread = (stage_plan("self-forcing", small, n, teacher="mini", student="mini") for n in (1, 8))
    assert alone.activations["student"] > 4 * spread.activations["student"]
    assert alone.caches > spread.caches, "blocks keep their past beside the new frames"


def test_every_block_of_a_rollout_keeps_its_past() -> None:
    config = WanConfig(num_attention_heads=2, attention_head_dim=12, ffn_dim=32, num_layers=3)
    row = 3 * 2 * 24 * 4
    cache = rollout_caches(config, cache=7, tokens_of_block=10, blocks=range(4), window=30)
    assert cache == 7 + row * (0 + 10 + 20 + 20)
    joined = rollout_caches(config, cache=7, tokens_of_block=10, blocks=range(4), window=30, joined=2)
    assert joined == cache + row // 2 * (0 + 10 + 20 + 20)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_rollouts_caches_are_what_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bfloat16: bool
) -> None:
    """Of a real rollout, under autocast too: its memory, and the past that each block keeps for its gradient."""
    recipe, folder = toys.config(), str(toys.model_folder(tmp_path))
    net, kept, copy = toys.backbone(), list[int](), Beside.of

    def noted(context: KVContext) -> Beside:
        made = copy(context)
        kept.append(sum(kv.k.nbytes + kv.v.nbytes for kv in made.past))
        return made

    monkeypatch.setattr(Beside, "of", noted)
    rollout = Rollout(
        transformer=net.transformer,
        policy=recipe.student,
        latent_shape=toys.SHAPE,
        noisy_context=False,
        compute=replace(toys.COMPUTE, bfloat16=bfloat16),
    )
    memory, rows, noise = rollout.start(), net.read(["a red sphere"]), CounterNoise(0)
    text = rollout.read(rows)
    for block in (range(2), range(2, 4)):
        made = rollout.block(memory, block, rows, text, noise, skipped=0, trained=True)
        rollout.remember(memory, block, made, text, noise)
    assert kept[1]
    planned = stage_plan("self-forcing", recipe, 2, teacher=folder, student=folder).caches
    assert planned == memory.num_bytes + sum(kept)


def test_the_published_stage_of_wan_is_planned_without_its_weights() -> None:
    recipe = distil_config("wan-1.3b-causvid")
    one, eight = (stage_plan("dmd", recipe, gpus) for gpus in (1, 8))
    network = presets()["wan2.1-t2v-1.3b"].network
    assert network is not None
    assert one.networks["student"].weights == 4 * network.parameters
    assert eight.networks["student"].optimiser == pytest.approx(2 * 4 * network.parameters / 8, abs=8)
    assert eight.networks["teacher"].gradients == 0
    assert eight.networks["critic"].average == 0
    assert eight.activations == one.activations, "each GPU has its own clips"
    tokens = 21 * (480 // 16) * (832 // 16)
    assert eight.activations["critic"] > network.num_layers * tokens * network.dim * 4
    assert eight.total < one.total
    replicated = stage_plan("dmd", recipe, 8, spread=False)
    assert (replicated.networks, replicated.gpus) == (one.networks, 8), "each holds all weights"


def test_rollouts_are_planned_with_their_caches_and_pairs_are_not_planned() -> None:
    assert stage_plan("self-forcing", distil_config("wan-1.3b-self-forcing"), 8).caches > 2**30
    with pytest.raises(UserError, match="ode-pairs trains nothing"):
        stage_plan("ode-pairs", distil_config("wan-1.3b-causvid"), 8)


def test_the_plan_is_printed_without_data() -> None:
    said = CliRunner().invoke(app, ["stage", "dmd", "--config", "wan-1.3b-causvid", "--plan", "--nproc", "8"])
    assert said.exit_code == 0, said.output
    assert "dmd on 8 GPUs" in said.stdout
    refused = CliRunner().invoke(app, ["stage", "dmd", "--config", "wan-1.3b-causvid"])
    assert isinstance(refused.exception, UserError)
    assert "needs --data and --out" in str(refused.exception)
