"""One solve, its first call, its gradient, the hare and lynx fit, the import: ours beside diffrax and SciPy.

    python benchmarks/ode.py            # prints a table of medians and ratios, writes benchmarks/ode.json

Peers run in turn, each in fresh processes, three rounds; leave the machine alone meanwhile.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROUNDS = 3
PLAIN_FIRST = "plain call, first"
P, Y0, TS = np.array([1.5, 1.0, 3.0, 1.0]), np.array([1.0, 1.0]), np.linspace(0, 10, 101)
HARE = np.fromstring(
    "30.0 47.2 70.2 77.4 36.3 20.6 18.1 21.4 22.0 25.4 27.1 40.3 57.0 76.6 52.3 19.5 11.2 7.6 14.6 16.2 24.7", sep=" "
)
LYNX = np.fromstring(
    "4.0 6.1 9.8 35.2 59.4 41.7 19.0 13.0 8.3 9.1 7.4 8.0 12.3 19.5 45.7 51.1 29.7 15.8 9.7 10.1 8.6", sep=" "
)
STARTS = {"near": (0.5, 0.03, 0.8, 0.02), "far above": (1, 0.1, 1, 0.1), "far below": (0.2, 0.01, 0.2, 0.01)}


def median_ms(run, repeats=40):
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3


def first_s(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def ours():
    import jax
    import jax.numpy as jnp

    import worldline as wl

    wl.use_float64()
    jnp.zeros(3).sum().block_until_ready()

    def field(t, y, p):
        return wl.stack(p[0] * y[0] - p[1] * y[0] * y[1], -p[2] * y[1] + p[3] * y[0] * y[1])

    def solve(p):
        return wl.simulate(wl.ode.System(field, p), Y0, ts=TS, rtol=1e-8, atol=1e-8).states

    plain, compiled = wl.ode.System(field, P), jax.jit(solve)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(solve(p) ** 2)))
    jacobian = jax.jit(jax.jacfwd(solve))
    return {
        PLAIN_FIRST: lambda: first_s(lambda: wl.simulate(plain, Y0, ts=TS, rtol=1e-8, atol=1e-8)),
        "solve, first call": lambda: first_s(lambda: compiled(P).block_until_ready()),
        "solve": lambda: median_ms(lambda: compiled(P).block_until_ready()),
        "plain call": lambda: median_ms(lambda: wl.simulate(plain, Y0, ts=TS, rtol=1e-8, atol=1e-8)),
        "gradient, first call": lambda: first_s(lambda: gradient(P).block_until_ready()),
        "gradient": lambda: median_ms(lambda: gradient(P).block_until_ready()),
        "Jacobian": lambda: median_ms(lambda: jacobian(P).block_until_ready()),
    }


def diffrax():
    import diffrax as dfx
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    jnp.zeros(3).sum().block_until_ready()

    def field(t, y, p):
        return jnp.stack([p[0] * y[0] - p[1] * y[0] * y[1], -p[2] * y[1] + p[3] * y[0] * y[1]])

    def solve(p, adjoint=None):
        return dfx.diffeqsolve(
            dfx.ODETerm(field),
            dfx.Tsit5(),
            0.0,
            10.0,
            None,
            jnp.asarray(Y0),
            p,
            saveat=dfx.SaveAt(ts=jnp.asarray(TS)),
            stepsize_controller=dfx.PIDController(rtol=1e-8, atol=1e-8),
            max_steps=4096,
            adjoint=dfx.RecursiveCheckpointAdjoint() if adjoint is None else adjoint,
        ).ys

    compiled = jax.jit(solve)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(solve(p) ** 2)))
    jacobian = jax.jit(jax.jacfwd(lambda p: solve(p, dfx.ForwardMode())))
    return {
        PLAIN_FIRST: lambda: first_s(lambda: solve(P).block_until_ready()),
        "solve, first call": lambda: first_s(lambda: compiled(P).block_until_ready()),
        "solve": lambda: median_ms(lambda: compiled(P).block_until_ready()),
        "plain call": lambda: median_ms(lambda: solve(P).block_until_ready()),
        "gradient, first call": lambda: first_s(lambda: gradient(P).block_until_ready()),
        "gradient": lambda: median_ms(lambda: gradient(P).block_until_ready(), 15),
        "Jacobian": lambda: median_ms(lambda: jacobian(P).block_until_ready(), 15),
    }


def our_fit(start):
    import worldline as wl

    wl.use_float64()

    def field(t, y, p):
        hare, lynx = y
        return wl.stack(p["birth"] * hare - p["capture"] * hare * lynx, -p["death"] * lynx + p["growth"] * hare * lynx)

    system = wl.ode.System(field, dict(zip(("birth", "capture", "death", "growth"), STARTS[start], strict=True)))
    data = wl.Observations(np.arange(1900.0, 1921.0), np.stack([HARE, LYNX], 1), wl.LogNormal())

    def run():
        names = ("birth", "capture", "death", "growth", "y0")
        return wl.fit(system, data, [30.0, 4.0], free={n: wl.Positive() for n in names})

    first = first_s(run)
    return {"first_s": first, "ms": median_ms(run, 5), "cost": run().sum_of_squares}


def scipy_fit(start, quick=False):
    """least_squares as it comes on solve_ivp's LSODA; `quick`: its MINPACK method on the older odeint."""
    from scipy.integrate import odeint, solve_ivp
    from scipy.optimize import least_squares

    data, years = np.log(np.stack([HARE, LYNX], 1)), np.arange(21.0)

    def rates(t, y, p):
        return [p[0] * y[0] - p[1] * y[0] * y[1], -p[2] * y[1] + p[3] * y[0] * y[1]]

    def model(p):
        if quick:
            return odeint(rates, p[4:], years, args=(p[:4],), tfirst=True, rtol=1e-6, atol=1e-9)
        run = solve_ivp(rates, (0, 20), p[4:], method="LSODA", t_eval=years, args=(p[:4],), rtol=1e-6, atol=1e-9)
        return run.y.T

    def residuals(u):
        with np.errstate(all="ignore"):
            return np.nan_to_num(np.log(model(np.exp(u))) - data, nan=1e3, posinf=1e3, neginf=-1e3).ravel()

    def run():
        return least_squares(residuals, np.log([*STARTS[start], 30.0, 4.0]), method="lm" if quick else "trf")

    return {"ms": median_ms(run, 3), "cost": 2 * run().cost}


