"""Short hashes of what figures depend on: networks, a policy, the reader. Two that differ are not mixed or compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn

from longtake.models.policy import Policy
from longtake.models.rollouts import Streaming
from longtake.pipeline import Pipeline
from longtake.world.reader import Reader

__all__ = ["memory_hashes", "policy_hash", "reader_hash", "used_memories", "weights_hash"]


def weights_hash(pipe: Pipeline) -> str:
    """Of transformer and codec, whatever they are loaded as: values count as bfloat16."""
    return _of_tensors({**pipe.backbone.state_dict(), **pipe.codec.state_dict()}, torch.bfloat16)


def memory_hashes(pipe: Pipeline) -> dict[str, str]:
    """Of StreamingT2V's memories beside the transformer, by name (cam, apm), in the same way."""
    memories = {"cam": pipe.memories.cam, "apm": pipe.memories.apm}
    return {
        name: _of_tensors(network.state_dict(), torch.bfloat16)
        for name, network in memories.items()
        if isinstance(network, nn.Module)
    }


def used_memories(pipe: Pipeline) -> dict[str, str]:
    """Those of `memory_hashes` that its policy streams with."""
    rollout = pipe.preset.policy.rollout
    if not isinstance(rollout, Streaming):
        return {}
    used = {"cam": rollout.short_term, "apm": rollout.long_term}
    return {name: value for name, value in memory_hashes(pipe).items() if used[name]}


def policy_hash(policy: Policy) -> str:
    """Of every field, given or not."""
    return _short(json.dumps(policy.model_dump(mode="json"), sort_keys=True).encode())


def reader_hash(reader: Reader) -> str:
    """Of its weights, and of what it is trusted with."""
    trust = json.dumps(asdict(reader.trust), sort_keys=True)
    return _short((_of_tensors(reader.net.state_dict(), torch.float32) + trust).encode())


def _of_tensors(state: Mapping[str, Any], dtype: torch.dtype) -> str:
    digest = sha256()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode())
        digest.update(_bytes(tensor, dtype))
    return digest.hexdigest()[:16]


def _bytes(tensor: Tensor, dtype: torch.dtype) -> bytes:
    values = tensor.detach().cpu().to(dtype)
    bits = values.view(torch.int16) if dtype == torch.bfloat16 else values  # NumPy has no bfloat16
    return bits.numpy().tobytes()


def _short(data: bytes) -> str:
    return sha256(data).hexdigest()[:8]
