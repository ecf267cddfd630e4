"""``encbench``: the group of verbs; a verb's module is loaded only when the verb runs."""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from importlib import metadata
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from typer.core import TyperCommand

from encbench.cli.console import print_line
from encbench.errors import EncbenchError, PluginError, UsageError, did_you_mean, error_line
from encbench.plugins.parameters import plain_reason
from encbench.plugins.registry import Offer, Registry, default_registry, named_failures

EXIT_NOT_OK = 1
EXIT_USAGE = 2
WITHOUT_PLUGINS = ("data", "doctor", "export", "merge", "plugins", "show")
"""Verbs that need no plug-in or report broken ones themselves."""

HELP = """Which input encoding should a coordinate network use, and why?

Crosses encodings with tasks, trains a small MLP on each pair, records quality, cost and the NTK
eigenvalue spectrum, and renders a leaderboard.

\b
Examples:
  encbench run                                     the packaged quick suite
  encbench run -e identity -e ffe:levels=8 -t image:image=photo.jpg,side=128 -o results/mine
  encbench list                                    encodings and tasks
  encbench list mpe                                parameters, equation, source
  encbench leaderboard results/mine                tables and plots of a results folder

Exit codes: 0 all well, 1 some cells not ok or results not writable, 2 wrong usage, 130 interrupted.
"""


def start() -> None:
    """Run the verb that the command line names."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a stream whose encoding lacks λ gets an escape instead of a traceback
            stream.reconfigure(errors="backslashreplace")
    errors = Console(stderr=True)
    logger = logging.getLogger("encbench")
    logger.addHandler(_LogLines(errors))
    try:
        build(default_registry(), sys.argv[1:])(prog_name="encbench")
    except EncbenchError as error:
        if error.__cause__ is not None:  # what a plug-in raised
            logger.debug("%s", "".join(traceback.format_exception(error.__cause__)).rstrip())
        print_line(errors, f"error: {error}", "red")
        sys.exit(EXIT_USAGE if isinstance(error, UsageError) else EXIT_NOT_OK)
    except BrokenPipeError:
        # the reader of the pipe has exited: `encbench list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_NOT_OK)
    except Exception as error:
        # such as an unreadable folder or a plug-in's error; -v shows the traceback
        if logger.isEnabledFor(logging.DEBUG):
            raise
        print_line(errors, f"error: {_in_one_line(error)}", "red")
        sys.exit(EXIT_NOT_OK)


def _in_one_line(error: Exception) -> str:
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC and error.filename is None:  # files are named
            return f"cannot write standard output: {error.strerror}"
        where = f": {error.filename}" if error.filename is not None else ""
        text = f"{error.strerror or error}{where}"
    else:
        from encbench.device import lacks_memory  # torch

        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        text = f"{error_line(error)}{notes}"
        if lacks_memory(error):
            text = f"not enough memory, take something smaller: {text}"
    return f"{text}; `encbench -v` shows the traceback"


class _LogLines(logging.Handler):
    """Prints each message on one line; rich's own handler wraps at 80 columns in a log file."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if record.levelno > logging.DEBUG:  # a path may have line breaks
            line = line.replace("\n", r"\n")
        if record.levelno != logging.INFO:
            line = f"{record.levelname.lower()}: {line}"
        print_line(self._console, line, "yellow" if record.levelno >= logging.WARNING else None)


