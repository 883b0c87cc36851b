"""Starting kernels on GPUs, with a driver and an XLA of our own: it has not run on a GPU yet.

The driver here runs the code of the kernel on the CPU, thread after thread, from the parameters that it is handed.
"""

import ctypes
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from device_on_cpu import on_cpu

import worldline as wl
from worldline.core.lanes import launch
from worldline.core.lanes.device import KERNEL, THREADS, device_assembly
from worldline.core.lanes.program import one_lane
from worldline.core.lanes.target import host, optimise_and_compile

STREAM, CONTEXT, XLA_CONTEXT, LIBRARY, HANDLE, FAILURE = 0x5151, 0xC0C0, 0xABCD, 0x11B, 0x4E4E, 0xBAD
NAMES = {2: b"CUDA_ERROR_OUT_OF_MEMORY", 218: b"CUDA_ERROR_INVALID_PTX"}
U, P = ctypes.c_uint, ctypes.c_void_p


def at(address, value=None):
    """The word at an address; set if a value is given."""
    word = ctypes.c_uint64.from_address(address)
    if value is not None:
        word.value = value
    return word.value


class OwnDriver:
    """What of the CUDA driver is called, as functions of C that note what they are given."""

    def __init__(self, kernel=None, parameters=0, refuses=None):
        self.calls, self.kernel, self.parameters, self.refuses = [], kernel, parameters, refuses or {}
        wants = {
            "cuInit": [U], "cuStreamGetCtx": [P, P], "cuCtxPushCurrent_v2": [P], "cuCtxPopCurrent_v2": [P],
            "cuGetErrorName": [U, P], "cuLibraryGetKernel": [P, P, P], "cuLibraryLoadData": [P, P, P, P, U, P, P, U],
            "cuLaunchKernel": [P, *[U] * 7, P, P, P],
        }  # fmt: skip
        functions = {}
        for name, kinds in wants.items():
            functions[name] = ctypes.CFUNCTYPE(ctypes.c_int, *kinds)(lambda *given, name=name: self.called(name, given))
        self.library = types.SimpleNamespace(**functions)

    def called(self, name, given):
        self.calls.append((name, given))
        if name in self.refuses:
            return self.refuses[name]
        if name == "cuStreamGetCtx":
            at(given[1], CONTEXT)
        elif name == "cuLibraryLoadData":
            self.text = ctypes.string_at(given[1]).decode()
            at(given[0], LIBRARY)
        elif name == "cuLibraryGetKernel":
            at(given[0], HANDLE)
        elif name == "cuGetErrorName":
            if given[0] not in NAMES:
                return 1
            at(given[1], ctypes.cast(ctypes.c_char_p(NAMES[given[0]]), P).value)
        elif name == "cuLaunchKernel" and self.kernel:
            values = [at(at(given[9] + 8 * k)) for k in range(self.parameters)]
            for block in range(given[1]):
                for thread in range(given[4]):
                    self.kernel(*values, block, given[4], thread, given[1])
        return 0

    def last(self, name):
        return next(given for called, given in reversed(self.calls) if called == name)

    @property
    def names(self):
        return [name for name, _ in self.calls]


class OwnXla:
    """A call frame as XLA writes one, in words of 8 bytes, whose interface knows streams and errors."""

    def __init__(self, operands, results, refuses=False):
        self.keep, self.messages = [], []
        self.stream_get = ctypes.CFUNCTYPE(P, P)(lambda given: self.stream(given, refuses))
        self.error_create = ctypes.CFUNCTYPE(P, P)(self.error)
        functions = [0] * 13
        functions[0] = ctypes.cast(self.error_create, P).value
        functions[4] = ctypes.cast(self.stream_get, P).value
        api = self.words([152, 0, 24, 0, 0, 0, *functions])
        listed = [self.words([self.buffer(a) for a in arrays]) for arrays in (operands, results)]
        args = [w for arrays, where in zip((operands, results), listed) for w in (40, 0, len(arrays), 0, where)]
        self.address = self.words([176, 0, api, XLA_CONTEXT, 3, *args, 48, 0, 0, 0, 0, 0, 0])

    def words(self, values):
        block = np.array(values, np.int64)
        self.keep.append(block)
        return block.ctypes.data

    def buffer(self, array):
        return self.words([48, 0, 12, array.ctypes.data, array.ndim, self.words([*array.shape, 0])])

    def stream(self, given, refuses):
        assert at(given) == 32 and at(given + 16) == XLA_CONTEXT
        at(given + 24, STREAM)
        return FAILURE if refuses else None

    def error(self, given):
        self.messages.append((ctypes.string_at(at(given + 16)).decode(), at(given + 24) & 0xFFFFFFFF))
        return FAILURE

    def call(self, handler):
        return ctypes.CFUNCTYPE(P, P)(handler)(self.address)


