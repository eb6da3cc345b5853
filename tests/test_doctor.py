"""`nnbackend doctor`: every verdict and every warning, with the fault provoked or simulated, and the command that mends it."""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend import doctor
from nnbackend.backend import cupy_probe, registry
from nnbackend.cli import main
from nnbackend.doctor import device, driver, host, remedy, verdict
from nnbackend.doctor.driver import GPU, Driver
from nnbackend.kernels.cuda import toolchain
from tests.fake_cupy import fake_cupy
from tests.test_gpu_probe import DRIVER, KERNEL
from tests.test_project import ROOT, project

H100 = GPU("NVIDIA H100", 80 * 2**30, 79 * 2**30, "sm_90")
NEW, OLD = Driver("580.65.06", (13, 2), (H100,)), Driver("535.104.05", (12, 2), (H100,))
ANCIENT = Driver("470.82.01", (11, 4), (H100,))
HAS_NVIDIA_DEVICE = remedy.has_nvidia_device  # the fixture below replaces it
MISMATCH = Driver(fault="Driver/library version mismatch", needs_reboot=True)


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No backend outlives a test; one CuPy wheel, and a machine with an NVIDIA device that is no container."""
    nn.get_backend("strict")  # registers itself, and only once: so before what is registered is noted
    before, factories = dict(registry._cache), dict(registry._factories)
    registry._cache.clear()
    for name in ("CUDA_VISIBLE_DEVICES", "CUPY_TF32", "NNBACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cupy_probe, "installed_wheels", lambda: ["cupy-cuda13x"])
    monkeypatch.setattr(remedy, "has_nvidia_device", lambda: True)
    monkeypatch.setattr(remedy, "CONTAINER_MARKS", ())
    yield
    registry._cache.clear()
    registry._cache.update(before)
    registry._factories.clear()
    registry._factories.update(factories)


def install(monkeypatch: pytest.MonkeyPatch, devices: int = 1) -> Any:
    """Let `import cupy` find a stand-in."""
    cupy = fake_cupy(devices)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail


def failing(name: str, found: Driver | None = None) -> verdict.Verdict:
    """A verdict that is no, with a sentence of one line and a command of one line."""
    judged = verdict.verdict(name, found)
    assert not judged.works
    assert judged.reason
    assert "\n" not in judged.reason
    assert judged.command
    assert "\n" not in judged.command
    return judged


# -- the machine that runs the tests ----------------------------------------------------------------------------------------


def test_the_cpu_works_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = json.loads(out)
    works = {entry["name"]: entry["works"] for entry in found["backends"]}
    assert found["passed"] is works["cpu"] is works["strict"] is True
    assert found["decisive"] == "cpu"
    machine = found["machine"]
    assert {"cpu", "memory", "numpy", "blas", "numba", "numba_cache", "extras", "cupy", "driver", "gpu", "tf32"} <= set(
        machine
    )
    assert machine["numpy"]["version"] == np.__version__
    assert machine["cpu"]["threads"] >= machine["cpu"]["usable_threads"] >= 1
    assert machine["memory"]["bytes"] > 2**28


def test_what_it_shows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without colour, every verdict is a word and every command a line that can be copied."""
    monkeypatch.setenv("CUPY_TF32", "1")
    monkeypatch.setattr(doctor, "read_driver", lambda: None)
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert main(["doctor", "--backend", "gpu"]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "gpu missing see below" in lines
    assert f"cpu works NumPy {np.__version__}" in lines
    assert "TF32 on, products are less precise (see below)" in lines
    assert "$ unset CUPY_TF32" in lines
    assert lines[-1] == "gpu does not work."
    assert "gpu: backend 'gpu' needs CuPy, which is not installed" in out


# -- the cpu, its kernels, strict, registered backends --------------------------------------------------------------------------


def test_numpy_computes_wrongly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Wrong:
        def __getattr__(self, name: str) -> Any:
            if name == "matmul":
                return lambda a, b, out: np.add(np.matmul(a, b, out=out), 1, out=out)
            return getattr(np, name)

    registry._register("cpu", lambda device, dtype, kernels: nn.Backend("cpu", Wrong(), dtype=dtype, kernels=kernels))
    judged = failing("cpu")
    assert "of a dense layer wrongly" in judged.reason
    assert judged.command == "pip install --force-reinstall numpy"
    assert main(["doctor"]) == 1
    assert capsys.readouterr().out.endswith("cpu does not work.\n")


def test_a_kernel_of_the_cpu_computes_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference is right, so it is Numba's code that is not."""

    def wrong(*args: Any, out: Any) -> Any:
        out[...] = 7
        return out

    def factory(device: int | None, dtype: str, kernels: str) -> nn.Backend:
        overrides = {"dense_relu": [nn.backend.Override(wrong, lambda *args, **kwargs: True)]}
        return nn.Backend("cpu", np, dtype=dtype, kernels=kernels, overrides=overrides)

    registry._register("cpu", factory)
    judged = failing("cpu")
    assert "(joined)" in judged.reason
    assert judged.command == "pip install --upgrade numba"
    kernels = verdict.kernels_verdict()
    if verdict.version_of("numba"):
        assert not kernels.works
        assert "wrongly" in kernels.reason
        assert kernels.command == "pip install --upgrade numba"


def test_the_kernels_work() -> None:
    pytest.importorskip("numba")
    judged = verdict.kernels_verdict()
    assert judged.works, judged.reason
    assert judged.description.startswith("Numba ")


def test_a_kernel_that_nothing_calls_is_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    registry._register("cpu", lambda device, dtype, kernels: nn.Backend("cpu", np, dtype=dtype, kernels=kernels))
    judged = verdict.kernels_verdict()
    assert not judged.works
    assert "no kernel takes part" in judged.reason


def test_numba_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setattr(verdict, "version_of", lambda name: None)
    monkeypatch.setattr(host, "version_of", lambda name: None)
    judged = verdict.kernels_verdict()
    assert judged.word == "missing"
    assert judged.command == "pip install 'nnbackend[jit]'"
    assert verdict.verdict("cpu", None).works
    assert host.numba().text == "not installed"


def test_numba_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a NumPy that is newer than it knows."""

    class Broken:
        def find_spec(self, name: str, *args: Any) -> None:
            if name == "numba":
                raise ImportError("Numba needs NumPy 2.3 or less. Got NumPy 2.4.")

    monkeypatch.delitem(sys.modules, "numba", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    monkeypatch.setattr(verdict, "version_of", lambda name: "0.61.0")
    monkeypatch.setattr(host, "version_of", lambda name: "0.61.0")
    judged = verdict.kernels_verdict()
    assert judged.word == "fails"
    assert "Numba 0.61.0 does not import (ImportError: Numba needs NumPy 2.3 or less. Got NumPy 2.4.)" in judged.reason
    assert judged.command == "pip install --upgrade numba"
    assert host.numba().text == "0.61.0, does not import"


def test_strict_is_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    registry._register("strict", raising(ImportError("no module")))
    judged = failing("strict")
    assert "an operation failed (ImportError: no module)" in judged.reason
    assert judged.command == "pip install --force-reinstall nnbackend"


def test_registered_backends_are_judged_too() -> None:
    nn.register_backend("good", lambda device, dtype, kernels: nn.Backend("good", np, dtype=dtype))
    nn.register_backend("bad", raising(nn.BackendError("backend 'bad' needs a licence")))
    tried: list[str] = []
    report = doctor.examine("bad", trying=tried.append)
    assert tried == [judged.name for judged in report.verdicts]
    assert tried[:2] == ["cpu", doctor.KERNELS]
    found = {judged.name: judged for judged in report.verdicts}
    assert found["good"].works
    assert found["bad"].reason == "backend 'bad' needs a licence"
    assert "get_backend('bad')" in (found["bad"].command or "")
    assert not report.passed
    assert doctor.examine("good").passed


@pytest.mark.parametrize("name", ["cpu:1", "strict:1"])
def test_numbers_that_a_backend_has_not(name: str) -> None:
    assert failing(name).command == f"nnbackend doctor --backend {name[:-2]}"


def test_an_unknown_backend(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--backend", "gpuu"]) == 2
    assert "unknown backend 'gpuu': did you mean 'gpu'?" in capsys.readouterr().err


# -- the gpu ----------------------------------------------------------------------------------------------------------------


def test_the_gpu_works(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, devices=2)
    monkeypatch.setattr(doctor, "read_driver", lambda: NEW)
    for name, decisive in (("gpu", "gpu"), ("gpu:1", "gpu:1"), ("auto", "gpu")):
        report = doctor.examine(name)
        assert report.passed
        assert report.decisive == decisive
    assert next(v for v in report.verdicts if v.name == "gpu").description.startswith("Fake GPU 0, 8 GiB")


def test_auto_is_the_cpu_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    report = doctor.examine("auto")
    assert (report.decisive, report.passed) == ("cpu", True)


REINSTALL = "pip install --force-reinstall 'nnbackend[cuda13]'"
WHO_HAS_MEMORY = "nvidia-smi --query-compute-apps=pid,process_name,used_memory --format=csv"

# What mends each fault that tests/test_gpu_probe.py provokes.
COMMANDS = {
    "no device": "nvidia-smi",
    "anything else": "nvidia-smi",
    "NVRTC is missing": REINSTALL,
    "headers are missing": REINSTALL,
    "headers are not found": REINSTALL,
    "CuPy's memory error": WHO_HAS_MEMORY,
    "CUDA's memory error": WHO_HAS_MEMORY,
    "a kernel that fails": "nvidia-smi",
    "an error without words": "nvidia-smi",
}


@pytest.mark.parametrize("fault", [name for name in (*DRIVER, *KERNEL) if name != "driver missing or too old"])
def test_every_sentence_of_the_probe_has_its_command(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    cupy = install(monkeypatch)
    if fault in DRIVER:
        cupy.cuda.runtime.getDeviceCount = raising(RuntimeError(DRIVER[fault][0]))
    else:
        cupy.arange = raising(KERNEL[fault][0])
    judged = failing("gpu", NEW)
    with pytest.raises(nn.BackendError) as raised:
        nn.get_backend("gpu")
    assert judged.reason == str(raised.value)
    assert judged.command == COMMANDS[fault]


@pytest.mark.parametrize(
    ("found", "wheel", "command"),
    [
        (OLD, "cupy-cuda13x", "pip uninstall -y cupy-cuda13x && pip install 'nnbackend[cuda12]'"),
        (OLD, "cupy-cuda12x", "sudo ubuntu-drivers install"),
        (ANCIENT, "cupy-cuda13x", "sudo ubuntu-drivers install"),
        (None, "cupy-cuda13x", "sudo ubuntu-drivers install"),
        (MISMATCH, "cupy-cuda13x", "sudo reboot"),
    ],
)
def test_the_driver_is_missing_or_too_old(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: Driver | None, wheel: str, command: str
) -> None:
    release = tmp_path / "os-release"
    release.write_text("ID=ubuntu\n")
    monkeypatch.setattr(remedy, "OS_RELEASE", release)
    monkeypatch.setattr(cupy_probe, "installed_wheels", lambda: [wheel])
    text, _ = DRIVER["driver missing or too old"]
    install(monkeypatch).cuda.runtime.getDeviceCount = raising(RuntimeError(text))
    assert failing("gpu", found).command == command
    release.write_text("ID=debian\n")
    expected = "python -m webbrowser https://www.nvidia.com/drivers" if "ubuntu" in command else command
    assert failing("gpu", found).command == expected


def test_no_driver_in_a_container_or_without_any_nvidia_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text, _ = DRIVER["driver missing or too old"]
    install(monkeypatch).cuda.runtime.getDeviceCount = raising(RuntimeError(text))
    monkeypatch.setattr(remedy, "CONTAINER_MARKS", (tmp_path,))
    assert "--gpus all" in (failing("gpu").command or "")
    monkeypatch.setattr(remedy, "has_nvidia_device", lambda: False)
    judged = failing("gpu")
    assert judged.command == "nnbackend train spiral --backend cpu"
    assert judged.reason.endswith("no NVIDIA device is in this machine, so no command makes this one work")


def test_nvidia_devices_are_found_on_the_bus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(remedy, "PCI", tmp_path)
    monkeypatch.setattr(remedy, "WINDOWS_GPU", tmp_path / "dxg")
    assert not HAS_NVIDIA_DEVICE()
    for number, vendor in enumerate(("0x8086\n", "0x10de\n")):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "vendor").write_text(vendor)
        assert HAS_NVIDIA_DEVICE() is (vendor == "0x10de\n")
    monkeypatch.setattr(remedy, "PCI", tmp_path / "0")
    assert not HAS_NVIDIA_DEVICE() or not sys.platform.startswith("linux")
    (tmp_path / "dxg").touch()
    assert HAS_NVIDIA_DEVICE()


def test_hidden_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, devices=0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert failing("gpu", NEW).command == "unset CUDA_VISIBLE_DEVICES"
    assert device.gpus(NEW).text.endswith("CUDA_VISIBLE_DEVICES=''")


@pytest.mark.parametrize(("found", "extra"), [(NEW, "cuda13"), (OLD, "cuda12")])
def test_cupy_is_not_installed(monkeypatch: pytest.MonkeyPatch, found: Driver, extra: str) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(cupy_probe, "installed_wheels", list)
    judged = failing("gpu", found)
    assert judged.word == "missing"
    assert judged.command == f"pip install 'nnbackend[{extra}]'"
    names = [fact.name for fact in device.device_facts(found)]
    assert names == ["CuPy", "Driver", "GPU", "TF32"]


def test_two_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cupy_probe, "installed_wheels", lambda: ["cupy-cuda12x", "cupy-cuda13x"])
    judged = failing("gpu", OLD)
    assert judged.command == "pip uninstall -y cupy-cuda12x cupy-cuda13x && pip install 'nnbackend[cuda12]'"


def test_cupy_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, name: str, *args: Any) -> None:
            if name == "cupy":
                raise ImportError("libcudart.so.12: cannot open shared object file")

    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    monkeypatch.setattr(cupy_probe, "installed_wheels", lambda: ["cupy-cuda12x"])
    assert failing("gpu", OLD).command == "pip install --force-reinstall 'nnbackend[cuda12]'"


def test_a_number_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    assert failing("gpu:3", NEW).command == "nvidia-smi --list-gpus"


def test_a_gpu_that_computes_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = install(monkeypatch)
    cupy.arange = lambda *args, **kwargs: np.zeros(3, np.int64)
    assert failing("gpu", NEW).command == "nvidia-smi --query --display=ECC"
    del cupy.arange
    cupy.matmul = lambda a, b, out: out
    judged = failing("gpu", NEW)
    assert "of a dense layer wrongly" in judged.reason
    assert judged.command == "nvidia-smi --query --display=ECC"


@pytest.mark.parametrize(
    ("error", "command"),
    [
        (ImportError("libcublas.so.13: cannot open shared object file"), REINSTALL),
        (RuntimeError("cudaErrorMemoryAllocation: out of memory"), WHO_HAS_MEMORY),
    ],
)
def test_the_probe_passes_and_a_product_fails(monkeypatch: pytest.MonkeyPatch, error: Exception, command: str) -> None:
    install(monkeypatch).matmul = raising(error)
    judged = failing("gpu", NEW)
    assert f"an operation failed ({type(error).__name__}: {error})" in judged.reason
    assert judged.command == command


class DoesNotImport:
    """An import of CuPy fails, as where a library that it is linked with is missing."""

    def find_spec(self, name: str, *args: Any) -> None:
        if name == "cupy":
            raise ImportError("libcudart.so.13: cannot open shared object file")


def provoke(fault: nn.backend.Fault, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the GPU fail in that way; the name of the backend to ask for."""
    cupy = install(monkeypatch)
    runtime, kernel = cupy.cuda.runtime, {}
    match fault:
        case fault.NOT_INSTALLED:
            monkeypatch.setitem(sys.modules, "cupy", None)
        case fault.TWO_WHEELS:
            monkeypatch.setattr(cupy_probe, "installed_wheels", lambda: ["cupy-cuda12x", "cupy-cuda13x"])
        case fault.NOT_IMPORTING:
            monkeypatch.delitem(sys.modules, "cupy")
            monkeypatch.setattr(sys, "meta_path", [DoesNotImport(), *sys.meta_path])
        case fault.NO_DRIVER:
            runtime.getDeviceCount = raising(RuntimeError("cudaErrorInsufficientDriver: too old"))
        case fault.NO_DEVICE:
            runtime.getDeviceCount = raising(RuntimeError("cudaErrorNoDevice: none"))
        case fault.NO_SUCH_DEVICE:
            return "gpu:7"
        case fault.CUDA_FAILS:
            runtime.getDeviceCount = raising(RuntimeError("cudaErrorSystemNotReady: not yet"))
        case fault.NO_MEMORY:
            kernel = {"arange": raising(RuntimeError("cudaErrorMemoryAllocation: out of memory"))}
        case fault.NO_COMPILER:
            kernel = {"arange": raising(RuntimeError("CuPy failed to load libnvrtc.so.13"))}
        case fault.KERNEL_FAILS:
            kernel = {"arange": raising(RuntimeError("cudaErrorLaunchFailure"))}
        case fault.OPERATION_FAILS:
            kernel = {"matmul": raising(ImportError("libcublas.so.13: cannot open shared object file"))}
        case fault.WRONG_RESULT:
            kernel = {"matmul": lambda a, b, out: out}
    for name, function in kernel.items():
        setattr(cupy, name, function)
    return "gpu"


@pytest.mark.parametrize("fault", nn.backend.Fault)
def test_every_fault_is_provoked_and_has_a_command(fault: nn.backend.Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word for programs, which is in the document; the error of the API has it too where the probe finds it."""
    name = provoke(fault, monkeypatch)
    judged = failing(name, NEW)
    assert judged.fault == fault.value
    assert judged.document()["fault"] == fault.value
    assert judged.command == remedy.gpu_remedy(fault, NEW)
    assert (judged.word == "missing") is (fault is fault.NOT_INSTALLED)
    if fault not in (fault.OPERATION_FAILS, fault.WRONG_RESULT):  # which are found behind the probe
        with pytest.raises(nn.BackendError) as raised:
            nn.get_backend(name)
        assert raised.value.fault == fault
        monkeypatch.setenv("NNBACKEND", name)
        with pytest.raises(nn.BackendError) as raised:
            nn.get_backend()
        assert raised.value.fault == fault, "also where the name is the environment's"


PAGE = (ROOT / "docs" / "doctor.md").read_text()


@pytest.mark.parametrize("fault", nn.backend.Fault)
def test_the_page_has_every_fault_and_its_command(fault: nn.backend.Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = failing(provoke(fault, monkeypatch), NEW)
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{fault.value}` |"))
    by_system = (
        "sudo ubuntu-drivers install" if fault is fault.NO_DRIVER else None
    )  # and so on: tested above one by one
    assert f"`{by_system or judged.command}`" in row


@pytest.mark.parametrize("found", [None, NEW, MISMATCH])
def test_the_document_fits_the_schema_of_the_page(
    found: Driver | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    monkeypatch.setattr(doctor, "read_driver", lambda: found)
    monkeypatch.setenv("CUPY_TF32", "1")
    install(monkeypatch)
    main(["doctor", "--json", "--backend", "gpu"])
    schema = json.loads(PAGE.partition("```json\n")[2].partition("```")[0])
    jsonschema.Draft202012Validator.check_schema(schema)
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, schema)
    shown = {fact.name for fact in doctor.examine().facts}
    for name in shown:
        assert name in PAGE, f"docs/doctor.md does not show {name}"


def test_known_backends() -> None:
    before = nn.backend.known_backends()  # other tests' backends may be among them
    assert before[:3] == ("cpu", "gpu", "strict")
    nn.register_backend("mine", lambda device, dtype, kernels: nn.Backend("mine", np, dtype=dtype))
    assert nn.backend.known_backends() == (*before, "mine")
    assert not nn.backend.is_built_in("mine")


# -- facts: the compiler, the driver, the host ----------------------------------------------------------------------------------


def test_nvrtc_and_headers_for_real() -> None:
    pytest.importorskip("cupy")
    assert device.nvrtc("cupy-cuda13x", "sm_90").values["compiles_for"] == "sm_90"
    assert device.headers("cupy-cuda13x", "sm_90").values == {"usable": True}


def test_an_architecture_that_nvrtc_does_not_know() -> None:
    pytest.importorskip("cupy")
    fact = device.nvrtc("cupy-cuda12x", "sm_999")
    assert "does not know the GPU's architecture sm_999" in (fact.warning or "")
    assert fact.command == "pip uninstall -y cupy-cuda12x && pip install 'nnbackend[cuda13]'"


def test_headers_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cupy")
    monkeypatch.setattr(toolchain, "WITH_HEADERS", "#include <no_such_header.h>\n")
    fact = device.headers("cupy-cuda13x", "sm_90")
    assert 'cannot open source file "no_such_header.h"' in (fact.warning or "")
    assert fact.command == REINSTALL


def test_nvrtc_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "nvrtc_version", raising(RuntimeError("CuPy failed to load libnvrtc.so.13")))
    fact = device.nvrtc("cupy-cuda13x", "sm_90")
    assert fact.text == "not found, compiles nothing"
    assert "RuntimeError: CuPy failed to load libnvrtc.so.13" in (fact.warning or "")
    assert fact.command == REINSTALL


class FakeNVML:
    """The driver's library, as far as it is asked: it writes where the pointers point and returns a status."""

    def __init__(self, status: int = 0) -> None:
        self.status = status
        self.shut_down = False
        self.nvmlErrorString = lambda status: b"Driver/library version mismatch"
        for name, values in {
            "nvmlSystemGetCudaDriverVersion_v2": (13020,),
            "nvmlDeviceGetCount_v2": (1,),
            "nvmlDeviceGetHandleByIndex_v2": (4711,),
            "nvmlDeviceGetCudaComputeCapability": (9, 0),
        }.items():
            setattr(self, name, self._writes(values))

    def _writes(self, values: tuple[int, ...]) -> Callable[..., int]:
        def call(*arguments: Any) -> int:
            for pointer, value in zip(arguments[-len(values) :], values, strict=True):
                pointer._obj.value = value
            return 0

        return call

    def nvmlInit_v2(self) -> int:
        return self.status

    def nvmlShutdown(self) -> None:
        self.shut_down = True

    def nvmlSystemGetDriverVersion(self, buffer: Any, length: int) -> int:
        buffer.value = b"580.65.06"
        return 0

    def nvmlDeviceGetName(self, handle: ctypes.c_void_p, buffer: Any, length: int) -> int:
        assert handle.value == 4711
        buffer.value = b"NVIDIA H100"
        return 0

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:
        memory._obj.total, memory._obj.free = H100.memory, H100.free
        return 0


def test_the_driver_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNVML()
    monkeypatch.setattr(driver, "load_nvml", lambda: nvml)
    assert driver.read_driver() == NEW
    assert nvml.shut_down
    assert device.driver_fact(NEW).text == "580.65.06, for CUDA 13.2 and older"
    assert device.gpus(NEW).text == "NVIDIA H100 (sm_90), 80.0 GiB, 79.0 GiB free"


def test_a_driver_that_was_updated_and_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "load_nvml", lambda: FakeNVML(status=driver.LIBRARY_MISMATCH))
    found = driver.read_driver()
    assert found == MISMATCH
    fact = device.driver_fact(found)
    assert fact.warning == "the NVIDIA driver does not answer: Driver/library version mismatch"
    assert fact.command == "sudo reboot"


def test_drivers_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "load_nvml", lambda: SimpleNamespace())
    found = driver.read_driver()
    assert found is not None
    assert "too old to be asked" in found.fault
    assert device.driver_fact(found).command == "nvidia-smi"
    monkeypatch.setattr(ctypes, "CDLL", raising(OSError("cannot open shared object file")))
    monkeypatch.undo()
    monkeypatch.setattr(ctypes, "CDLL", raising(OSError("cannot open shared object file")))
    assert driver.read_driver() is None
    assert device.driver_fact(None).text == "none found"


