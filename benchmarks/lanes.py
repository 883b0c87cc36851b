"""Ensembles in native lanes beside diffrax under `vmap`: times, first calls, gradients, threads, a million lanes.

    python benchmarks/lanes.py            # prints a table of medians and ratios, writes benchmarks/lanes.json

Rigid bodies are in chain.py, which adds to the same file.

Peers run in turn, each case in a fresh process; leave the machine alone meanwhile.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

LANES = 8192
RHO = np.linspace(0.0, 21.0, LANES)
RATE = np.linspace(0.03, 0.05, LANES)


def measured(run, repeats):
    """First call and median of later ones, in seconds."""
    import jax

    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    return {"first_s": times[0], "s": float(np.median(times[1:]))}


def lorenz(t, y, rho):
    import jax.numpy as jnp

    return jnp.stack([10.0 * (y[1] - y[0]), rho * y[0] - y[1] - y[0] * y[2], y[0] * y[1] - 8.0 / 3.0 * y[2]])


def robertson(t, y, rate):
    import jax.numpy as jnp

    made, used = rate * y[0], 1e4 * y[1] * y[2]
    return jnp.stack([-made + used, made - used - 3e7 * y[1] ** 2, 3e7 * y[1] ** 2])


def ours(case, lanes=LANES):
    import jax
    import jax.numpy as jnp

    import worldline as wl

    wl.use_float64()
    field, start, options = {
        "fixed": (lorenz, [1.0, 0.0, 0.0], {"t1": 1.0, "dt": 1e-3, "solver": "tsit5"}),
        "adaptive": (lorenz, [1.0, 0.0, 0.0], {"t1": 1.0, "rtol": 1e-8, "atol": 1e-8}),
        "robertson": (robertson, [1.0, 0.0, 0.0], {"t1": 1e5, "rtol": 1e-6, "atol": 1e-9}),
    }[case.removesuffix(" gradient")]
    system = wl.ode.System(field, jnp.asarray(1.0))
    values = np.resize(RATE if case == "robertson" else RHO, lanes)
    many = wl.ensemble(lambda v: wl.simulate(system.replace({"parameters_": v}), start, **options).final)
    if case.endswith("gradient"):
        slope = jax.jit(jax.grad(lambda v: jnp.sum(many(v))))
        return measured(lambda: slope(values), 5) | {"check": float(np.sum(slope(values)))}
    return measured(lambda: many(values), 10) | {"check": float(np.sum(many(values)[:, 0]))}


def diffrax(case):
    import diffrax as dfx
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    name = case.removesuffix(" gradient")
    field = robertson if name == "robertson" else lorenz
    tolerance = {"adaptive": (1e-8, 1e-8), "robertson": (1e-6, 1e-9)}.get(name)
    fixed = tolerance is None
    controller = dfx.ConstantStepSize() if fixed else dfx.PIDController(*tolerance)

    def end(value):
        return dfx.diffeqsolve(
            dfx.ODETerm(field),
            dfx.Kvaerno5() if name == "robertson" else dfx.Tsit5(),
            0.0,
            1e5 if name == "robertson" else 1.0,
            1e-3 if fixed else None,
            jnp.array([1.0, 0.0, 0.0]),
            value,
            stepsize_controller=controller,
            max_steps=1024 if fixed else 16384,
        ).ys[-1]

    values = jnp.asarray(RATE if name == "robertson" else RHO)
    many = jax.jit(jax.vmap(end))
    if case.endswith("gradient"):
        slope = jax.jit(jax.grad(lambda v: jnp.sum(jax.vmap(end)(v))))
        return measured(lambda: slope(values), 1) | {"check": float(jnp.sum(slope(values)))}
    return measured(lambda: many(values), 3) | {"check": float(jnp.sum(many(values)[:, 0]))}


def in_process(peer, case, lanes=LANES, threads=None):
    """What a peer measures in a process of its own, on all processors or the first `threads`."""
    command = [sys.executable, __file__, "--peer", peer, "--case", case, "--lanes", str(lanes)]
    if threads is not None:
        command = ["taskset", "-c", ",".join(map(str, range(threads))), *command]
    out = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
    return json.loads(out.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", choices=("ours", "diffrax"))
    parser.add_argument("--case")
    parser.add_argument("--lanes", type=int, default=LANES)
    args = parser.parse_args()
    if args.peer:
        print(json.dumps(ours(args.case, args.lanes) if args.peer == "ours" else diffrax(args.case)))
        return
    record = {}
    print("| 8192 lanes, float64 | worldline | diffrax | times faster | first call |\n| --- | --- | --- | --- | --- |")
    for case in ("fixed", "adaptive", "robertson", "fixed gradient"):
        mine, theirs = in_process("ours", case), in_process("diffrax", case)
        agreed = abs(mine["check"] - theirs["check"]) <= 1e-4 * abs(theirs["check"])
        record[case] = {"ours": mine, "diffrax": theirs, "agree": agreed}
        first = f"{mine['first_s']:.2f} s, {theirs['first_s']:.2f} s"
        note = "" if agreed else " (results differ)"
        print(f"| {case}{note} | {mine['s'] * 1e3:.1f} ms | {theirs['s'] * 1e3:.0f} ms | {theirs['s'] / mine['s']:.0f} | {first} |")
    one, two = (in_process("ours", "fixed", threads=n)["s"] for n in (1, 2))
    record["threads"] = [one, two]
    print(f"\none thread {one * 1e3:.1f} ms, two {two * 1e3:.1f} ms: {one / two:.2f} times faster")
    for lanes in (10**4, 10**5, 10**6):
        seconds = in_process("ours", "adaptive", lanes=lanes)["s"]
        record[f"{lanes} lanes"] = seconds
        print(f"{lanes} lanes, adaptive: {seconds:.3f} s, {seconds / lanes * 1e9:.0f} ns a lane")
    path = Path(__file__).parent / "lanes.json"
    before = json.loads(path.read_text()) if path.exists() else {}  # chain.py keeps its numbers there too
    path.write_text(json.dumps(before | record, indent=1) + "\n")


if __name__ == "__main__":
    main()
