"""Chat templates: Jinja sources that come with a model and write its prompt from messages.

The environment is the one in which transformers' ``apply_chat_template`` renders, so that a model
sees the prompt that its authors meant.  A template is foreign code: it runs in Jinja's sandbox.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import Environment, TemplateError, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from router.text.errors import ChatTemplateError

_LONGEST_REASON = 300
"""Characters of a template's own error text that are passed on."""


@dataclass(frozen=True)
class Message:
    """One message of a conversation."""

    role: str
    """What the template knows: system, user, assistant."""
    content: str
    """The text."""


class ChatTemplate:
    """A compiled chat template."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        """``special_tokens`` are strings that a template refers to by name (``bos_token``, ...).

        Raises ChatTemplateError where ``source`` is not a template.
        """
        self._special_tokens = dict(special_tokens)
        try:
            self._template = _environment().from_string(source)
        except TemplateSyntaxError as error:
            reason = _one_line(error.message or "syntax error")
            raise ChatTemplateError(f"chat template, line {error.lineno}: {reason}") from error
        except Exception as error:  # foreign code: also Python's own SyntaxError, RecursionError
            reason = _one_line(str(error) or type(error).__name__)
            raise ChatTemplateError(f"chat template can't be compiled: {reason}") from error

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt, up to where the model's answer begins.

        Raises ChatTemplateError where there are no messages or the template fails on them.
        """
        if not messages:
            raise ChatTemplateError("chat template: needs at least one message, got none")
        variables: dict[str, Any] = {
            **self._special_tokens,
            "messages": [asdict(message) for message in messages],
            "tools": None,
            "documents": None,
            "add_generation_prompt": True,
        }
        try:
            return self._template.render(variables)
        except Exception as error:  # foreign code: not only TemplateError, also TypeError and so on
            reason = _one_line(str(error) or type(error).__name__)
            raise ChatTemplateError(f"chat template failed on the messages: {reason}") from error


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_REASON else line[: _LONGEST_REASON - 1] + "…"


class _GenerationBlock(Extension):
    """``{% generation %}`` marks answers for training; in a prompt it is a scope like any other."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body).set_lineno(line)


class _Dict:
    """Stands for ``dict`` without the attributes of a Python type."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _CheckedNamespace(Namespace):
    """A namespace that stores no name with a leading underscore: those reach into Python."""

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _namespace(*args: Any, **kwargs: Any) -> Namespace:
    attributes = dict(*args, **kwargs)
    for name in attributes:
        _check_name(name)
    return _CheckedNamespace(attributes)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace can't have an attribute {name!r}")


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(layout: str) -> str:
    return datetime.now().strftime(layout)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as models were trained on it; Jinja's own filter escapes for HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    environment.globals["dict"] = _Dict()
    environment.globals["namespace"] = _namespace
    return environment
