"""The commands, and the reading of a command line: what is wrong with it becomes one sentence."""

from __future__ import annotations

import difflib
import inspect
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.main import get_command

from .. import __version__
from ..errors import did_you_mean
from .doctor import Doctor
from .evaluate import Evaluate
from .guard import CommandLineError
from .parity import Parity
from .plot import Plot
from .predict import Predict
from .show import Show
from .train import Train

# A command is a dataclass: its fields are the arguments and options, its docstring the help, and its call does the work.
COMMANDS: dict[str, Callable[..., Callable[[], int]]] = {
    "train": Train,
    "evaluate": Evaluate,
    "predict": Predict,
    "show": Show,
    "plot": Plot,
    "parity": Parity,
    "doctor": Doctor,
}

app = typer.Typer(
    add_completion=False, rich_markup_mode="rich", context_settings={"help_option_names": ["-h", "--help"]}
)
for name, command in COMMANDS.items():
    # Lines of a docstring end where ours do; Typer fills its first paragraph only.
    app.command(name, help=re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(command.__doc__ or "")))(command)


@app.callback(invoke_without_command=True)
def nnbackend(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Neural networks from scratch, on NumPy or on a CUDA GPU.

    [bold]nnbackend train spiral[/bold] trains the network of the book's chapter 14.
    """
    if version:
        print(f"nnbackend {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit


# Typer carries a Click of its own or uses the installed one; either way this is the base of its errors.
UsageError: Any = typer.BadParameter.__base__


def parse(arguments: Sequence[str] | None = None) -> Callable[[], int]:
    """The command that a command line asks for, ready to be called; `CommandLineError` if it asks for none."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    _refuse_empty(arguments)
    try:
        job = get_command(app).main(args=arguments, prog_name="nnbackend", standalone_mode=False)
    except UsageError as error:
        raise CommandLineError(_sentence(error, arguments)) from None
    if not callable(job):
        return lambda: int(job or 0)  # --help and --version have done their work already
    if isinstance(job, Train):
        vars(job)["command_line"] = shlex.join(["nnbackend", *arguments])
    return job


def _refuse_empty(arguments: Sequence[str]) -> None:
    """An empty value is what a shell makes of a variable that was never set; as a path it would be the current folder."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option = argument.removesuffix("=") if argument.startswith("--") and argument.endswith("=") else ""
        if not argument or option:
            option = option or (before if before.startswith("-") else "an argument")
            raise CommandLineError(f"{option} is empty: expected a value; see {_path(arguments)} --help")


def _sentence(error: Any, arguments: Sequence[str]) -> str:
    """Typer's complaint in our form: the value, what was expected, and where to read on."""
    message = error.format_message().strip().rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else _path(arguments)
    if unknown := re.match(r"No such command '(.+?)'", message):
        return f"unknown command {unknown[1]!r}: {did_you_mean(unknown[1], COMMANDS)}; see nnbackend --help"
    if unknown := re.match(r"No such option:? '?(-+[\w-]*)", message):
        known = [option for parameter in context.command.params for option in parameter.opts] if context else []
        # Of -epochs Typer names the first letter alone.
        option = next((given for given in arguments if given.startswith(unknown[1])), unknown[1]).partition("=")[0]
        close = _nearest_option(option, known)
        hint = f": did you mean {close!r}? See" if close else "; see"
        return f"unknown option {option!r}{hint} {path} --help"
    if extra := re.match(r"Got unexpected extra arguments?(?:\(s\))? \((.+)\)", message):
        return f"unexpected argument {extra[1]!r}; see {path} --help"
    if invalid := re.match(r"Invalid value for '(--[\w-]+)': Input should be", message):  # numbers, all of them
        kind, words = (int, "a whole number") if "integer" in message else (float, "a number")
        return f"{invalid[1]} {_given(invalid[1], kind, arguments)!r}: expected {words}; see {path} --help"
    return f"{message[:1].lower()}{message[1:]}; see {path} --help"


def _nearest_option(option: str, known: Sequence[str]) -> str:
    """The known option that is most like it, or whose words begin with its letters (--lr); nothing if none is."""
    names = {name.lstrip("-"): name for name in known if name.startswith("--")}
    given = option.lstrip("-").lower()
    short = [word for word in names if len(given) > 1 and "".join(part[:1] for part in word.split("-")) == given]
    return next((names[word] for word in [*short, *difflib.get_close_matches(given, names, n=1)]), "")


def _path(arguments: Sequence[str]) -> str:
    """The command that is meant, as far as one can see: not all of Typer's errors know."""
    return f"nnbackend {arguments[0]}" if arguments and arguments[0] in COMMANDS else "nnbackend"


def _given(option: str, kind: type[int] | type[float], arguments: Sequence[str]) -> str:
    """What stands on the command line for an option, the first that is no such number: Typer's errors do not keep it."""
    value = ""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument == option or argument.startswith(option + "="):
            value = following if argument == option else argument.removeprefix(option + "=")
            try:
                kind(value)
            except ValueError:
                break
    return value
