"""Rollouts of a chain of hinged links in native lanes beside MuJoCo, and the gradient of a rollout.

    python benchmarks/chain.py [--mujoco PYTHON]     # prints a table, adds to benchmarks/lanes.json

PYTHON is an interpreter that can import mujoco, this one if left out; where it cannot, the table says so. Cases run in
turn, each in a fresh process; leave the machine alone meanwhile.

The chain: links of equal length and mass hang one from another by hinges about z, y, x, z, ..., with damping and
armature at each; one step is semi-implicit Euler of the articulated-body algorithm (Featherstone 2008, chapter 7).
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

LANES, STEPS, DT = 1024, 200, 0.002
LENGTH, MASS, DAMPING, ARMATURE, GRAVITY = 0.3, 1.0, 0.1, 0.01, 9.81
INERTIA = (0.01, 0.011, 0.002)


def axis_of(link):
    """The coordinate axis that a link turns about."""
    return (2, 1, 0)[link % 3]


def skew(p):
    """The matrix of the cross product with p."""
    return np.array([[0.0, -p[2], p[1]], [p[2], 0.0, -p[0]], [-p[1], p[0], 0.0]])


def chain_step(links):
    """One step: an array [2, links] of angles and rates to the next. Spatial vectors are (angular, linear)."""
    import jax.numpy as jnp

    center = skew([0.0, 0.0, -LENGTH / 2])
    body = np.block([[np.diag(INERTIA) + MASS * center @ center.T, MASS * center], [MASS * center.T, MASS * np.eye(3)]])

    def turned(link, angle):
        """The motion transform from the link before: the offset, then the turn."""
        axis = axis_of(link)
        still = np.zeros((3, 3))
        still[axis, axis] = 1.0
        cos, sin = (m.astype(angle.dtype) for m in (np.eye(3) - still, -skew(np.eye(3)[axis])))
        turn = cos * jnp.cos(angle) + sin * jnp.sin(angle) + still.astype(angle.dtype)
        offset = np.eye(6)
        offset[3:, :3] = -skew([0.0, 0.0, -LENGTH if link else 0.0])
        nothing = np.zeros((3, 3), angle.dtype)
        return jnp.block([[turn, nothing], [nothing, turn]]) @ offset.astype(angle.dtype)

    def cross(v, u):
        return jnp.concatenate([jnp.cross(v[:3], u[:3]), jnp.cross(v[:3], u[3:]) + jnp.cross(v[3:], u[:3])])

    def cross_force(v, f):
        return jnp.concatenate([jnp.cross(v[:3], f[:3]) + jnp.cross(v[3:], f[3:]), jnp.cross(v[:3], f[3:])])

    def acceleration(q, rate):
        inertia = jnp.asarray(body, q.dtype)
        axes = [jnp.asarray(np.eye(6)[axis_of(i)], q.dtype) for i in range(links)]
        transforms = [turned(i, q[i]) for i in range(links)]
        v, drifts, biases = jnp.zeros(6, q.dtype), [], []
        for i in range(links):
            own = axes[i] * rate[i]
            v = transforms[i] @ v + own
            drifts.append(cross(v, own))
            biases.append(cross_force(v, inertia @ v))
        joints, whole, force = [], inertia, biases[-1]
        for i in reversed(range(links)):
            pull = whole @ axes[i]
            weight = axes[i] @ pull + ARMATURE
            torque = -(axes[i] @ force) - DAMPING * rate[i]
            joints.append((pull, weight, torque))
            if i:
                rest = whole - jnp.outer(pull, pull) / weight
                carried = force + rest @ drifts[i] + pull * (torque / weight)
                whole = inertia + transforms[i].T @ rest @ transforms[i]
                force = biases[i - 1] + transforms[i].T @ carried
        a, result = jnp.asarray([0.0, 0.0, 0.0, 0.0, 0.0, GRAVITY], q.dtype), []
        for i, (pull, weight, torque) in enumerate(reversed(joints)):
            a = transforms[i] @ a + drifts[i]
            result.append((torque - pull @ a) / weight)
            a = a + axes[i] * result[-1]
        return jnp.stack(result)

    def step(state):
        rate = state[1] + DT * acceleration(state[0], state[1])
        return jnp.stack([state[0] + DT * rate, rate])

    return step


def start(links):
    """Angles drawn at random, at rest."""
    state = np.zeros((2, links, LANES), np.float32)
    state[0] = np.random.default_rng(0).normal(size=(links, LANES))
    return state


def ours(links, gradient):
    """First call and median of later ones, of the rollout or its reverse-mode gradient."""
    import jax
    import jax.numpy as jnp

    import worldline as wl

    step, state = chain_step(links), jnp.asarray(start(links))
    rollout = lambda s: wl.fori_loop(0, STEPS, lambda k, s: step(s), s, checkpoints="sqrt")
    one = jax.grad(lambda s: jnp.sum(rollout(s))) if gradient else rollout
    run = jax.jit(wl.lanes(one))
    times = []
    for _ in range(8):
        begin = time.perf_counter()
        out = jax.block_until_ready(run(state))
        times.append(time.perf_counter() - begin)
    return {
        "first_s": times[0],
        "s": float(np.median(times[1:])),
        "check": float(np.sum(np.abs(np.asarray(out, float)))),
    }


def mjcf(links):
    """The same chain as a model of MuJoCo."""
    head = f'<mujoco><option timestep="{DT}" gravity="0 0 -{GRAVITY}" integrator="Euler"/><worldbody>'
    text = ""
    for link in range(links):
        axis = " ".join(str(int(k == axis_of(link))) for k in range(3))
        text += (
            f'<body pos="0 0 {-LENGTH if link else 0}"><joint type="hinge" axis="{axis}" damping="{DAMPING}" '
            f'armature="{ARMATURE}"/><inertial pos="0 0 {-LENGTH / 2}" mass="{MASS}" '
            f'diaginertia="{" ".join(map(str, INERTIA))}"/>'
        )
    return f"{head}{text}{'</body>' * links}</worldbody></mujoco>"


def mujoco(links):
    """The rollout by MuJoCo on two threads: seconds, and the end angles' sum for comparison."""
    import mujoco as mj
    from mujoco import rollout

    model = mj.MjModel.from_xml_string(mjcf(links))
    model.opt.disableflags |= mj.mjtDisableBit.mjDSBL_EULERDAMP  # damping explicit, as in `chain_step`
    kind, data = mj.mjtState.mjSTATE_FULLPHYSICS, mj.MjData(model)
    states = np.zeros((LANES, mj.mj_stateSize(model, kind)))
    for lane, q in enumerate(start(links)[0].T):
        data.qpos[:] = q
        mj.mj_getState(model, data, states[lane], kind)
    threads, times = [mj.MjData(model) for _ in range(2)], []
    for _ in range(3):
        begin = time.perf_counter()
        ends, _ = rollout.rollout(model, threads, states, nstep=STEPS)
        times.append(time.perf_counter() - begin)
    return {"s": float(np.median(times)), "check": float(np.sum(np.abs(ends[:, -1, 1 : 1 + 2 * links])))}


