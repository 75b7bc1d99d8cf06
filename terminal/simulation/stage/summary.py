"""The morning as a table and a picture made of letters."""

from __future__ import annotations

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from terminal.simulation.stage.cashier import in_words
from terminal.simulation.stage.morning import Report, state_of

BAR_COLUMNS = 72
COLOURS = {"captured": "green", "reversed": "yellow", "refused": "red", "nothing": "bright_black"}


def money(minor: int) -> str:
    """12.34"""
    return f"{minor // 100}.{minor % 100:02d}"


def table(report: Report) -> Table:
    """One row for each act: what the register heard, what the ledger says, whether that is as it must be."""
    out = Table(title="The morning at the till", title_style="bold", header_style="dim", row_styles=["", "on grey7"])
    for heading in ("", "what happened", "EUR", "register", "ledger", "s", ""):
        out.add_column(heading, justify="right" if heading in ("", "EUR", "s") else "left")
    for number, one in enumerate(report.played, 1):
        state = state_of(one.act.amount_minor, report.ledger)
        well = not any(trouble.startswith(one.act.title + ":") for trouble in report.troubles)
        result = one.result
        said = "not played" if result is None else in_words(result.verdict, result.text, result.learnt_later)
        out.add_row(
            str(number), one.act.title, money(one.act.amount_minor),
            Text(said, "green" if one.done else "red"),
            Text(state, COLOURS.get(state, "magenta")), f"{one.took_s:.1f}", Text("✓", "green") if well else Text("✗", "bold red"),
        )  # fmt: skip
    return out


def strip(report: Report) -> Text:
    """The morning as one line: each act as wide as it took, in the colour of how it stands in the ledger."""
    whole = sum(one.took_s for one in report.played) or 1.0
    out = Text()
    for number, one in enumerate(report.played, 1):
        width = max(2, round(BAR_COLUMNS * one.took_s / whole))
        state = state_of(one.act.amount_minor, report.ledger)
        out.append(str(number).center(width), f"black on {COLOURS.get(state, 'magenta')}")
    return out


def show(report: Report, console: Console) -> None:
    """Print it all, ending with the verdict."""
    console.print(table(report))
    paid = sum(one.done for one in report.played)
    r = report.reckoning
    sums = Table.grid(padding=(0, 2))
    sums.add_row("register has as paid", Text(money(r.register_minor), "bold"), f"in {paid} purchases")
    sums.add_row("ledger has captured", Text(money(r.ledger_minor), "bold"), f"of {len(report.ledger)} in its books")
    if report.troubles:
        verdict = Text("\n".join(f"✗ {trouble}" for trouble in report.troubles), "red")
    else:
        verdict = Text("✓ Register and ledger agree to the cent, and every act ended as it had to.", "bold green")
    console.print(
        Panel(Group(strip(report), "", sums, "", verdict), border_style="red" if report.troubles else "green", expand=False)
    )
