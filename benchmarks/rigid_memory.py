"""Memory of the reverse-mode gradient of a half cheetah's run, over the number of steps and the limit of the contact solver.

    python benchmarks/rigid_memory.py     # prints a table, writes benchmarks/rigid_memory.json

Needs gymnasium and mujoco, and Linux for the peak of resident memory. Each case runs in a fresh process, in float64: the
gradient of the last position by six amplitudes of the motors and the initial state, so that neither what goes in nor what
comes out grows with the steps. Three ways of asking for the run, for n steps:

- `every`: `steps=n`, which stores each state, and computes each step again on the way back;
- `ends`: `t1=`, whose loop keeps at most 256 states and computes the steps between them again;
- `roots`: `ts=` with sqrt(n) times.

The first way is native code: `native` is the memory of a group of `width` lanes, and `resident` by how much the peak of the
process rises while 512 runs are differentiated. The others run on XLA: `xla` is what its compiler plans for one run.
"""

import argparse
import json
import math
import subprocess
import sys
from importlib import import_module
from pathlib import Path

STEPS = (125, 250, 500, 1000, 2000, 4000)
FEW = (125, 1000, 4000)
LIMITS = (5, 100)  # beside the engine's own, 50
LANES = 512
CASES = [("every", 1000, limit) for limit in LIMITS]
CASES += [("every", n, 50) for n in STEPS] + [(way, n, 50) for way in ("ends", "roots") for n in FEW]


def memory(key):
    """A number of this process's /proc file, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def limited(limit):
    """Let the contact solver take so many iterations, which is no option of a run."""
    motion = import_module("worldline.physics.rigid.motion")
    solve = motion.solve_contact
    motion.solve_contact = lambda problem, start: solve(problem, start, max_iterations=limit)


def case(way, steps, limit):
    """What one gradient takes."""
    import gymnasium
    import jax
    import jax.numpy as jnp
    import numpy as np

    import worldline as wl

    wl.use_float64()
    if limit != 50:
        limited(limit)
    model = wl.rigid.load(Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "half_cheetah.xml")
    end = steps * model.timestep
    times = {
        "every": dict(steps=steps),
        "ends": dict(t1=end, dt=model.timestep),
        "roots": dict(ts=np.linspace(0.0, end, math.isqrt(steps) + 1), dt=model.timestep),
    }[way]

    def last(amplitudes, q, v):
        push = lambda t: amplitudes * jnp.sin(9.0 * t + jnp.arange(6.0))
        run = wl.simulate(model, model.state(q, v), controls=push, gradient="reverse", **times)
        return run.final.q[0]

    slope = jax.grad(last, (0, 1, 2))
    rng = np.random.default_rng(0)
    many = [jnp.asarray(x) for x in (rng.uniform(-0.5, 0.5, (6, LANES)), np.tile(model.rest()[:, None], LANES),
                                     0.1 * rng.normal(size=(model.nv, LANES)))]  # fmt: skip
    found = {"way": way, "steps": steps, "limit": limit}
    if way == "every":
        return found | in_lanes(slope, many)
    plan = jax.jit(slope).lower(*(x[:, 0] for x in many)).compile().memory_analysis()
    return found | {"xla": plan.temp_size_in_bytes}


def in_lanes(slope, many):
    """What the gradient takes in native lanes."""
    import jax
    import numpy as np

    import worldline as wl

    told = wl.lanes.explain(slope, *many)
    run = jax.jit(wl.lanes(slope)).lower(*many).compile()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    found = jax.block_until_ready(run(*many))
    assert all(np.isfinite(x).all() for x in found)
    return {"native": int(told.workspace_bytes), "width": int(told.width), "resident": memory("VmHWM") - before}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", nargs=3, help="one measurement: way, steps, limit of iterations")
    args = parser.parse_args()
    if args.case:
        print(json.dumps(case(args.case[0], *map(int, args.case[1:]))))
        return
    found = []
    for way, steps, limit in CASES:
        command = [sys.executable, __file__, "--case", way, str(steps), str(limit)]
        out = subprocess.run(command, capture_output=True, text=True)
        if out.returncode:
            raise SystemExit(out.stderr)
        found.append(json.loads(out.stdout.splitlines()[-1]))
        print(found[-1], flush=True)
    Path(__file__).with_name("rigid_memory.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