def prepared(fn, arrays, **options):
    """A driver that runs the kernel of a function on the CPU, and the handler that XLA would call."""
    program = one_lane(fn, arrays, -1)
    text, workspace = device_assembly(program.jaxpr, program.laned)
    buffers = len(program.laned) + len(program.jaxpr.jaxpr.outvars) + (workspace > 0)
    code = optimise_and_compile(on_cpu(text), KERNEL, host())
    kernel = ctypes.CFUNCTYPE(None, *[P] * buffers, ctypes.c_int64, *[ctypes.c_int32] * 4)(code.address)
    driver = OwnDriver(kernel, buffers + 1, **options)
    found = launch.Driver(driver.library)
    results, blocks = len(program.jaxpr.jaxpr.outvars), 2
    made = launch.handler_assembly(
        found.kernel(wl.lanes.ptx(fn, *arrays)), found.addresses, program.laned, results, workspace, blocks
    )
    return driver, optimise_and_compile(made, "worldline_launch").address, workspace * blocks * THREADS


def curve(x, c):
    return jnp.sin(x) * c[0] + c[1], x.sum() > 0


LANES = 300
X, C = np.random.default_rng(0).normal(size=(3, LANES)), np.random.default_rng(1).normal(size=(2, LANES))


@pytest.mark.parametrize("lanes, blocks", [(1, 1), (128, 1), (129, 2), (300, 2)])
def test_a_launch_has_every_buffer_and_thread(lanes, blocks):
    x, c = X[:, :lanes].copy(), C[:, :lanes].copy()
    driver, handler, _ = prepared(curve, (x, c))
    results = [np.empty((3, lanes)), np.empty(lanes, bool)]
    xla = OwnXla([x, c], results)
    assert xla.call(handler) is None
    assert driver.last("cuLaunchKernel")[:9] == (HANDLE, blocks, 1, 1, THREADS, 1, 1, 0, STREAM)
    assert driver.last("cuLaunchKernel")[10] is None
    around = ["cuStreamGetCtx", "cuCtxPushCurrent_v2", "cuLaunchKernel", "cuCtxPopCurrent_v2"]
    assert driver.names[-4:] == around
    assert driver.last("cuStreamGetCtx")[0] == STREAM and driver.last("cuCtxPushCurrent_v2") == (CONTEXT,)
    expected = jax.vmap(curve, -1, -1)(x, c)
    np.testing.assert_allclose(results[0], expected[0], rtol=1e-13)
    np.testing.assert_array_equal(results[1], expected[1])


def remembering(x):
    table = jnp.zeros(2000).at[jnp.arange(2000) % 7].add(x)
    return jax.lax.fori_loop(0, 20, lambda i, t: t.at[i * 17].add(t[i * 5] + x), table).sum()


def test_a_workspace_is_a_result_of_its_own():
    """Threads are as many as it is made for; each goes through several lanes."""
    x = X[0]
    driver, handler, size = prepared(remembering, (x,))
    y, scratch = np.empty(LANES), np.full(size + 64, 7, np.uint8)
    assert OwnXla([x], [y, scratch[:size]]).call(handler) is None
    assert driver.last("cuLaunchKernel")[1] == 2
    np.testing.assert_allclose(y, jax.vmap(remembering)(x), rtol=1e-12)
    assert (scratch[size:] == 7).all()


def test_no_lanes_start_nothing():
    driver, handler, _ = prepared(curve, (X, C))
    empty = OwnXla([X[:, :0], C[:, :0]], [np.empty((3, 0)), np.empty(0, bool)])
    assert empty.call(handler) is None
    assert "cuLaunchKernel" not in driver.names


