"""`imitax experts`: what the trained experts return, and how to train one again."""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imitax.cli import terminal
from imitax.core.errors import SpecError
from imitax.experts import files, shipped
from imitax.rl.expert_training import check, train
from imitax.rl.recipes import recipe

_HEADER = (
    *("expert", "kind", "final", "snapshot 3", "snapshot 2", "snapshot 1", "random", "required"),
    *("horizon", "kB", "sha256"),
)


def list_experts(args: argparse.Namespace) -> int:
    """Print the table of the shipped experts, and write it where `--markdown` says.

    Raises:
        DataError: an expert's files are damaged.
        SpecError: the file cannot be written.
    """
    manifests = [shipped.expert(name).manifest for name in shipped.names()]
    rows = [row(manifest) for manifest in manifests]
    if args.markdown is not None:
        _write(args.markdown, page(manifests))
    terminal.print_table(_HEADER, rows)
    return 0


def train_expert(args: argparse.Namespace) -> int:
    """Train an expert and write its two files; those of an earlier training are replaced.

    Raises:
        SpecError: no such recipe, a seed out of range, or a directory that cannot be written to.
    """
    chosen = recipe(args.name)
    check(chosen, args.seed)
    _check_folder(args.out)
    print(f"Training {args.name}: {chosen.runs} runs of {chosen.rounds} rounds\n", flush=True)
    known = shipped.expert(args.name).manifest["sha256"] if args.name in shipped.names() else None
    trained = train(chosen, args.seed)
    path = files.write(args.out, trained.manifest, trained.policies)
    manifest = files.read(args.out, args.name).manifest
    terminal.print_table(_HEADER, [row(manifest)])
    print(f"\n{verdict(manifest, known)}\nFiles: {path} and {path.with_suffix('.npz').name}")
    return 0


def row(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """A line of the table."""
    found, required = manifest["snapshots"], manifest["recipe"]["required"]
    return (
        manifest["name"],
        manifest["kind"],
        *(show(found[snapshot]) for snapshot in reversed(files.SNAPSHOTS)),
        show(manifest["random"]),
        "" if required is None else f"{required:g}",
        str(found["final"]["horizon"]),
        f"{manifest['bytes'] / 1000:.0f}",
        manifest["sha256"][:12],
    )


def show(measured: Mapping[str, Any]) -> str:
    """A return with its 95% interval."""
    mean, low, high = (measured[key] for key in ("mean", "low", "high"))
    digits = 1 if abs(mean) >= 10 else 3
    if low == high:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def verdict(manifest: Mapping[str, Any], known: str | None) -> str:
    """How long it took, whether the expert is good enough, and whether it is the shipped one."""
    mean, required = manifest["snapshots"]["final"]["mean"], manifest["recipe"]["required"]
    words = [f"{manifest['environment_steps']:,} steps in {manifest['wall_seconds']:.0f} s"]
    if required is not None:
        words.append(
            f"the required {required:g} is {'reached' if mean >= required else 'not reached'}"
        )
    if known is not None:
        same = known == manifest["sha256"]
        words.append(f"{'the same weights as' if same else 'other weights than'} the shipped ones")
    return "; ".join(words)


def page(manifests: Sequence[Mapping[str, Any]]) -> str:
    """The table and where its numbers come from, as Markdown."""
    from imitax.bench.report import markdown

    lines = [
        "# Trained experts",
        "",
        "Mean undiscounted return over fresh episodes with its 95% interval; written by "
        "`imitax experts list --markdown FILE` from the manifests beside the weights.",
        "",
        markdown.markdown(_HEADER, [row(manifest) for manifest in manifests]),
        "",
        "## Training",
        "",
        markdown.markdown(_TRAINING, [training_row(manifest) for manifest in manifests]),
    ]
    methods = dict.fromkeys(manifest["method"] for manifest in manifests)
    return "\n".join([*lines, *(f"\n{method}" for method in methods)]) + "\n"


_TRAINING = ("expert", "seed", "episodes", "steps of all runs", "seconds", "hardware", "versions")


def training_row(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """What a training took."""
    versions = ", ".join(f"{name} {text}" for name, text in manifest["versions"].items())
    return (
        manifest["name"],
        str(manifest["seed"]),
        f"{manifest['snapshots']['final']['episodes']:,}",
        f"{manifest['environment_steps']:,}",
        f"{manifest['wall_seconds']:.0f}",
        manifest["hardware"],
        versions,
    )


def _check_folder(folder: Path) -> None:
    """Make the folder before anything is computed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(
            f"--out {folder} cannot be made ({error.strerror}); choose another"
        ) from None
    if not os.access(folder, os.W_OK):
        raise SpecError(f"--out {folder} is not writable; choose another")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SpecError(
            f"--markdown {path} cannot be written ({error.strerror}); choose another"
        ) from None
