"""What a chain took: hours of every stage and of all, on which machine, as a result beside the benchmarks'."""

from __future__ import annotations

from pathlib import Path

from longtake.measure.provenance import provenance
from longtake.measure.results import Figure, Result
from longtake.train.chain.config import ChainConfig
from longtake.train.chain.state import ChainState

__all__ = ["MOST_HOURS", "account"]

MOST_HOURS = 12
"""What a chain from nothing may take on two cores."""


def account(name: str, config: ChainConfig, folder: Path, dtype: str) -> Result:
    """Hours of the stages that are behind the chain in `folder`; `name` is the chain's, `dtype` what it computes in."""
    done = ChainState(folder).done()
    hours = {stage: done[stage].seconds / 3600 for stage in config.stages if stage in done}
    lacking = [stage for stage in config.stages if stage not in done]
    machines = sorted({each.hardware for each in done.values()})
    whole = Figure(
        name="all stages, gates included",
        value=None if lacking else sum(hours.values()),
        unit="h",
        count=len(hours),
        asked=f"<= {MOST_HOURS}",
        note=f"not done yet: {', '.join(lacking)}" if lacking else "",
    )
    return Result(
        name=f"chain-{name}",
        title=f"Hours of the chain {name}, from {config.base or 'nothing'} to a student",
        definition="Wall-clock time of each stage with its gate, over all legs; what was done anew after a kill counts "
        "once. Making the stored set is not included.",
        config={"stages": list(config.stages), "machines": machines},
        figures=(
            *(
                Figure(
                    name=stage,
                    value=value,
                    unit="h",
                    note="gate passed" if done[stage].passed else f"gate: {'; '.join(done[stage].reasons)}",
                )
                for stage, value in hours.items()
            ),
            whole,
        ),
        provenance=provenance(dtype),
        seconds=3600 * sum(hours.values()),
    )