@pytest.mark.parametrize(("value", "on"), [("1", True), ("0", False), (None, False)])
def test_tf32(monkeypatch: pytest.MonkeyPatch, value: str | None, on: bool) -> None:
    if value is not None:
        monkeypatch.setenv("CUPY_TF32", value)
    fact = device.tf32()
    assert fact.values == {"on": on}
    assert fact.command == ("unset CUPY_TF32" if on else None)


@pytest.mark.parametrize("variable", ["NUMBA_CACHE_DIR", "CUPY_CACHE_DIR"])
def test_a_cache_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str) -> None:
    """A file stands where a folder should: that stops the superuser too."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv(variable, str(tmp_path / "file"))
    facts = [*host.host_facts(), *device.device_facts(None)]
    fact = next(fact for fact in facts if fact.command and variable in fact.command)
    assert fact.values["writable"] is False
    assert "compiled anew in every process" in (fact.warning or "")
    assert fact.command == f"export {variable}={tmp_path / '.cache' / variable.partition('_')[0].lower()}"
    (tmp_path / ".cache").write_text("no folder either")
    facts = [*host.host_facts(), *device.device_facts(None)]
    assert f"export {variable}=$(mktemp -d)" in [fact.command for fact in facts]
    monkeypatch.setenv(variable, str(tmp_path / "new" / "folder"))
    assert host.why_unwritable(tmp_path / "new" / "folder") is None
    assert not (tmp_path / "new").exists()  # looking changes nothing


def test_a_container_s_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "memory.max").write_text(f"{2**30}\n")
    (tmp_path / "meminfo").write_text("MemTotal: 2097152 kB\nMemAvailable: 1048576 kB\nHugePages_Total: 0\n")
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A CPU: fast\n")
    monkeypatch.setattr(host, "CGROUP", tmp_path)
    monkeypatch.setattr(host, "PROC", tmp_path)
    monkeypatch.setattr(host.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(host.os, "cpu_count", lambda: 16)
    assert host.memory().text == "2.0 GiB, 1.0 GiB free, this container may use 1.0 GiB"
    assert host.cpu().text == "A CPU: fast, 16 thread(s), of which this process may use 2"
    monkeypatch.setattr(host, "_blas_threads", lambda: (16, "threadpoolctl"))
    fact = host.blas()
    assert "BLAS starts 16 threads, and this process may use 2" in (fact.warning or "")
    assert fact.command == "export OPENBLAS_NUM_THREADS=2"
    for unlimited in ("cpu.max", "memory.max"):
        (tmp_path / unlimited).write_text("max 100000\n" if unlimited == "cpu.max" else "max\n")
    assert host.usable_threads() == 8
    assert host.memory().values["limit_bytes"] is None


def test_blas_threads_without_threadpoolctl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    for name in host._BLAS_THREADS:
        monkeypatch.delenv(name, raising=False)
    if sys.platform.startswith("linux") and "openblas" in host.blas().text:
        asked = host._blas_threads()
        assert asked == (host._openblas_threads(), "OpenBLAS says so")
        assert 1 <= (asked[0] or 0) <= 1024
    monkeypatch.setattr(host, "PROC", tmp_path)
    assert host._blas_threads() == (None, "threads not known without threadpoolctl")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert host._blas_threads() == (3, "OMP_NUM_THREADS is set")


def test_the_extras_are_those_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of pyproject.toml that are for users; those for developers need not be shown."""
    for_developers = {"bench", "dev", "lint", "test", "test-cuda12", "test-tools"}
    offered = project()["optional-dependencies"]
    assert host.EXTRAS.keys() == offered.keys() - for_developers
    for extra, packages in host.EXTRAS.items():
        for package in packages:
            assert any(line.startswith(package) for line in offered[extra]), f"[{extra}] does not bring {package}"
    monkeypatch.setattr(host, "version_of", lambda name: "1.0" if name == "numba" else None)
    assert host.extras().values == {"installed": ["jit"]}
