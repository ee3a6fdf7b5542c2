"""`python -m services.models list` and `python -m services.models fetch [PAIR]`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.models.catalog import CATALOG_PATH, Catalog, default_models_dir, is_present
from services.models.errors import ModelsError
from services.models.specs import ROLES, DownloadedModel, Role

app = typer.Typer(help="The pairs of models: list and fetch them.", no_args_is_help=True)

ModelsDir = Annotated[
    Path | None,
    typer.Option("--dir", help="Folder of fetched models [default: $CASCADE_MODELS_DIR, .models]"),
]
CatalogFileOption = Annotated[
    Path, typer.Option("--catalog", help="The catalogue of pairs", show_default="models.toml")
]


@app.command("list")
def list_pairs(directory: ModelsDir = None, catalog: CatalogFileOption = CATALOG_PATH) -> None:
    """Show the pairs, and what of them is present."""
    models_dir = (directory or default_models_dir()).expanduser().absolute()
    pairs = Catalog.load(catalog)
    rows = [("PAIR", "ROLE", "MODEL", "STATE", "LICENCE")]
    for name, pair in pairs.pairs.items():
        title = f"{name} (default)" if name == pairs.default else name
        rows += [
            (
                title,
                role,
                pair.model(role).title,
                _state(pairs, name, role, models_dir),
                pair.licence or "-",
            )
            for role in ROLES
        ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


@app.command()
def fetch(
    pair: Annotated[str | None, typer.Argument(help="The pair [default: as models.toml]")] = None,
    directory: ModelsDir = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the downloaded files")] = False,
    catalog: CatalogFileOption = CATALOG_PATH,
) -> None:
    """Download a pair, check it, and convert it into folders; go on where a fetch stopped."""
    from services.models.fetch import fetch_pair
    from services.models.progress import FetchProgress

    models_dir = (directory or default_models_dir()).expanduser().absolute()
    pairs = Catalog.load(catalog)
    name = pair or pairs.default
    with FetchProgress(Console(stderr=True)) as progress:
        fetch_pair(pairs, name, models_dir, progress, keep=keep)
    for role in ROLES:
        print(f"{role}: {pairs.folder(name, role, models_dir)}")


def _state(catalog: Catalog, name: str, role: Role, models_dir: Path) -> str:
    if is_present(catalog.folder(name, role, models_dir)):
        return "present"
    model = catalog.pair(name).model(role)
    if isinstance(model, DownloadedModel):
        return f"to fetch, {model.size / 1e9:.2f} GB"
    return f"missing at {model.path}"


def main() -> None:
    """Run a command; failures are one line on standard error and exit status 2."""
    try:
        app()
    except (ModelsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
