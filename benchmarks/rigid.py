"""Batched rollouts of robots from their MJCF files beside MuJoCo's C library on two threads: steps a second, first calls.

    python benchmarks/rigid.py [MODEL ...]     # prints a table, writes benchmarks/rigid.json
    python benchmarks/rigid.py --mjx PYTHON    # MJX too, by a Python that has it; a minute more for each model

Models are those of Gymnasium, which has to be installed, as is mujoco. Both programs get the same states and random
controls; each case runs in a fresh process. Leave the machine alone meanwhile. Chains of joints are in chain.py.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

LANES, STEPS, REPEATS = 256, 100, 5
MODELS = ("inverted_double_pendulum", "swimmer", "half_cheetah", "ant", "humanoid")
WANTED = {"inverted_double_pendulum": 15, "swimmer": 10, "half_cheetah": 5, "ant": 5, "humanoid": 2}


def path_of(name):
    """Where the robot's file is."""
    import gymnasium

    return Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / f"{name}.xml"


def inputs(nv, nu):
    """Velocities [lane, nv] and controls [lane, step, nu]."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(LANES, nv)) * 0.1, rng.uniform(-0.4, 0.4, size=(LANES, STEPS, nu))


def seconds(run):
    """First call and the median of later ones."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        out = run()
        times.append(time.perf_counter() - start)
    return {"first_s": times[0], "s": float(np.median(times[1:]))}, out


def ours(name, gradient):
    """Rollouts in native lanes; or the gradient of their last positions by all controls."""
    import jax
    import jax.numpy as jnp

    import worldline as wl

    model = wl.rigid.load(path_of(name))
    velocities, controls = inputs(model.nv, model.nu)

    def one(v, u):
        run = wl.simulate(model, model.state(v=v), steps=STEPS, controls=u, gradient="reverse")
        return run.final.q, run.status.code

    slope = jax.grad(lambda u, v: jnp.sum(one(v, u)[0]))
    many = wl.ensemble((lambda v, u: slope(u, v)) if gradient else one)
    args = jnp.asarray(velocities), jnp.asarray(controls)
    times, out = seconds(lambda: jax.block_until_ready(many(*args)))
    if gradient:
        return times | {"check": float(np.mean(np.abs(out))), "finite": bool(np.isfinite(out).all())}
    return times | {"check": float(np.mean(np.abs(out[0]))), "failed": int(np.sum(np.asarray(out[1]) != 0))}


def mujoco(name):
    """Rollouts by the C library, with the options of the file."""
    import mujoco as mj
    from mujoco import rollout

    mj.set_mju_user_warning(lambda message: None)  # it would go to a file here
    model = mj.MjModel.from_xml_path(str(path_of(name)))
    velocities, controls = inputs(model.nv, model.nu)
    kind, data = mj.mjtState.mjSTATE_FULLPHYSICS, mj.MjData(model)
    states = np.zeros((LANES, mj.mj_stateSize(model, kind)))
    for lane, v in enumerate(velocities):
        mj.mj_resetData(model, data)
        data.qvel[:] = v
        mj.mj_getState(model, data, states[lane], kind)
    threads = [mj.MjData(model) for _ in range(2)]
    times, ends = seconds(lambda: rollout.rollout(model, threads, states, controls, nstep=STEPS)[0])
    return times | {"check": float(np.mean(np.abs(ends[:, -1, 1 : 1 + model.nq])))}


def mjx(name):
    """Rollouts by MuJoCo's own JAX code under `vmap`, with the options of the file."""
    import jax
    import jax.numpy as jnp
    import mujoco as mj
    from mujoco import mjx

    model = mj.MjModel.from_xml_path(str(path_of(name)))
    velocities, controls = (jnp.asarray(x, jnp.float32) for x in inputs(model.nv, model.nu))
    try:
        placed = mjx.put_model(model)
    except NotImplementedError as error:
        return {"missing": str(error)}
    begin = mjx.make_data(placed)

    def one(v, controls):
        step = lambda data, u: (mjx.step(placed, data.replace(ctrl=u)), None)
        return jax.lax.scan(step, begin.replace(qvel=v), controls)[0].qpos

    many = jax.jit(jax.vmap(one))
    start = time.perf_counter()
    run = many.lower(velocities, controls).compile()
    first = time.perf_counter() - start
    start = time.perf_counter()
    end = np.asarray(run(velocities, controls))
    # Once: it takes up to a minute.
    return {"first_s": first, "s": time.perf_counter() - start, "check": float(np.mean(np.abs(end)))}


def in_process(python, *arguments):
    """What a case measures in a process of its own."""
    out = subprocess.run([python, __file__, "--case", *arguments], capture_output=True, text=True)
    if out.returncode:
        raise SystemExit(out.stderr)
    return json.loads(out.stdout.splitlines()[-1])


def row(name, cases):
    """One line of the table."""
    rates = {who: LANES * STEPS / case["s"] for who, case in cases.items() if "s" in case}
    times = f"{rates['ours'] / rates['mujoco']:.1f} ({WANTED.get(name, '-')})"
    other = f"{rates['mjx'] / 1e3:.1f}" if "mjx" in rates else "-"
    firsts = " ".join(f"{cases[who]['first_s']:.1f} s" for who in ("ours", "mjx") if who in rates)
    return f"| {name} | {rates['ours'] / 1e3:.0f} | {rates['mujoco'] / 1e3:.0f} | {times} | {other} | {firsts} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--mjx", metavar="PYTHON", help="measure MJX by this Python")
    parser.add_argument("--case", nargs=2, help="one measurement: who (ours, gradient, mujoco or mjx) and which model")
    args = parser.parse_args()
    if args.case:
        who, name = args.case
        peers = {"mujoco": mujoco, "mjx": mjx}
        print(json.dumps(peers[who](name) if who in peers else ours(name, who == "gradient")))
        return
    path = Path(__file__).parent / "rigid.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    print(f"thousand steps a second; {LANES} lanes, {STEPS} steps, float32")
    print("| | worldline | MuJoCo C | times faster (wanted) | MJX | first calls |\n| --- | --- | --- | --- | --- | --- |")
    for name in args.models:
        cases = {"ours": in_process(sys.executable, "ours", name), "mujoco": in_process(sys.executable, "mujoco", name)}
        if args.mjx:
            cases["mjx"] = in_process(args.mjx, "mjx", name)
        record[name] = cases
        print(row(name, cases), flush=True)
    if "half_cheetah" in args.models:
        slope = in_process(sys.executable, "gradient", "half_cheetah")
        record["half_cheetah gradient"] = slope
        ratio = slope["s"] / record["half_cheetah"]["ours"]["s"]
        print(f"\ngradient of half_cheetah by all controls: {ratio:.1f} rollouts, first call {slope['first_s']:.1f} s")
    path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
