"""`vfm-course models`: the giants in a table, and one of them taken apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from vfm_course.families.systems import Size, System


def models(
    name: Annotated[
        str, typer.Argument(help="A system or one of its sizes, such as dinov3-7b; all if not given.")
    ] = "",
    classes: Annotated[int, typer.Option(min=0, help="Add a linear head for so many classes on the frozen rest.")] = 0,
) -> None:
    """List the systems of the course, or show what one of them is made of, at real size and without a download."""
    from rich.console import Console

    from vfm_course.families.systems import find

    if name:
        _show(Console(), *find(name), classes)
    else:
        _list(Console())


def tokens_of(size: Size) -> str:
    """Tokens of one picture, CLS and registers after a plus."""
    from vfm_course.families.systems import UNKNOWN

    if size.tokens is None:
        return "any" if size.image_size is None and size.patch_size else UNKNOWN
    # CLS and registers of an encoder stand beside its patches; a connector has left them behind.
    beside = size.extra_tokens if size.extra_tokens and size.tokens == size.patches else 0
    return f"{size.tokens:,} + {beside}" if beside else f"{size.tokens:,}"


def _list(console: Console) -> None:
    from rich.padding import Padding

    from vfm_course.families.systems import SYSTEMS, short, shown

    def line(name: str, count: str, patch: str, tokens: str, licence: str) -> str:
        return f"  {name:<20}{count:>9}  {patch:>7}  {tokens:>9}  {licence}"

    console.print(line("", "params", "patch", "tokens", "licence"), style="dim", highlight=False)
    group = ""
    for system in SYSTEMS.values():
        if system.group != group:
            group = system.group
            console.print(f"\n[bold underline]{group.capitalize()}[/]")
        console.print(f"[bold]{system.title}[/]", highlight=False)
        when = f"Reach for it when {system.reach_for_when}."
        console.print(Padding(when, (0, 0, 0, 2)), style="italic", highlight=False, markup=False)
        for size in system.sizes:
            licence = (
                shown(size.licence) + (", gated" if size.gated else "") + (", not here" if size.unloadable else "")
            )
            row = line(size.full_name, short(size.parameters), shown(size.patch_size), tokens_of(size), licence)
            console.print(row, highlight=False, markup=False)
    console.print(
        "\n`vfm-course models NAME` takes one apart. Tokens are those of one picture, CLS and registers after the "
        "plus; `any`: they follow its size. `unknown` could not be confirmed; what is `not here` cannot be loaded.",
        markup=False,
        highlight=False,
    )


def _show(console: Console, system: System, size: Size, classes: int) -> None:
    from rich.markup import escape
    from rich.table import Table

    from vfm_course.families.systems import shown

    facts = Table(box=None, pad_edge=False, show_header=False)
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    where = f"{size.hub_id} at {size.revision[:8] if size.revision else 'an unknown revision'}" if size.hub_id else None
    for heading, fact in (
        ("learns by", system.objective),
        ("from", system.signal),
        ("strongest at", system.strongest_at),
        ("reach for it when", system.reach_for_when),
        ("on the hub", where),
        ("licence", shown(size.licence) + (", gated: accept it on the hub first" if size.gated else "")),
        ("classes", " + ".join(filter(None, (size.model_class, size.processor_class))) if size.model_class else "none"),
        ("picture", f"{size.image_size} px" if size.image_size else "any size"),
        ("patch", f"{size.patch_size} px" if size.patch_size else None),
        ("tokens", tokens_of(size)),
        ("preprocessing", size.preprocessing),
        ("paper", f"{system.citation}, arXiv:{system.arxiv}"),
        ("note", " ".join(filter(None, (system.note, size.note))) or "none"),
    ):
        facts.add_row(heading, escape(shown(fact)))
    console.print(f"[bold]{system.title}[/], {size.full_name}\n")
    console.print(facts)
    if size.unloadable:
        console.print(f"\nNot loadable here: {size.unloadable}.", markup=False)
    if not size.model_class:
        return
    _anatomy(console, size.full_name, classes)


def _anatomy(console: Console, name: str, classes: int) -> None:
    from rich.table import Table

    from vfm_course.families.anatomy import anatomy

    found = anatomy(name, classes=classes)
    parts = Table("part", box=None, pad_edge=False)
    for heading in ("parameters", "share"):
        parts.add_column(heading, justify="right")
    for part, number in found.parts.items():
        parts.add_row(part, f"{number:,}", f"{number / found.parameters:.1%}")
    parts.add_row("[bold]all[/]", f"[bold]{found.parameters:,}[/]", "")
    if classes:
        parts.add_row("trained", f"{found.trainable:,}", f"{found.trainable / found.parameters:.3%}")
    console.print()
    console.print(parts)
    published = found.size.parameters
    if published is None:
        console.print("published: unknown")
    else:
        apart = "the count agrees" if abs(found.difference) < 5e-5 else f"the count is {found.difference:+.2%} off"
        console.print(f"published: {published:,} ({apart})", highlight=False)
    if found.size.difference:
        console.print(found.size.difference, markup=False, highlight=False)
    console.print(
        f"weights: {found.bytes_fp32 / 1e9:.2f} GB in fp32, {found.bytes_bf16 / 1e9:.2f} GB in bf16", highlight=False
    )
    work = Table(f"work on {_one(found.size)}", box=None, pad_edge=False)
    work.add_column("GFLOPs", justify="right")
    for stage, number in found.flops.items():
        mark = " (by formula)" if stage in found.by_formula else ""
        work.add_row(stage + mark, f"{number / 1e9:,.1f}")
    work.add_row("[bold]all[/]", f"[bold]{(found.total_flops or 0) / 1e9:,.1f}[/]")
    console.print()
    console.print(work)


def _one(size: Size) -> str:
    """What the work is counted for."""
    if size.frames > 1:
        return f"a clip of {size.frames} frames of {size.side} px"
    return f"one picture of {size.side} px"
