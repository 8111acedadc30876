"""A chain's order, its stops and its memory. Stages here only write a tiny model; `test_smoke.py` has real ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from longtake.errors import UserError
from longtake.measure.provenance import provenance
from longtake.measure.results import Figure, Result
from longtake.train.app import app
from longtake.train.chain import run as run_module
from longtake.train.chain import works as module
from longtake.train.chain.account import account
from longtake.train.chain.config import ChainConfig, chain_config, chain_names
from longtake.train.chain.run import Chain, Job, Work
from longtake.train.chain.state import ChainState, Done
from longtake.train.distil.config import distil_config
from longtake.train.gates.config import GateConfig
from tests.tiny import TINY_POLICY, tiny_folder

STAGES = ("causal", "consistency", "dmd")
QUICK = GateConfig(prompts=1, seconds=0.5)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model"))


class Works:
    """Notes what was done, and copies a model."""

    def __init__(self, model: Path) -> None:
        self.model, self.done, self.stop_at = model, list[str](), ""

    def work(self, stage: str) -> Work:
        def do(job: Job) -> bool:
            assert all((folder / "model").is_dir() for folder in job.stages.values()), (
                "earlier stages are done"
            )
            self.done.append(stage)
            if stage == self.stop_at:
                return False
            shutil.copytree(self.model, job.model, dirs_exist_ok=True)
            line = {"kind": "train", "step": 1, "loss": 0.5, "seconds": 120.0}
            (job.folder / "log.jsonl").write_text(json.dumps(line) + "\n")
            return True

        return do


def config(**changes: object) -> ChainConfig:
    values = {
        "base": "mini",
        "distil": "mini",
        "stages": STAGES,
        "teacher": TINY_POLICY,
        "gates": dict.fromkeys(STAGES, QUICK.model_dump()),
    }
    return ChainConfig.model_validate(values | changes)


def chain(folder: Path, works: Works, said: list[str] | None = None, **changes: object) -> Chain:
    doing = {stage: works.work(stage) for stage in STAGES}
    lines = [] if said is None else said
    return Chain(config(**changes), folder, folder / "data", doing, say=lines.append)


def asking(stage: str, asked: dict[str, str]) -> dict[str, object]:
    gates = dict.fromkeys(STAGES, QUICK)
    return {"gates": gates | {stage: QUICK.model_copy(update={"asked": asked})}}


def test_stages_follow_each_other_and_are_done_once(model: Path, tmp_path: Path) -> None:
    works, said = Works(model), list[str]()
    assert chain(tmp_path, works).run()
    assert works.done == list(STAGES)
    assert chain(tmp_path, works, said).run()
    assert works.done == list(STAGES), "nothing is done twice"
    assert said[0].startswith("causal: done before, in 2.")
    assert all((tmp_path / stage / "gate.json").exists() for stage in STAGES)


def test_a_stopped_stage_is_gone_on_with(model: Path, tmp_path: Path) -> None:
    works = Works(model)
    works.stop_at = "consistency"
    assert not chain(tmp_path, works).run()
    works.stop_at = ""
    (tmp_path / "chain.jsonl").open("a").write('{"stage": "dmd", "pas')  # what a kill leaves
    assert chain(tmp_path, works).run()
    assert works.done == ["causal", "consistency", "consistency", "dmd"]


def test_until_ends_early_and_from_begins_anew(model: Path, tmp_path: Path) -> None:
    works = Works(model)
    assert chain(tmp_path, works).run(until="consistency")
    with pytest.raises(
        UserError, match=r"--from sampling: the chain has no such stage; .* causal, consistency"
    ):
        chain(tmp_path, works).run(begin="sampling")
    assert chain(tmp_path, works).run()
    kept = (tmp_path / "consistency" / "gate.json").read_text()
    assert chain(tmp_path, works).run(begin="consistency")
    assert works.done == ["causal", "consistency", "dmd", "consistency", "dmd"]
    assert (tmp_path / "before" / "1" / "consistency" / "gate.json").read_text() == kept, "nothing is lost"


def test_from_after_until_is_refused_before_anything_is_moved(model: Path, tmp_path: Path) -> None:
    works = Works(model)
    assert chain(tmp_path, works).run()
    before = (tmp_path / "chain.jsonl").read_text()
    with pytest.raises(UserError, match="--from dmd comes after --until causal"):
        chain(tmp_path, works).run(begin="dmd", until="causal")
    assert (tmp_path / "dmd").is_dir()
    assert not (tmp_path / "before").exists()
    assert (tmp_path / "chain.jsonl").read_text() == before


def test_other_files_beside_earlier_results_do_not_matter(model: Path, tmp_path: Path) -> None:
    works = Works(model)
    assert chain(tmp_path, works).run()
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / ".notes").write_text("of the user")
    assert chain(tmp_path, works).run(begin="dmd")
    assert (tmp_path / "before" / "1" / "dmd").is_dir()


def test_a_gate_that_is_held_again_counts_its_takes_still(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(stage: str, *_: object, **__: object) -> Result:
        figures = (Figure(name="legible", value=0.0, asked=">= 0.5"),)
        return Result(
            name="gate",
            title="",
            definition="",
            config={},
            figures=figures,
            provenance=provenance("float32"),
            seconds=600.0,
        )

    monkeypatch.setattr(run_module, "hold", held)
    assert chain(tmp_path, Works(model), enforce=False).run(until="causal")
    assert 720 <= ChainState(tmp_path).done()["causal"].seconds < 730, "120 of training, 600 of takes"


def test_from_needs_what_comes_before(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="causal comes first and is not done"):
        chain(tmp_path, Works(model)).run(begin="dmd")


def test_a_gate_that_is_not_passed_stops_the_chain_with_the_reason(model: Path, tmp_path: Path) -> None:
    works = Works(model)
    strict = asking("consistency", {"legible": ">= 0.9"})
    for _ in range(2):
        with pytest.raises(
            UserError, match=r"gate after consistency .* legible is 0, asked >= 0\.9.*gate\.md"
        ):
            chain(tmp_path, works, **strict).run()
    assert "dmd" not in works.done
    assert not ChainState(tmp_path).done()["consistency"].passed
    takes = (tmp_path / "consistency" / "gate.jsonl").read_text()
    assert chain(tmp_path, works, **asking("consistency", {"legible": ">= 0"})).run()
    assert (tmp_path / "consistency" / "gate.jsonl").read_text() == takes, "its takes are kept"


def test_gates_that_are_not_enforced_only_report(model: Path, tmp_path: Path) -> None:
    works, said = Works(model), list[str]()
    assert chain(tmp_path, works, said, enforce=False, **asking("dmd", {"legible": ">= 0.9"})).run()
    assert said[-1].startswith("dmd: gate missed: legible is 0")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stages": ("dmd", "causal")}, "give each once, in the order"),
        ({"stages": ("causal", "ode", "dmd")}, "ode-pairs is missing"),
        ({"stages": ("pretrain", "causal"), "gates": {}}, "pretrain: name its recipe"),
        ({"base": None}, "begins with pretraining or with a model"),
        ({"stages": ("causal",)}, "consistency, dmd is not among the stages"),
        (
            {"stages": ("causal", "ode-pairs"), "gates": {"ode-pairs": {"asked": {"legible": ">= 0.9"}}}},
            "gates.ode-pairs.asked: the stage makes no model",
        ),
    ],
)
def test_chains_that_cannot_be_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        config(**changes)


def test_chains_are_read_by_name_or_path(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing is neither a file nor one of"):
        chain_config("nothing")
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(config().model_dump(mode="json")))
    assert chain_config(str(path)) == config()
    for name in chain_names():
        assert chain_config(name).stages


@pytest.mark.parametrize("guided", [True, False])
def test_a_model_that_knows_both_masks_is_its_own_causal_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guided: bool
) -> None:
    asked = dict[str, tuple[object, object]]()

    def note(stage: str, *_: object, teacher: object, student: object, **__: object) -> bool:
        asked[stage] = (teacher, student)
        return True

    monkeypatch.setattr(module, "run_stage", note)
    config = chain_config("mini-student")
    if guided:
        more = ("guidance", *config.stages, "long-tuning")
        config = config.model_copy(update={"stages": more})
    doing = module.works(config, module.Resources())
    for place, stage in enumerate(config.stages):
        stages = {name: tmp_path / name for name in config.stages[:place]}
        doing[stage](Job(folder=tmp_path / stage, data=tmp_path, stages=stages))
    base = "mini-teacher"
    around = {"guidance": (base, base), "long-tuning": (base, tmp_path / "self-forcing")} if guided else {}
    assert asked == around | {
        "dmd": (base, tmp_path / "guidance" if guided else base),
        "self-forcing": (base, tmp_path / "dmd"),
    }


def test_a_stage_that_the_distillation_lacks_is_refused_at_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    values = yaml.safe_load(distil_config("smoke").model_dump_json(exclude_unset=True))
    path.write_text(yaml.safe_dump({name: value for name, value in values.items() if name != "dmd"}))
    with pytest.raises(UserError, match="no stage dmd; it has causal"):
        module.works(config(distil=str(path)), module.Resources())


def test_the_command_points_at_what_is_there(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pairs(job: Job) -> bool:
        return True

    works = Works(model)
    stages = ("causal", "ode-pairs")
    path = tmp_path / "chain.yaml"
    path.write_text(yaml.safe_dump(config(stages=stages, gates={"causal": QUICK}).model_dump(mode="json")))
    doing = {"causal": works.work("causal"), "ode-pairs": pairs}
    monkeypatch.setattr(module, "works", lambda *_: doing)
    given = ["chain", "--config", str(path), "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*given, "--until", "causal"])
    assert "longtake generate --model" in done.output
    done = CliRunner().invoke(app, [*given, "--until", "ode-pairs"])
    assert done.exit_code == 0, done.output
    assert "makes no model" in done.output
    assert "longtake generate" not in done.output


def test_the_account_says_what_the_chain_computes_in(tmp_path: Path) -> None:
    path, resources = tmp_path / "half.yaml", module.Resources(device="cpu")
    values = yaml.safe_load(distil_config("smoke").model_dump_json(exclude_unset=True))
    for precision in ("bfloat16", "float32"):
        path.write_text(yaml.safe_dump(values | {"precision": precision}))
        recipe = config(distil=str(path))
        assert module.number_format(recipe, resources) == precision
        assert account("mini", recipe, tmp_path, precision).provenance.dtype == precision


def test_what_it_took_is_accounted_for_and_what_is_not_done_is_said(model: Path, tmp_path: Path) -> None:
    recipe = config()
    state = ChainState(tmp_path)
    for stage in STAGES[:2]:
        state.add(Done(stage=stage, passed=True, reasons=(), seconds=1800, hardware="two cores"))
    half = account("mini", recipe, tmp_path, "float32")
    assert [figure.value for figure in half.figures] == [0.5, 0.5, None]
    assert half.figures[-1].note == "not done yet: dmd"
    state.add(Done(stage="dmd", passed=False, reasons=("legible is 0",), seconds=3600, hardware="two cores"))
    whole = account("mini", recipe, tmp_path, "float32")
    assert (whole.figures[-1].value, whole.figures[-1].met) == (2, True)
    assert whole.figures[2].note == "gate: legible is 0"
    assert whole.config["machines"] == ["two cores"]
    assert Result.load(whole.save(tmp_path)) == whole