def import_s(statement):
    """Seconds that importing takes in a fresh process, least of five."""
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    return min(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(5)
    )


def in_process(*arguments):
    out = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=True)
    return json.loads(out.stdout.splitlines()[-1])


def solve_rows():
    """Medians over the rounds of (case, peer, ours, peer's, unit)."""
    peers = [("--peer", peer) for peer in ("ours", "diffrax")]
    # A first call is one only in a process that has compiled nothing like it before.
    rounds = [[in_process(*p, "--case", PLAIN_FIRST) | in_process(*p) for p in peers] for _ in range(ROUNDS)]
    rows = []
    for case in rounds[0][0]:
        mine, theirs = (float(np.median([pair[i][case] for pair in rounds])) for i in (0, 1))
        rows.append((case, "diffrax", mine, theirs, "s" if "first" in case else "ms"))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", choices=("ours", "diffrax", "our_fit", "scipy_fit", "odeint_fit"))
    parser.add_argument("--case")
    args = parser.parse_args()
    if args.peer in ("ours", "diffrax"):
        cases = {"ours": ours, "diffrax": diffrax}[args.peer]()
        alone = args.case == PLAIN_FIRST
        print(json.dumps({case: run() for case, run in cases.items() if (case == PLAIN_FIRST) == alone}))
        return
    if args.peer:
        fits = {"our_fit": our_fit, "scipy_fit": scipy_fit, "odeint_fit": lambda start: scipy_fit(start, quick=True)}
        print(json.dumps(fits[args.peer](args.case)))
        return
    rows = solve_rows()
    solve = next(r for r in rows if r[0] == "solve")
    gradient = next(r for r in rows if r[0] == "gradient")
    print("| case | peer | ours | peer's | ratio ours / peer |\n| --- | --- | --- | --- | --- |")
    for case, peer, mine, theirs, unit in rows:
        print(f"| {case} | {peer} | {mine:.3f} {unit} | {theirs:.3f} {unit} | {mine / theirs:.2f} |")
    fits = []
    for start in STARTS:
        mine = in_process("--peer", "our_fit", "--case", start)
        found = f"{mine['ms']:.0f} ms, sum of squares {mine['cost']:.4f} (first {mine['first_s']:.1f} s)"
        for peer, name in (("scipy_fit", "SciPy on LSODA"), ("odeint_fit", "SciPy lm on odeint")):
            theirs = in_process("--peer", peer, "--case", start)
            fits.append({"start": start, "ours": mine, "peer": name, "theirs": theirs})
            ratio = mine["ms"] / theirs["ms"]
            print(f"| fit, {start} | {name} | {found} | {theirs['ms']:.0f} ms, {theirs['cost']:.4f} | {ratio:.2f} |")
    base, whole = import_s("import jax, diffrax"), import_s("import worldline as wl; wl.simulate, wl.fit, wl.ode")
    print(f"| import | jax and diffrax | {whole:.2f} s | {base:.2f} s | {whole - base:+.2f} s |")
    print(f"\ngradient over solve: ours {gradient[2] / solve[2]:.2f}, diffrax {gradient[3] / solve[3]:.2f}")
    record = {"rows": rows, "fits": fits, "import_s": [whole, base]}
    (Path(__file__).parent / "ode.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