def test_errors_come_back_to_xla():
    results = [np.empty((3, LANES)), np.empty(LANES, bool)]
    for name, code, text in (
        ("cuLaunchKernel", 2, "CUDA_ERROR_OUT_OF_MEMORY"), ("cuStreamGetCtx", 77, "an unknown error"),
        ("cuCtxPushCurrent_v2", 2, "CUDA_ERROR_OUT_OF_MEMORY"),
    ):  # fmt: skip
        driver, handler, _ = prepared(curve, (X, C), refuses={name: code})
        xla = OwnXla([X, C], results)
        assert xla.call(handler) == FAILURE
        assert xla.messages == [(f"worldline lanes: the CUDA driver answered the start of a kernel with {text}", 13)]
    driver, handler, _ = prepared(curve, (X, C))
    assert OwnXla([X, C], results, refuses=True).call(handler) == FAILURE
    assert "cuLaunchKernel" not in driver.names
    xla = OwnXla([X, C], results[:1])
    assert xla.call(handler) == FAILURE
    assert "buffers are not those" in xla.messages[0][0]


@pytest.fixture
def switched_on(monkeypatch):
    """The switch on, and a driver that only notes what it is given."""
    driver = OwnDriver()
    monkeypatch.setenv(launch.SWITCH, "sm_90")
    monkeypatch.setattr(launch.Driver, "here", staticmethod(lambda: launch.Driver(driver.library)))
    monkeypatch.setattr(launch, "_launches", {})
    return driver


def lowered(fn, *args):
    return jax.jit(wl.lanes(fn)).trace(*args).lower(lowering_platforms=("cuda",)).as_text()


def test_programs_for_gpus_call_the_kernel(switched_on):
    text = lowered(curve, X, C)
    assert text.count("@worldline_lanes_gpu_") == 1
    assert f".entry {KERNEL}(" in switched_on.text and ".target sm_90" in switched_on.text
    assert switched_on.last("cuLibraryGetKernel")[1] == LIBRARY
    (made,) = launch._launches.values()
    results = [np.empty((3, LANES)), np.empty(LANES, bool)]
    assert OwnXla([X, C], results).call(made.address) is None
    assert switched_on.last("cuLaunchKernel")[1] == 3
    lowered(curve, X, C)
    assert switched_on.names.count("cuLibraryLoadData") == 1
    text = lowered(remembering, X[0])
    program = one_lane(remembering, (X[0],), -1)
    workspace = device_assembly(program.jaxpr, program.laned)[1]
    assert f"tensor<{workspace * 384}xui8>" in text


def test_what_has_no_native_code_runs_on_xla(switched_on):
    with pytest.warns(UserWarning, match="no native code yet for"):
        text = lowered(lambda x: jnp.abs(x * 1j), X[0])
    assert "worldline" not in text and not switched_on.calls


def test_without_the_switch_everything_runs_on_xla(monkeypatch):
    for value in ("", "0"):
        monkeypatch.setenv(launch.SWITCH, value)
        assert "worldline" not in lowered(curve, X, C)
    monkeypatch.setenv(launch.SWITCH, "yes")
    with pytest.raises(ValueError, match="WORLDLINE_LANES_GPU is 'yes': it takes 0, 1, or a processor"):
        lowered(curve, X, C)


def test_explanations_on_a_gpu(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setenv(launch.SWITCH, "0")
    assert wl.lanes.explain(curve, X, C).reason == "gpu devices"
    monkeypatch.setenv(launch.SWITCH, "sm_80")
    native = wl.lanes.explain(curve, X, C)
    assert (
        native.native and native.width == 1 and native.code_bytes == len(wl.lanes.ptx(curve, X, C, processor="sm_80"))
    )
    assert "complex" in wl.lanes.explain(lambda x: jnp.abs(x * 1j), X).reason


def test_a_machine_without_a_driver_says_so(monkeypatch):
    launch.Driver.here.cache_clear()
    monkeypatch.setattr(launch, "LIBRARY", "no_such_library.so.1")
    with pytest.raises(RuntimeError, match="WORLDLINE_LANES_GPU is on, but this machine has no CUDA driver"):
        launch.Driver.here()


def test_what_the_driver_does_not_load_is_an_error():
    driver = launch.Driver(OwnDriver(refuses={"cuLibraryLoadData": 218}).library)
    with pytest.raises(RuntimeError, match="answered cuLibraryLoadData with CUDA_ERROR_INVALID_PTX"):
        driver.kernel("")
