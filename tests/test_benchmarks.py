"""`python -m benchmarks`, on workloads of a few samples and neurons: what it measures is not looked at, only that it does."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

benchmarks = pytest.importorskip(
    "benchmarks", reason="benchmarks/ is in the repository, not in the source distribution"
)

from benchmarks import __main__ as command  # noqa: E402
from benchmarks import measure, others, peers, quiet, targets, workloads  # noqa: E402
from benchmarks.document import Document, DocumentError  # noqa: E402
from benchmarks.measure import Pace, Result  # noqa: E402
from benchmarks.settings import Setting  # noqa: E402
from nnbackend.errors import BackendError  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
TINY = Setting(tiny=True)
QUICK = ["--tiny", "--rounds", "2", "--seconds", "0.003"]
PEERS = ["nnbackend", "nnbackend-reference", "plain-float32", "floor"]
CHOSEN = [word for peer in PEERS for word in ("--peer", peer)]

# The figures of the issue that asks for speed: workload, peer, limit, on a GPU.
ASKED_FOR = {
    ("spiral", "plain-numpy", 0.11, False),
    ("spiral", "torch", 0.09, False),
    ("spiral", "jax", 0.70, False),
    ("spiral-1000", "jax", 0.70, False),
    ("image", "jax", 0.90, False),
    ("image", "torch-compile", 0.60, False),
    ("image", "floor", 1.35, False),
    ("wide", "jax", 1.00, False),
    ("inference-1", "torch", 0.60, False),
    ("spiral", "jax", 0.50, True),
    ("image", "torch-graph", 0.70, True),
    ("wide-tf32", "torch-compile", 1.00, True),
    ("wide-bfloat16", "torch-compile", 1.00, True),
    ("spiral", "plain-numpy", 0.35, False),
}


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The command, as a user starts it."""
    line = [sys.executable, "-m", "benchmarks", *map(str, words)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The whole command, once: its file, and what it printed."""
    path = tmp_path_factory.mktemp("benchmarks") / "whole.json"
    finished = run(*QUICK, *CHOSEN, "--json", path)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stderr == ""
    return path, finished.stdout


def test_the_file_holds_every_workload_and_table_with_where_it_is_from(whole: tuple[Path, str]) -> None:
    fields = json.loads(whole[0].read_text())
    assert [entry["workload"] for entry in fields["results"]] == list(workloads.workloads(TINY))
    for entry in fields["results"]:
        assert set(entry["peers"]) == set(PEERS)
        assert not entry["wrong"]
        assert {"commit", "date", "load_average", "kernels"} <= entry["measured"].keys()
        for peer in entry["peers"].values():
            assert len(peer["times"]) == len(peer["others_busy_cores"]) == 2
            assert peer["seconds"] > 0
            assert peer["peak_bytes"] > 2**20
    assert {"processor", "cores", "python"} <= fields["machine"].keys()
    assert "import nnbackend" in fields["startup"]["rows"]
    assert fields["startup"]["measured"]["commit"]
    assert fields["kernels"]["rows"]["missing"] == [], "these kernels have no benchmark"


def test_the_figures_to_reach_are_the_last_lines(whole: tuple[Path, str]) -> None:
    lines = whole[1].rstrip().splitlines()
    title = max(i for i, line in enumerate(lines) if line.startswith("Figures to reach"))
    rows = [line for line in lines[title:] if line.startswith("│")]
    assert len(rows) == len(targets.TARGETS)
    for row, target in zip(rows, targets.TARGETS, strict=True):
        assert target.label in row
        assert f"{target.limit:.2f}" in row
        assert "reached" in row or "NOT reached" in row or "not measured" in row
    assert lines[-1].startswith("└")


def test_the_figures_are_those_that_were_asked_for() -> None:
    known = {(t.workload, other, t.limit, t.gpu) for t in targets.TARGETS for other in t.others}
    assert known >= ASKED_FOR


def test_one_row_is_renewed_and_the_others_stay(whole: tuple[Path, str], tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    fields = json.loads(whole[0].read_text())
    for part in (*fields["results"], fields["startup"], fields["kernels"]):
        part["measured"]["commit"] = "earlier"
    path.write_text(json.dumps(fields))
    assert run(*QUICK, *CHOSEN, "--workload", "inference-1", "--update", path).returncode == 0
    renewed = Document.load(path)
    assert list(renewed.results) == [entry["workload"] for entry in fields["results"]]
    commits = {name: result.measured["commit"] for name, result in renewed.results.items()}
    assert {name for name, commit in commits.items() if commit != "earlier"} == {"inference-1"}
    shown = run("--show", path).stdout
    assert f"**inference-1**, time a call (commit `{commits['inference-1']}`" in shown
    assert "**image**, time an epoch (commit `earlier`" in shown
    assert "**Start-up** (commit `earlier`" in shown


def test_a_file_of_another_machine_is_not_renewed(whole: tuple[Path, str], tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    fields = json.loads(whole[0].read_text())
    fields["machine"]["processor"] = "another"
    path.write_text(json.dumps(fields))
    before = path.read_text()
    finished = run(*QUICK, "--workload", "inference-1", "--update", path)
    assert finished.returncode == 2
    assert "the file is from another machine (processor: another" in finished.stderr
    assert path.read_text() == before


def test_beside_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "busy.json"
    finished = run(*QUICK, "--busy", "1", "--workload", "spiral", "--peer", "nnbackend", "--json", path)
    assert finished.returncode == 0, finished.stderr
    assert "Figures to reach" not in finished.stdout, "these are for a machine that has nothing else to do"
    (entry,) = json.loads(path.read_text())["results"]
    assert entry["measured"]["others_at_work"] == 1
    for words in (["--patience", "1"], ["--update", path]):
        refused = run(*QUICK, "--busy", "1", *words)
        assert refused.returncode == 2
        assert "without --patience and --update" in refused.stderr


def test_other_programs_end_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(others.subprocess, "Popen", lambda *words: started.append(popen(*words)) or started[-1])
    with pytest.raises(ZeroDivisionError), others.at_work(2):
        assert [program.poll() for program in started] == [None, None]
        1 / 0  # noqa: B018
    assert None not in [program.poll() for program in started]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 1}', '{"format": 2}', '{"format": 2, "machine": {}, "backend": 1, "results": [{}]}']
)
def test_what_is_no_result_is_said_so(text: str, tmp_path: Path) -> None:
    path = tmp_path / "no.json"
    path.write_text(text)
    with pytest.raises(DocumentError, match=r"no\.json"):
        Document.load(path)


def test_the_short_table_and_the_picture(
    whole: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "images" / "performance.png"
    assert command.main(["--show", str(whole[0]), "--short", "--plot", str(picture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "|  | nnbackend | plain NumPy |"
    assert len([line for line in lines if line.startswith("|")]) == 2 + 6
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_scaling_goes_into_the_file_and_is_drawn_from_it(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path, picture = tmp_path / "scaling.json", tmp_path / "scaling.png"
    chosen = ["--peer", "nnbackend", "--peer", "plain-float32"]
    finished = run(*QUICK, *chosen, "--scaling", picture, "--json", path)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    rows = json.loads(path.read_text())["scaling"]["rows"]["rows"]
    assert list(rows) == ["samples a class", "neurons a layer", "hidden layers"]
    assert all(set(point["seconds"]) == {"nnbackend", "plain-float32"} for points in rows.values() for point in points)
    drawn = picture.read_bytes()
    assert command.main(["--show", str(path), "--scaling", str(tmp_path / "again.png")]) == 0
    assert (tmp_path / "again.png").read_bytes() == drawn


# -- what keeps it honest ----------------------------------------------------------------------------------------------------


def result(**losses: tuple[float | None, float, float]) -> Result:
    """Peers with a loss after equal steps, and losses before and after their turns."""
    found = Result("spiral", "step")
    for name, (loss, first, last) in losses.items():
        found.peers[name.replace("_", "-")] = {"loss": loss, "first_loss": first, "last_loss": last}
    return found


@pytest.mark.parametrize(
    ("loss", "last", "said"),
    [
        (1.0, 0.5, None),
        (1.0005, 0.5, None),
        (1.01, 0.5, "expected 1.000000"),
        (math.nan, 0.5, "expected 1.000000"),
        (1.0, 1.1, "it has not learned"),
        (1.0, math.nan, "it has not learned"),
    ],
)
def test_a_peer_that_computes_something_else_is_noticed(loss: float, last: float, said: str | None) -> None:
    peers = result(plain_float32=(1.0, 1.1, 0.5), jax=(loss, 1.1, last))
    wrong = measure.disagreements(peers, workloads.workloads(TINY)["spiral"])
    assert len(wrong) == (said is not None)
    assert all(line.startswith("jax") and said in line for line in wrong if said)


def test_a_peer_that_dies_is_left_out_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = measure.Worker.ask
    turns = []

    def fatal(worker: measure.Worker, do: str, **more: Any) -> dict[str, Any]:
        if worker.peer == "plain-float32" and do == "run":
            turns.append(do)
            if len(turns) > 3:
                worker.process.kill()
        return ask(worker, do, **more)

    monkeypatch.setattr(measure.Worker, "ask", fatal)
    names = ["plain-float32", "plain-numpy"]
    found = measure.measure(workloads.workloads(TINY)["spiral"], names, TINY, Pace(2, 0.003))
    assert list(found.peers) == ["plain-numpy"]
    assert found.absent["plain-float32"].startswith("failed: its process ended with status -9")


def test_a_part_that_fails_ends_neither_the_run_nor_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(setting: Setting) -> Any:
        raise RuntimeError("no start")

    monkeypatch.setattr(command.startup, "run", fail)
    path = tmp_path / "result.json"
    assert command.main([*QUICK, "--startup", "--ops", "--json", str(path)]) == 1
    printed = capsys.readouterr().out
    assert "startup failed: RuntimeError: no start" in printed
    assert "Figures to reach" in printed
    assert list(Document.load(path).parts) == ["kernels"]


# What PyTorch and JAX change in a process (threads, denormals, what forking may do) must not reach other tests: these checks
# run in processes of their own.


def apart(check: str, *needed: str) -> None:
    """Run a function of this file."""
    for package in needed:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    line = [sys.executable, "-c", f"from tests import test_benchmarks; test_benchmarks.{check}"]
    finished = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert finished.returncode == 0, finished.stderr


_NEEDED = {"jax_scan": ["jax"], "torch_eager": ["torch"], "sklearn_mlp": ["sklearn"]}


@pytest.mark.parametrize("name", ["nnb", "plain", "plain_float32", "jax_scan", "torch_eager", "sklearn_mlp"])
def test_work_is_counted_as_it_is_done(name: str) -> None:
    """More steps than an epoch has are whole epochs, for every peer alike, and as many as its optimizer made are counted."""
    apart(f"check_count({name!r})", *_NEEDED.get(name, []))


def check_count(name: str) -> None:
    kind = importlib.import_module(f"benchmarks.peers.{name}").Peer
    kind._choose_threads = lambda self: None  # takes long, and is not what this is about
    for workload in ("spiral-1000", "image", "wide", "inference-10000"):
        work = workloads.workloads(TINY)[workload]
        if kind.refusal(work, TINY):
            continue
        peer = kind(work, TINY)
        steps = len(peer.batches) if work.unit == "epoch" else 1
        before = peer.loss_now()
        for units in (2, 7):
            done = 0 if name == "sklearn_mlp" else steps_of(peer)  # scikit-learn's begins anew at each call
            peer.run(units)
            assert peer.units_done(units) == (8 if workload == "wide" and units == 7 else units)
            assert not work.training or steps_of(peer) - done == steps * peer.units_done(units)
        assert (peer.loss_now() < before) == work.training


def steps_of(peer: Any) -> int:
    """How many steps its optimizer has made, by its own count."""
    if hasattr(peer, "model"):
        return int(peer.model.optimizer.iterations)
    if hasattr(peer, "network"):
        return peer.network.optimizer.iterations
    if hasattr(peer, "classifier"):
        return getattr(peer.classifier._optimizer, "t", 0)
    if hasattr(peer, "state"):
        return int(peer.state[3])
    return max((int(values["step"]) for values in peer.optimizer.state.values()), default=0)


def test_a_captured_step_learns_what_an_eager_one_does() -> None:
    """Inputs, learning rate and steps are put where a graph finds them, and capturing leaves no trace in the weights."""
    apart("check_captured()", "torch")


def check_captured() -> None:
    """PyTorch's peers for a GPU, on the CPU: what is captured is run again instead of launched."""
    import torch

    from benchmarks.peers import torch_eager, torch_graph

    def capture(work: Any) -> Any:
        for _ in range(3):
            work()
        return work

    torch_graph.capture = capture
    torch_eager.GPU = "cpu"
    torch.cuda.synchronize = lambda: None
    setting = Setting("strict", tiny=True)
    for name in ("spiral", "image", "wide-bfloat16", "inference-1"):
        work = replace(workloads.workloads(setting)[name], decay=0.1)
        graph, eager = torch_graph.Peer(work, setting), torch_eager.Peer(work, setting)
        if work.training:  # the same sums, in the same order
            assert graph.loss_after(7) == pytest.approx(eager.loss_after(7), rel=1e-6), name
        before = graph.loss_now()
        assert before == pytest.approx(eager.loss_now(), rel=1e-6), name
        graph.run(5)
        assert (graph.loss_now() < before) == work.training, name


def test_the_pretend_gpu_runs_what_a_gpu_would() -> None:
    setting = Setting("strict", kernels="all", tiny=True)
    known = workloads.workloads(setting)
    assert {"wide-tf32", "wide-bfloat16"} <= known.keys()
    names = ["nnbackend", "nnbackend-cpu", "plain-float32", "floor-gpu"]
    found = measure.measure(known["wide"], names, setting, Pace(1, 0.003))
    assert list(found.peers) == ["nnbackend", "nnbackend-cpu"]
    assert not found.wrong
    assert found.absent["plain-float32"] == "runs on the CPU"
    refused = measure.measure(known["wide-tf32"], ["nnbackend"], setting, Pace(1, 0.003))
    assert "matmul_precision 'tf32' is for backend 'gpu'" in refused.absent["nnbackend"]


def test_without_a_gpu_there_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Setting) -> Any:
        raise BackendError("backend 'gpu' cannot be used: why")

    monkeypatch.setattr(Setting, "get_backend", refuse)
    assert command.main(["--backend", "gpu"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "python -m benchmarks: backend 'gpu' cannot be used: why\n"


def test_a_workload_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--workload", "wide-tf32"]) == 2
    assert "--backend cpu has no workload wide-tf32: expected spiral" in capsys.readouterr().err


def test_full_size_workloads_are_the_ones_of_the_issue() -> None:
    known = workloads.workloads(Setting())
    assert {name: (work.sizes, work.batch_size) for name, work in known.items()} == {
        "spiral": ((2, 64, 3), None),
        "spiral-1000": ((2, 512, 3), None),
        "image": ((784, 128, 128, 10), 128),
        "wide": ((1024, 4096, 4096, 1000), 1024),
        "inference-1": ((784, 128, 128, 10), None),
        "inference-10000": ((784, 128, 128, 10), None),
    }
    on_gpu = workloads.workloads(Setting("gpu"))
    assert {work.precision: work.batch_size for name, work in on_gpu.items() if name.startswith("wide")} == {
        "float32": 4096, "tf32": 4096, "bfloat16": 4096,
    }  # fmt: skip
    assert known["spiral"].data()[0].shape == (300, 2)
    assert known["spiral-1000"].samples == 1000


def test_every_peer_has_a_module() -> None:
    files = {path.stem for path in (ROOT / "benchmarks" / "peers").glob("*.py")} - {"__init__"}
    assert set(peers.MODULES.values()) == files


def test_other_programs_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds of a core in a turn of one second, of which the peer used half a second."""
    busy, clock = iter([10.0, 12.0]), iter([0.0, 1.0])
    monkeypatch.setattr(quiet, "busy_seconds", lambda: next(busy))
    monkeypatch.setattr(quiet.time, "perf_counter", lambda: next(clock))
    assert quiet.Watch().others(0.5) == pytest.approx(1.5)
