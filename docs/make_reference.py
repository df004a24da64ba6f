"""Write docs/commands.md and docs/api.md from what the product says of itself.

Run it after a change of an option or of a public docstring: ``python docs/make_reference.py``;
tests/test_docs_site.py compares.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from pixelreg.commands.main import cli

HERE = Path(__file__).resolve().parent
NOTE = "<!-- Made by docs/make_reference.py: change what it reads, and run it again. -->\n"
# What users import: module -> its names, in the order of the page.
PUBLIC = {
    "pixelreg": ("load", "translate", "Translator", "PixelregError"),
    "pixelreg.regression": (
        *("PixelRidge", "PixelKernelRidge", "MaskedRidge", "FullRidge", "FlowRidge"),
        "estimator_class",
    ),
    "pixelreg.data.layouts": ("scan", "layout_names"),
    "pixelreg.data.pairs": ("pair",),
    "pixelreg.models.file": ("load", "save"),
    "pixelreg.evaluation.metrics": ("psnr", "ssim", "mae"),
    "pixelreg.faces.locate": ("Locator",),
    "pixelreg.faces.dense": ("DenseFinder",),
}


# ---- commands


def every_command(
    command: click.Command, context: click.Context
) -> Iterator[tuple[click.Command, click.Context]]:
    """A command and all that is below it, in the order of its help."""
    yield command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            below = click.Context(found, info_name=name, parent=context)
            yield from every_command(found, below)


def commands_page() -> str:
    """Every command with its help and its options."""
    root = click.Context(cli, info_name="pixelreg")
    parts = [
        "# Commands\n",
        "Every command, as `pixelreg COMMAND --help` tells it. All take `-h` and `--help`.\n",
    ]
    for command, context in every_command(cli, root):
        parts += [f"## {context.command_path}\n", f"```text\n{usage(command, context)}\n```\n"]
        parts += [*paragraphs(command.help or ""), *below(command, context)]
        parts += options_table([each for each in command.params if isinstance(each, click.Option)])
    return NOTE + "\n" + "\n".join(parts)


def usage(command: click.Command, context: click.Context) -> str:
    words = [context.command_path]
    if any(isinstance(param, click.Option) for param in command.params):
        words.append("[OPTIONS]")
    for param in command.params:
        if isinstance(param, click.Argument):
            words.append(param.metavar or str(param.name).upper() + "..." * (param.nargs == -1))
    return " ".join([*words, *["COMMAND ..."] * isinstance(command, click.Group)])


def paragraphs(text: str) -> Iterator[str]:
    """A command's help: what click is told not to wrap is code."""
    for part in inspect.cleandoc(text).split("\n\n"):
        if part.startswith("\b"):
            head, *lines = part.removeprefix("\b").strip("\n").splitlines()
            yield f"{head}\n\n```\n{inspect.cleandoc(chr(10).join(lines))}\n```\n"
        elif part:
            yield f"{part}\n"


def below(command: click.Command, context: click.Context) -> Iterator[str]:
    """What a group holds."""
    if not isinstance(command, click.Group):
        return
    lazy = getattr(command, "lazy", {})
    yield "| command | what it does |\n|---|---|"
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        told = lazy[name][1] if name in lazy else found.get_short_help_str(200) if found else ""
        path = f"{context.command_path} {name}"
        yield f"| [`{name}`](#{path.replace(' ', '-')}) | {cell(told)} |"
    yield ""


def options_table(options: list[click.Option]) -> Iterator[str]:
    if options:
        yield "| option | value | default | what it does |\n|---|---|---|---|"
        for option in options:
            names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
            told, default = help_and_default(option)
            yield f"| {names} | {cell(value_of(option))} | {cell(default)} | {cell(told)} |"
        yield ""


def value_of(option: click.Option) -> str:
    """What an option takes, in words."""
    kind = option.type
    if option.is_flag:
        return ""
    if option.metavar:
        return option.metavar
    if isinstance(kind, click.Choice):
        return ", ".join(f"`{choice}`" for choice in kind.choices)
    if isinstance(kind, (click.IntRange, click.FloatRange)):
        word = "whole number" if isinstance(kind, click.IntRange) else "number"
        low = "" if kind.min is None else f" {'above' if kind.min_open else 'from'} {kind.min}"
        high = "" if kind.max is None else f" {'below' if kind.max_open else 'to'} {kind.max}"
        return word + low + high
    plain = {"integer": "whole number", "float": "number", "text": "text"}
    return plain.get(kind.name, kind.name)


