"""The catalogue of pairs, and the folders that a pair lives in.

Imports neither torch nor transformers, so that a command line may ask it in no time.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from services.models.errors import CatalogError, ModelMissing
from services.models.specs import ROLES, CatalogFile, LocalModel, PairSpec, Role

REPOSITORY = Path(__file__).resolve().parents[2]
CATALOG_PATH = REPOSITORY / "models.toml"
MODELS_DIR_VARIABLE = "CASCADE_MODELS_DIR"


def default_models_dir() -> Path:
    """The folder of fetched models: $CASCADE_MODELS_DIR, or `.models` in the repository."""
    return (
        Path(os.environ.get(MODELS_DIR_VARIABLE) or REPOSITORY / ".models").expanduser().absolute()
    )


@dataclass(frozen=True)
class Catalog:
    """The pairs that a catalogue file names."""

    path: Path
    default: str
    pairs: Mapping[str, PairSpec]

    @classmethod
    def load(cls, path: Path = CATALOG_PATH) -> Catalog:
        """Read a catalogue file; local paths in it are relative to it.

        Raises:
            CatalogError: the file is missing, is not TOML, or has a wrong or unknown key.
        """
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
            file = CatalogFile.model_validate(table, context={"root": path.absolute().parent})
        except OSError as error:
            raise CatalogError(f"cannot read {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CatalogError(f"{path} is not TOML: {error}") from error
        except ValidationError as error:
            raise CatalogError(f"{path}: {_first(error)}") from error
        return cls(path=path, default=file.default, pairs=file.pairs)

    def pair(self, name: str) -> PairSpec:
        """The pair of this name.

        Raises:
            CatalogError: there is none; the text lists those that there are.
        """
        if name not in self.pairs:
            raise CatalogError(f"no pair {name!r} in {self.path}; known: {', '.join(self.pairs)}")
        return self.pairs[name]

    def folder(self, name: str, role: Role, models_dir: Path) -> Path:
        """The transformers folder of one model of a pair, whether it is there or not."""
        model = self.pair(name).model(role)
        return model.path if isinstance(model, LocalModel) else models_dir / name / role


def is_present(folder: Path) -> bool:
    """Whether a model's folder is there; folders are renamed into place only when complete."""
    return (folder / "config.json").is_file()


def require(catalog: Catalog, name: str, role: Role, models_dir: Path) -> Path:
    """The folder of one model of a pair.

    Raises:
        CatalogError: the catalogue does not know the pair.
        ModelMissing: the folder is not there.
    """
    folder = catalog.folder(name, role, models_dir)
    if is_present(folder):
        return folder
    if isinstance(catalog.pair(name).model(role), LocalModel):
        raise ModelMissing(f"the {role} of pair {name!r} is not at {folder} (no config.json)")
    raise ModelMissing(
        f"the {role} of pair {name!r} is not in {models_dir}; run: cascade models fetch {name}"
    )


def resolve(
    pair: str | None, models_dir: Path, catalog_path: Path = CATALOG_PATH
) -> tuple[Path, Path]:
    """The folders of a pair's drafter and expert; `None` asks for the default pair.

    Raises:
        CatalogError: the catalogue cannot be read, or does not know the pair.
        ModelMissing: a folder is not there.
    """
    catalog = Catalog.load(catalog_path)
    name = catalog.default if pair is None else pair
    drafter, expert = (require(catalog, name, role, models_dir) for role in ROLES)
    return drafter, expert


def _first(error: ValidationError) -> str:
    """The first of pydantic's complaints as one line, with the key it is about."""
    details = error.errors(include_url=False, include_context=False)
    where = ".".join(str(part) for part in details[0]["loc"] if not str(part).startswith("<"))
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    text = details[0]["msg"].removeprefix("Value error, ")
    return f"{where}: {text}{more}" if where else f"{text}{more}"