def in_process(python, *arguments):
    """What a case measures in a process of its own."""
    out = subprocess.run([python, __file__, "--case", *map(str, arguments)], capture_output=True, text=True)
    if out.returncode:
        return {"missing": out.stderr.strip().splitlines()[-1]}
    return json.loads(out.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mujoco", default=sys.executable)
    parser.add_argument("--case", nargs=2)
    args = parser.parse_args()
    if args.case:
        name, links = args.case[0], int(args.case[1])
        print(json.dumps(mujoco(links) if name == "mujoco" else ours(links, name == "gradient")))
        return
    record = {
        name: in_process(sys.executable, *name.split())
        for name in ("rollout 7", "gradient 7", "rollout 23", "gradient 23")
    }
    record["mujoco 7"] = peer = in_process(args.mujoco, "mujoco", 7)
    print(f"| {LANES} lanes, {STEPS} steps, float32 | steps a second | first call |\n| --- | --- | --- |")
    for name, case in record.items():
        if "s" in case:
            first = f"{case['first_s']:.2f} s" if "first_s" in case else ""
            print(f"| {name} | {LANES * STEPS / case['s'] / 1e6:.2f} million | {first} |")
    for links in (7, 23):
        print(
            f"gradient of {links} joints: {record[f'gradient {links}']['s'] / record[f'rollout {links}']['s']:.1f} rollouts"
        )
    if "missing" in peer:
        print(f"MuJoCo was not measured: {peer['missing']}")
    else:
        agreed = abs(peer["check"] - record["rollout 7"]["check"]) <= 1e-3 * peer["check"]
        record["agree"] = agreed
        print(f"{peer['s'] / record['rollout 7']['s']:.0f} times MuJoCo{'' if agreed else ' (results differ)'}")
    path = Path(__file__).parent / "lanes.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chain": record}, indent=1) + "\n")


if __name__ == "__main__":
    main()