def help_and_default(option: click.Option) -> tuple[str, str]:
    """What an option is for, and its default, which the help may tell in words."""
    told = " ".join((option.help or "").split())
    in_words = re.search(r" ?\[default: ([^\]]*)\]", told)
    if in_words:
        return told.replace(in_words[0], ""), in_words[1]
    if not option.show_default or option.default is None:
        return told, ""
    if isinstance(option.default, bool) and option.secondary_opts:
        names = option.opts if option.default else option.secondary_opts
        return told, f"`{names[0]}`"
    return told, "" if option.default is False else f"`{option.default}`"


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# ---- the API


def api_page() -> str:
    """Every public call and class, by its docstring."""
    parts = ["# Python reference\n", "How they are used is told in [Python](python.md).\n"]
    for module, names in PUBLIC.items():
        held = import_module(module)
        parts.append(f"## {module}\n")
        if module != "pixelreg":
            parts += prose(inspect.getdoc(held) or "")
        for name in names:
            parts += described(getattr(held, name), f"{module}.{name}", "###")
    return NOTE + "\n" + "\n".join(parts)


def described(thing: Any, name: str, level: str) -> Iterator[str]:
    yield f"{level} {name}\n"
    yield f"```text\n{name.rpartition('.')[2]}{signature(thing)}\n```\n"
    yield from prose(inspect.getdoc(thing) or "")
    if inspect.isclass(thing):
        for method, value in sorted(members(thing).items()):
            if isinstance(value, property):
                yield f"{level}# {thing.__name__}.{method}\n"
                yield from prose(inspect.getdoc(value) or "")
            else:
                yield from described(value, f"{thing.__name__}.{method}", f"{level}#")


def members(cls: type[Any]) -> dict[str, Any]:
    """The public methods and properties of a class that pixelreg itself has written."""
    found = {}
    for name in dir(cls):
        value = inspect.getattr_static(cls, name)
        if isinstance(value, (classmethod, staticmethod)):
            value = getattr(cls, name)  # bound: its base tells of it where it does not itself
        ours = str(getattr(getattr(value, "fget", value), "__module__", "")).startswith("pixelreg")
        if not name.startswith("_") and ours and (callable(value) or isinstance(value, property)):
            found[name] = value
    return found


def signature(thing: Any) -> str:
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return ""
    bare = inspect.Parameter.empty
    named = [each for name, each in found.parameters.items() if name not in ("self", "cls")]
    shown = [each.replace(annotation=bare) for each in named]
    return str(found.replace(parameters=shown, return_annotation=inspect.Signature.empty))


def prose(doc: str) -> Iterator[str]:
    """A docstring as Markdown: titles of numpydoc's sections in bold, what they list as a list."""
    doc = re.sub(r"::$", ":", doc, flags=re.MULTILINE)
    doc = re.sub(r":(?:func|mod|class):`([^`]+)`", r"`\1`", doc)
    head, *sections = re.split(r"^(\w[\w ]*)\n-{3,}\n", doc, flags=re.MULTILINE)
    yield listed(head) + "\n"
    for title, text in zip(sections[::2], sections[1::2], strict=True):
        yield f"**{title}**\n"
        yield listed(text, always=title != "Returns") + "\n"


def listed(text: str, always: bool = False) -> str:
    """Lines such as ``name : what it is`` as items; what is indented below one belongs to it."""
    lines, inside = [], False
    for line in text.strip("\n").splitlines():
        item = re.fullmatch(r"([\w*][\w, *\[\].]*) : (.*)", line)
        if item or (always and re.fullmatch(r"\w+(, \w+)*", line)):
            first = not inside and bool(lines) and bool(lines[-1])
            lines += [""] * first
            lines.append(f"- `{item[1]}`: {item[2]}" if item else f"- `{line}`:")
            inside = True
        elif inside and line.startswith("    "):
            lines.append(f"  {line.strip()}")
        else:
            inside = inside and not line.strip()
            lines.append(line)
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """The pages' texts by their names."""
    made = {"commands.md": commands_page(), "api.md": api_page()}
    return {name: re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n" for name, text in made.items()}


if __name__ == "__main__":
    for page, text in pages().items():
        (HERE / page).write_text(text, encoding="utf-8")