def build(registry: Registry, arguments: list[str]) -> typer.Typer:
    """Return the program; only the verb that the arguments name is loaded.

    The others are stubs (with the first line of their help if all verbs are listed), so that
    ``encbench list`` does not import what ``encbench run`` needs.
    """
    app = typer.Typer(
        help=HELP,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    listed = wanted is None or not {"-h", "--help"}.isdisjoint(arguments)
    offers = sorted(registry.offers("command"), key=_is_third_party)
    for name in dict.fromkeys(offer.name for offer in offers):
        if name == wanted:
            verb = registry.find("command", name).load()
        else:
            verb = _stub(offers, name, listed)
        app.command(name, cls=_Verb)(verb)
    return app


class _Verb(TyperCommand):
    """A command that rejects a repeated option; click would silently use the last value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for option, times in Counter(given).items():
            single = option.param_type_name == "option" and not getattr(option, "multiple", False)
            said = [name for name in (*option.opts, *option.secondary_opts) if name in args]
            if option.secondary_opts and len(said) > 1:
                raise UsageError(f"{' and '.join(said)} are both given; give one of them")
            if times > 1 and single:
                raise UsageError(f"{option.opts[-1]} is given {times} times; give it once")
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")  # added by pydantic
            if " is not one of " in error.message:
                refused, *choices = re.findall("'([^']*)'", error.message)
                near = did_you_mean(refused, choices)
                error.message = error.message.removesuffix(".") + (near or ".")
            elif isinstance(error.__context__, ValidationError) and error.param is not None:
                problem = error.__context__.errors()[0]
                name, reason = error.param.opts[-1], plain_reason(problem).removeprefix("it ")
                raise UsageError(f"{name} {problem['input']}: {reason}") from None
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; if it is encbench's, ``sys.exit`` in a plug-in it calls is an error.

        A plug-in's own verb may exit; any other exception that it raises names the plug-in.
        """
        registry = default_registry()
        offer = registry.find("command", ctx.info_name)
        if offer.distribution != "encbench":
            with named_failures(lambda error: "" if _is_ending(error) else str(offer)):
                return super().invoke(ctx)
        try:
            return super().invoke(ctx)
        except SystemExit as error:
            if isinstance(error.__context__, BrokenPipeError):  # rich exits on one
                raise error.__context__ from None
            frames = traceback.walk_tb(error.__traceback__)
            modules = [str(frame.f_globals.get("__name__")) for frame, _ in frames]
            tops = {module.partition(".")[0] for module in modules}
            named = [
                str(plugin)
                for plugin in registry.host.plugins
                if plugin.module.partition(".")[0] in tops and plugin.distribution != "encbench"
            ]
            raise PluginError(
                f"plug-in {' or '.join(named) or modules[-1]} ended the program by "
                f"{error_line(error)}; it must raise an error instead"
            ) from error


def _is_ending(error: BaseException) -> bool:
    """Whether a verb ends deliberately: wrong usage, an exit, Ctrl-C or a broken pipe."""
    ways = (EncbenchError, KeyboardInterrupt, SystemExit, BrokenPipeError)
    of_typer = (cls.__module__.partition(".")[0] == "typer" for cls in type(error).__mro__)
    return isinstance(error, ways) or any(of_typer)


def _is_third_party(offer: Offer) -> bool:
    """Whether a plug-in offers the verb; the overview lists the framework's own verbs first."""
    return not str(offer.target).startswith("encbench.")


def _stub(offers: list[Offer], name: str, listed: bool) -> Callable[[], None]:
    def stub() -> None:
        raise PluginError(f"the verb {name!r} was not recognized on the command line")

    if listed:  # parsing the sources of all verbs takes 0.1 s
        stub.__doc__ = next(offer.summary() for offer in offers if offer.name == name)
    return stub


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"encbench {metadata.version('encbench')}")
        raise typer.Exit


def _options(
    ctx: typer.Context,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Also print debug messages.")
    ] = False,
    strict_plugins: Annotated[
        bool,
        typer.Option("--strict-plugins", help="Make any broken plug-in an error, not a warning."),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    logger = logging.getLogger("encbench")
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    broken = [f"{plugin}: {plugin.problem}" for plugin in default_registry().host.broken()]
    if broken and strict_plugins:
        raise PluginError(f"broken plug-in {'; '.join(broken)}")
    helped = not {"-h", "--help"}.isdisjoint(sys.argv)
    for line in [] if helped or ctx.invoked_subcommand in WITHOUT_PLUGINS else broken:
        logger.warning("broken plug-in %s; `encbench plugins --trace` shows the traceback", line)
