"""Files of prompts: what is read, and what is refused in one line."""

from pathlib import Path

import pytest

from services.calibrate.errors import BadPrompts
from services.calibrate.prompts import Prompt, read_prompts


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_plain_text_has_a_prompt_a_line(tmp_path: Path) -> None:
    """As it stands, spaces included; a line ends at a newline and nowhere else."""
    path = written(tmp_path, "p.txt", " One é\r\n\n   \nTwo\u2028still two".encode())
    assert read_prompts(path) == [
        Prompt("line 1", " One é"),
        Prompt("line 4", "Two\u2028still two"),
    ]


def test_json_lines(tmp_path: Path) -> None:
    lines = '\ufeff{"prompt": "a\\nb", "text": "no"}\n\n{"text": "c", "id": 7}\n'
    path = written(tmp_path, "p.jsonl", lines.encode())
    assert read_prompts(path) == [Prompt("line 1", "a\nb"), Prompt("line 3", "c")]


def test_lines_beyond_the_limit_are_not_looked_at(tmp_path: Path) -> None:
    path = written(tmp_path, "p.jsonl", b'{"prompt": "a"}\n{"prompt": "b"}\nbroken')
    assert [p.content for p in read_prompts(path, 2)] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("p.txt", b"", "p.txt: no prompt in it"),
        ("p.json", b'{"prompt": "a"}', "p.json: must be .jsonl, an object a line, or plain text"),
        (
            "p.ndjson",
            b'{"prompt": "a"}',
            "p.ndjson: must be .jsonl, an object a line, or plain text",
        ),
        ("p.jsonl", b"\n \n", "p.jsonl: no prompt in it"),
        ("p.txt", b"fine\n\xff\xfe", "p.txt, line 2: not valid UTF-8"),
        ("p.jsonl", b'{"prompt": "a"}\n{"prompt', "p.jsonl, line 2: not valid JSON: "),
        ("p.jsonl", b'["a"]', "p.jsonl, line 1: must be an object, got list"),
        ("p.jsonl", b'\n{"question": "a"}', 'p.jsonl, line 2: must have "prompt" or "text"'),
        ("p.jsonl", b'{"prompt": 3}', 'p.jsonl, line 1: "prompt" must be a text, got int'),
        ("p.jsonl", b'{"text": " "}', 'p.jsonl, line 1: "text" must not be empty'),
        ("p.jsonl", b'{"text": "\\ud800"}', 'p.jsonl, line 1: "text" is not valid Unicode'),
        ("p.jsonl", b"[" * 100_000, "p.jsonl, line 1: not valid JSON: "),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, name: str, content: bytes, text: str
) -> None:
    with pytest.raises(BadPrompts) as caught:
        read_prompts(written(tmp_path, name, content))
    assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(BadPrompts, match=why):
            read_prompts(path)
