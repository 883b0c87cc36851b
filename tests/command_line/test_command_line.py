"""The `worldline` command as a shell user meets it: what it prints, writes, returns, and says of bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import entry_points

import numpy as np
import pytest

COMMANDS = ["demo", "fit", "simulate", "validate", "models"]
PNG = b"\x89PNG"
PATIENCE = 900.0  # seconds, for a program to start or end on a busy machine

MODEL = """import jax.numpy as jnp

def cooling(t, y, p):
    return -p["rate"] * (y - p["room"])

def explosion(t, y, p):
    return p["speed"] * y**2

def driven(t, y, p, u):
    return p["gain"] * u - y

def two_arguments(t, y):
    return y

def broken(t, y, p):
    return nonsense(y)

def undefined(t, y, p):
    return p["speed"] * jnp.sqrt(-1.0 - y)
"""

# Leaves a file beside itself when a run begins to compute, not only to compile.
ENDLESS = """import pathlib
import jax, jax.numpy as jnp

def begun():
    pathlib.Path(__file__).with_name("computing").touch()

def endless(t, y, p):
    jax.lax.cond(t == 0.0, lambda: jax.debug.callback(begun), lambda: None)
    return jnp.cos(t) * jnp.ones_like(y)
"""


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """Run the installed command in an empty folder; returns its exit code, output and errors."""
    (entry,) = entry_points(group="console_scripts", name="worldline")
    main = entry.load()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)

    def run(*arguments):
        capsys.readouterr()
        code = main([str(a) for a in arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def refused(command, tmp_path):
    """Run what must be refused, with exit code 2 and one line, which is returned; it must leave no files."""

    def run(*arguments, code=2):
        before = sorted(tmp_path.rglob("*.*"))
        ended, out, err = command(*arguments)
        assert ended == code, err
        assert out == ""
        lines = [line for line in err.splitlines() if not line.startswith("fitting")]
        assert len(lines) == 1 and lines[0].startswith("worldline: error: "), err
        assert [p for p in sorted(tmp_path.rglob("*.*")) if "__pycache__" not in p.parts] == before
        assert not (tmp_path / "out").exists()
        return lines[0].removeprefix("worldline: error: ")

    return run


@pytest.fixture
def table(tmp_path):
    """Write a CSV file and return its name."""

    def write(text, name="data.csv"):
        (tmp_path / name).write_text(text)
        return name

    return write


def cooling_table(rows=12):
    ts = np.linspace(0.0, 5.0, rows)
    values = 20.0 + 60.0 * np.exp(-0.4 * ts) + 0.1 * (-1.0) ** np.arange(rows)
    return "time,tea\n" + "".join(f"{t},{v}\n" for t, v in zip(ts, values))


DECAY = "t,amount\n0,1\n1,0.4\n2,0.15\n3,0.05\n"


def test_help_and_version(command):
    for arguments in [["--help"], *([name, "--help"] for name in COMMANDS)]:
        code, out, err = command(*arguments)
        assert code == 0 and err == ""
        assert "example" in out and "usage: worldline" in out
    code, out, err = command("--version")
    assert code == 0 and out.startswith("worldline ") and err == ""


def test_models_are_listed_and_described(command):
    code, out, _ = command("models")
    assert code == 0
    assert any(line.startswith("lotka_volterra ") for line in out.splitlines())
    code, out, _ = command("models", "lotka_volterra")
    assert code == 0
    assert "birth=1.5" in out and "prey=1 predators=1" in out and "0 to 10" in out


def test_simulate_prints_a_summary_in_double_precision(command):
    code, out, err = command("simulate", "exponential_decay", "--set", "rate=2", "--t1", 1, "--rtol", "1e-10")
    assert code == 0 and err == ""
    last = float(out.splitlines()[-1].split()[2])
    assert abs(last - np.exp(-2.0)) < 1e-6


def test_single_precision_is_asked_for(command):
    assert command("simulate", "exponential_decay", "--t1", 1, "--float32")[0] == 0
    code, _, err = command("simulate", "exponential_decay", "--t1", 1, "--float32", "--rtol", "1e-12")
    assert code == 2 and "float32" in err


def test_simulate_writes_csv_and_npz_and_a_picture(command, tmp_path):
    arguments = ["simulate", "sir", "--y0", "infected=5", "--t1", 3, "--points", 7]
    for name in ("run.csv", "run.npz", "run.png"):
        code, _, err = command(*arguments, "--out", tmp_path / "deep" / name)
        assert code == 0 and name in err
    written = tmp_path / "deep"
    header, *rows = (written / "run.csv").read_text().splitlines()
    assert header == "t,infected,recovered,susceptible" and len(rows) == 7
    assert rows[0] == "0,5,0,762"
    columns = np.load(written / "run.npz")
    assert columns["t"].shape == columns["infected"].shape == (7,)
    np.testing.assert_array_equal(np.loadtxt(rows, delimiter=",")[:, 1], columns["infected"])
    assert (written / "run.png").read_bytes().startswith(PNG)
    assert sorted(p.name for p in written.iterdir()) == ["run.csv", "run.npz", "run.png"]


def test_simulate_a_function_in_a_file(command):
    parameters = ["--set", "rate=1", "room=20"]
    code, out, _ = command("simulate", "model.py:cooling", *parameters, "--y0", "tea=80", "--t1", 40)
    assert code == 0
    name, first, last = out.splitlines()[-1].split()[:3]
    assert (name, first) == ("tea", "80") and abs(float(last) - 20.0) < 1e-5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "COMMAND"),
        (["simulat", "lorenz"], "invalid choice"),
        (["simulate", "lorentz"], "no model 'lorentz': did you mean 'lorenz'"),
        (["simulate", "model.py"], "model.py:FUNCTION"),
        (["simulate", "absent.py:f"], "absent.py: there is no such file"),
        (["simulate", "model.py:coolin"], "no function 'coolin': did you mean 'cooling'"),
        (["simulate", "model.py:two_arguments"], "takes 2 arguments; a vector field is field(t, y, p)"),
        (["simulate", "model.py:cooling"], "--y0"),
        (["simulate", "model.py:cooling", "--y0", "1"], "--t1"),
        (["simulate", "model.py:cooling", "--y0", "1", "--t1", "1"], "no parameter or component 'rate'"),
        (["simulate", "model.py:broken", "--y0", "1", "--t1", "1"], "line 16: NameError: name 'nonsense'"),
        (["simulate", "model.py:driven", "--y0", "1", "--t1", "1"], "takes a control"),
        (["simulate", "lorenz", "--set", "sigma"], "--set NAME=VALUE"),
        (["simulate", "lorenz", "--set", "sigma=ten"], "'ten' is not a finite number"),
        (["simulate", "lotka_volterra", "--set", "brith=1"], "no parameter 'brith': did you mean 'birth'"),
        (["simulate", "lorenz", "--y0", "1", "2"], "has 2 values, but lorenz has 3 components: x, y, z"),
        (["simulate", "lorenz", "--y0", "w=2"], "no such component"),
        (["simulate", "lorenz", "--t1", "-1e-3"], "would end at t = -0.001"),
        (["simulate", "lorenz", "--points", "1"], "--points 1"),
        (["simulate", "lorenz", "--solver", "tsit"], "did you mean 'tsit5'"),
        (["simulate", "lorenz", "--out", "run.xlsx"], ".csv"),
        (["validate", "ode", "--only", "lorentz"], "did you mean 'lorenz'"),
        (["validate", "ode", "--float32"], "--float32"),
        (["demo", "--float32", "--out", "out"], "double precision: leave out --float32"),
        (["models", "lorentz"], "did you mean 'lorenz'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(refused, arguments, words):
    assert words in refused(*arguments)


def test_a_run_that_fails_ends_with_1_and_writes_nothing(refused, tmp_path):
    blow = ["simulate", "model.py:explosion", "--set", "speed=1", "--y0", "1", "--out", "out/run.csv"]
    line = refused(*blow, "--t1", 2, code=1)
    assert "at t = 1" in line and "--t1" in line
    line = refused("simulate", "lorenz", "--max-steps", 7, "--out", "out/run.csv", code=1)
    assert "step limit" in line and "--max-steps" in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "data.csv is empty"),
        ("# only a comment\n\n", "data.csv is empty"),
        ("t,amount\n", "no data below"),
        ("0,1\n1,2\n", "line 1: these are numbers, but the first line must name the columns"),
        ("t,amount\n0,1\n1,0.5,7\n", "line 3: 3 cells, but the first line names 2 columns (t, amount)"),
        ("t,amount\n0,1\n# pause\n1,high\n", "line 4, column 'amount': 'high' is not a finite number"),
        ("t,amount\n0,1\n1,inf\n", "line 3, column 'amount': 'inf' is not a finite number"),
        ("t,amount\n0,1\n0,2\n", "line 3, column 't': times must increase, but 0 comes after 0"),
        ("t,amount\n0,1\n,2\n", "line 3: the time in column 't' is missing"),
        ("t,amount\n0,\n1,NA\n", "all values of amount are missing"),
        ("t,amount,amount\n0,1,1\n", "two columns are named 'amount'"),
        ("t,amont\n0,1\n1,2\n", "'amont' is no component of exponential_decay, which are amount; did you mean"),
        ("t\n0\n1\n", "no column of measurements"),
        ("t,amount\n0,1\n", "1 measured value cannot determine 2 unknowns"),
    ],
)
def test_bad_data_is_named_with_its_place(refused, table, text, words):
    assert words in refused("fit", "exponential_decay", table(text))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--free", "rat"], "--free rat: there is no such unknown; did you mean 'rate'"),
        (["--start", "rat=1"], "--start rat: exponential_decay has no such parameter; did you mean 'rate'"),
        (["--start", "rate=1", "rate=2"], "'rate' is given twice"),
        (["--start", "rate=-1", "--positive", "rate"], "--positive excludes where rate starts, -1"),
        (["--bounds", "rate", "2", "3"], "--bounds rate 2 3 excludes where rate starts, 1"),
        (["--bounds", "rate", "3", "-1e-3"], "the lower bound must be below"),
        (["--bounds", "rate", "low", "3"], "'low' is not a finite number"),
        (["--free", "y0", "--positive", "rate"], "rate is not fitted; add it to --free"),
        (["--time", "year"], "--time year: data.csv has no such column"),
        (["--columns", "amount", "t"], "--columns has 2 names, but exponential_decay has 1 components"),
        (["--control", "amount"], "takes no control"),
        (["--ignore", "weight"], "--ignore weight: data.csv has no such column"),
        (["--sigma", "-1"], "greater than zero"),
        (["--sigma", "1", "2"], "--sigma has 2 values for 1 columns"),
        (["--starts", "0"], "--starts 0"),
        (["--noise", "poisson"], "invalid choice: 'poisson'"),
    ],
)
def test_unknowns_that_make_no_sense(refused, table, options, words):
    assert words in refused("fit", "exponential_decay", table(DECAY), *options)


NOTED = "t,amount,comment\n0,1,start\n1,0.6,\n2,0.37,stirred\n3,0.22,end\n"


def test_columns_that_are_not_used_may_hold_text(command, table):
    noted = table(NOTED)
    common = ["--free", "rate", "--starts", 1, "--out", "out"]
    for option in (["--ignore", "comment"], ["--columns", "amount"]):
        code, out, err = command("fit", "exponential_decay", noted, *option, *common)
        assert code == 0, err
        assert "fitting 1 unknown to 4 values" in err
        assert "degrees of freedom  2" in out  # the first row is the initial state


def test_text_in_a_column_that_is_used_is_named(refused, table):
    line = refused("fit", "model.py:cooling", table(NOTED), "--start", "rate=1", "room=20")
    assert "line 2, column 'comment': 'start' is not a finite number" in line and "--ignore comment" in line


def test_an_initial_value_that_is_missing_is_asked_for_by_its_name(refused, table):
    late = table("t,temperature\n0,\n1,60\n2,50\n")
    line = refused("fit", "model.py:cooling", late, "--start", "rate=0.1", "room=20")
    assert "--start y0.temperature=VALUE" in line


def test_other_input_that_cannot_be_fitted(refused, table, tmp_path):
    assert "nowhere.csv: there is no such file" in refused("fit", "exponential_decay", "nowhere.csv")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff\xfe")
    assert "not text" in refused("fit", "exponential_decay", "picture.csv")
    zero = table("t,amount\n0,1\n1,0\n2,0.1\n")
    assert "line 3, column 'amount': 0 is not positive" in refused(
        "fit", "exponential_decay", zero, "--noise", "lognormal"
    )
    driven = table("t,y,torque\n0,1,0\n1,0,\n2,1,1\n")
    assert "--control COLUMN" in refused("fit", "model.py:driven", driven, "--start", "gain=1")
    line = refused("fit", "model.py:driven", driven, "--start", "gain=1", "--control", "torque")
    assert "line 3, column 'torque': a control cannot be missing" in line


def test_a_start_that_cannot_be_simulated_fails(refused, table):
    data = table("t,y\n0,1\n1,2\n2,3\n3,4\n")
    line = refused("fit", "model.py:undefined", data, "--start", "speed=1", "--free", "speed", code=1)
    assert "the run at the start of the fit failed" in line and "--start" in line


def test_fit_a_function_in_a_file(command, table, tmp_path):
    code, out, err = command(
        "fit", "model.py:cooling", table(cooling_table()), "--start", "rate=0.2", "room=10",
        "--bounds", "rate", "0", "3", "--starts", 1, "--out", "out/tea",
    )  # fmt: skip
    assert code == 0, err
    folder = tmp_path / "out" / "tea"
    assert sorted(p.name for p in folder.iterdir()) == ["fit.json", "fit.png", "fit.txt"]
    assert (folder / "fit.txt").read_text() == out
    found = json.loads((folder / "fit.json").read_text())
    assert found["success"] and found["columns"] == ["tea"] and found["model"] == "model.py:cooling"
    values = found["values"]
    assert list(values) == ["rate", "room", "y0.tea"]
    # The values were made with rate 0.4, room 20 and start 80, and are 0.1 off in turns.
    np.testing.assert_allclose(list(values.values()), [0.4, 20.0, 80.0], rtol=0.02)
    assert found["bounds"]["rate"] == "0 to 3"
    assert (folder / "fit.png").read_bytes().startswith(PNG)
    assert "y0.tea" in out and "y0[0]" not in out


def test_fit_reads_a_control_and_standard_input(command, monkeypatch):
    import io

    ts = np.linspace(0.0, 4.0, 21)
    # y' = gain u - y with u = t and y(0) = 0
    rows = "".join(f"{t};{2.0 * (t - 1.0 + np.exp(-t))};{t}\n" for t in ts)
    monkeypatch.setattr(sys, "stdin", io.StringIO("t;y;u\n" + rows))
    code, out, err = command(
        "fit", "model.py:driven", "-", "--control", "u", "--start", "gain=1", "--free", "gain", "--starts", 1,
    )  # fmt: skip
    assert code == 0, err
    gain = next(line for line in out.splitlines() if line.split()[:1] == ["gain"])
    assert abs(float(gain.split()[1]) - 2.0) < 1e-4


def test_part_of_a_dict_state_is_fitted_by_name(command, table, tmp_path):
    data = table("day,infected\n0,1\n3,26\n5,192\n7,256\n9,123\n12,20\n13,9\n")
    code, out, err = command(
        "fit", "sir", data, "--free", "y0.infected", "--positive", "--starts", 1, "--noise", "lognormal"
    )
    assert code == 0, err
    found = json.loads((tmp_path / "out" / "fit.json").read_text())
    assert found["success"] and list(found["values"]) == ["y0.infected"]

    def misfit(infected):
        """Squares of the residuals of logarithms, from runs of the command itself."""
        command("simulate", "sir", "--y0", f"infected={infected}", "--t1", 13, "--points", 14, "--out", "run.csv")
        header, *rows = (tmp_path / "run.csv").read_text().splitlines()
        modelled = np.loadtxt(rows, delimiter=",")[:, header.split(",").index("infected")]
        days, counted = np.loadtxt(data_rows, delimiter=",", unpack=True)
        return np.sum(np.log(counted / modelled[days.astype(int)]) ** 2)

    data_rows = (tmp_path / data).read_text().splitlines()[1:]
    best = found["values"]["y0.infected"]
    assert misfit(best) < min(misfit(0.98 * best), misfit(1.02 * best))


def test_folders_that_cannot_be_written(command, table, tmp_path):
    (tmp_path / "taken").write_text("a file")
    for out in ("taken", "taken/deeper"):
        code, _, err = command("fit", "exponential_decay", table(DECAY), "--out", out)
        assert code == 1 and err.startswith("worldline: error: cannot ") and len(err.splitlines()) == 1
    assert (tmp_path / "taken").read_text() == "a file"


def test_an_interrupted_fit_leaves_nothing(command, table, monkeypatch, tmp_path):
    import worldline as wl

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules[wl.fit.__module__], "search", interrupt)
    code, out, err = command("fit", "exponential_decay", table(DECAY))
    assert code == 130 and out == "" and err.endswith("worldline: interrupted\n")
    assert not (tmp_path / "out").exists()


def test_an_unforeseen_error_is_one_line_unless_asked(command, table, monkeypatch):
    import worldline as wl

    def fault(*_, **__):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(wl.FitResult, "report", fault)
    arguments = ["fit", "exponential_decay", table(DECAY), "--starts", 1]
    code, _, err = command(*arguments)
    assert code == 1 and "unexpected ZeroDivisionError: division by zero" in err and "--traceback" in err
    with pytest.raises(ZeroDivisionError):
        command(*arguments, "--traceback")


def test_the_command_keeps_the_precision_of_who_calls_it(command):
    import jax.numpy as jnp

    before = jnp.ones(()).dtype
    command("simulate", "exponential_decay", "--t1", 1, "--float32")
    assert jnp.ones(()).dtype == before


@pytest.mark.slow
def test_validation_writes_its_report(command, tmp_path):
    code, out, err = command("validate", "ode", "--only", "logistic", "--out", "out")
    assert code == 0 and "logistic" in out
    assert json.loads((tmp_path / "out" / "validation_ode.json").read_text())["passed"]
    assert (tmp_path / "out" / "validation_ode.txt").read_text() == out


@pytest.mark.slow
def test_the_demonstration_tells_what_it_does_and_leaves_a_page(command, tmp_path):
    code, out, err = command("demo", "--out", "out")
    assert code == 0, err
    assert "sum of squares      2.01866" in out and "done in" in out
    page = (tmp_path / "out" / "index.html").read_text()
    numbers = json.loads((tmp_path / "out" / "demo.json").read_text())
    assert numbers["ensemble"] == {"runs": 10_000, "failed": 0, "solver": "tsit5"}
    assert numbers["validation"]["passed"]
    for picture in (tmp_path / "out").glob("*.png"):
        assert picture.name in page
    if "pendulum" in numbers:  # its data are not in the checkout
        assert numbers["pendulum"]["rms_rad"] <= 0.055
    else:
        assert "measured pendulum is left out" in out


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="pipes and signals as in a Unix shell")
def test_a_closed_pipe_and_an_interrupt_give_no_traceback(tmp_path):
    """The two ways in which a shell ends a program, on the real command."""
    worldline = [sys.executable, "-m", "worldline.command_line"]
    reader, writer = os.pipe()
    os.close(reader)
    piped = subprocess.run(
        [*worldline, "models"], stdout=writer, stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=PATIENCE
    )
    os.close(writer)
    assert piped.returncode == 141 and piped.stderr == ""

    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    (elsewhere / "model.py").write_text(ENDLESS)
    model = f"{elsewhere / 'model.py'}:endless"
    long = ["simulate", model, "--y0", "1", "--t1", "1e9", "--max-steps", "1000000000", "--out", "run.csv"]
    running = subprocess.Popen([*worldline, *long], stderr=subprocess.PIPE, text=True, cwd=here)
    try:
        deadline = time.monotonic() + PATIENCE
        while not (elsewhere / "computing").exists():
            assert running.poll() is None, running.communicate()[1]
            assert time.monotonic() < deadline, "the command did not begin to compute"
            time.sleep(0.05)
        time.sleep(0.5)  # out of the call that made the file
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=PATIENCE)
    finally:
        running.kill()
    assert running.returncode == 130
    assert err.strip().endswith("worldline: interrupted") and "Traceback" not in err
    assert list(here.iterdir()) == []
