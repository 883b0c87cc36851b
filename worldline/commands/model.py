"""Finding the model a command names: a problem of the zoo, or a function in a file."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .failure import WrongInput, near

if TYPE_CHECKING:
    from ..physics.ode import System
    from ..physics.ode.zoo import Problem


@dataclass(frozen=True)
class Model:
    """A model as the command line knows it.

    `problem` is that of the zoo; `field` a function of a user's file, whose parameters and components are
    named on the command line. One of the two is None.
    """

    name: str
    problem: Problem | None = None
    field: Callable[..., Any] | None = None

    @property
    def takes_control(self) -> bool:
        """Whether the vector field needs a fourth argument, the control."""
        function = self.problem.system().field if self.problem is not None else self.field
        assert function is not None
        required = [
            p
            for p in inspect.signature(function).parameters.values()
            if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        return len(required) > 3

    def system(self, parameters: dict[str, float]) -> System:
        """The system with these parameters. **Raises** `WrongInput` for names a problem of the zoo does not
        have.
        """
        from ..core.parameters import parameters as named
        from ..physics.ode import System

        if self.problem is None:
            assert self.field is not None
            return System(self.field, parameters)
        system = self.problem.system()
        known = named(system)
        for name in parameters:
            if name not in known:
                raise WrongInput(
                    f"{self.name} has no parameter {name!r}: {near(name, known)}there are {', '.join(known)}"
                )
        return system.replace(parameters) if parameters else system


def find_model(text: str) -> Model:
    """The model of that name or `file.py:function`. **Raises** `WrongInput` when there is none."""
    path, colon, function = text.rpartition(":")
    if colon and path.endswith(".py"):
        return Model(text, field=_function(path, function))
    if text.endswith(".py") or "/" in text:
        raise WrongInput(f"model {text}: name the function in the file too, {text}:FUNCTION")
    from ..physics.ode import zoo

    if text not in zoo.names():
        raise WrongInput(
            f"there is no model {text!r}: {near(text, zoo.names())}`worldline models` lists them; a "
            "model of your own is "
            "file.py:function"
        )
    return Model(text, problem=zoo.problem(text))


def complaint(error: Exception, model: Model) -> str:
    """What went wrong while a vector field was evaluated, in one line that names the place in the user's
    file.
    """
    if model.field is not None:
        file = inspect.getsourcefile(model.field)
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
        if frames:
            what = f"{type(error).__name__}: {error}"
            if isinstance(error, KeyError):
                what = f"there is no parameter or component {error}: give its value with NAME=VALUE"
            return f"{model.name}, line {frames[-1].lineno}: {what}"
    return str(error.args[0] if isinstance(error, KeyError) and error.args else error)


def _function(path: str, name: str) -> Callable[..., Any]:
    module = _load(path)
    if name not in vars(module):
        functions = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        there = f"it has {', '.join(functions)}" if functions else "it defines no functions"
        raise WrongInput(f"{path} has no function {name!r}: {near(name, functions)}{there}")
    function = getattr(module, name)
    if not callable(function):
        raise WrongInput(f"{path}:{name} is {type(function).__name__}, not a function field(t, y, p)")
    count = len(inspect.signature(function).parameters)
    if count not in (3, 4):
        raise WrongInput(
            f"{path}:{name} takes {count} arguments; a vector field is field(t, y, p), or field(t, "
            "y, p, u) with a control"
        )
    return function


def _load(path: str) -> ModuleType:
    if not Path(path).is_file():
        raise WrongInput(f"cannot read {path}: there is no such file")
    specification = importlib.util.spec_from_file_location(f"worldline_model_{Path(path).stem}", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.path.insert(0, str(Path(path).resolve().parent))  # a model may import files beside it
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        frames = [
            f for f in traceback.extract_tb(error.__traceback__) if f.filename.endswith(Path(path).name)
        ]
        line = error.lineno if isinstance(error, SyntaxError) else frames[-1].lineno if frames else "?"
        raise WrongInput(f"{path}, line {line}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    return module
