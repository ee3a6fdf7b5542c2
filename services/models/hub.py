"""Download of a file from the model hub, going on where an interrupted one stopped."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.file_download import http_get
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils.logging import set_verbosity
from huggingface_hub.utils.tqdm import disable_progress_bars

from services.models.errors import SourceFailed
from services.models.specs import HubSource

ANSWER_TIMEOUT_S = 5.0
"""How long the hub has to answer at all, before the next source is tried."""


def download_from_hub(source: HubSource, size: int, folder: Path) -> Path:
    """Download a file of `size` bytes into `folder`, and return where it lies.

    The bytes grow in the file itself: a second call asks the hub for the rest only. (The hub's own
    `hf_hub_download` throws away what an interrupted call received.)

    Raises:
        SourceFailed: the hub is out of reach, or has no such file of that size.
    """
    disable_progress_bars()
    set_verbosity(logging.ERROR)
    endpoint = os.environ.get("HF_ENDPOINT")
    url = hf_hub_url(source.hub, source.file, revision=source.revision, endpoint=endpoint)
    target = folder / "from-hub.partial"
    try:
        offered = get_hf_file_metadata(url, timeout=ANSWER_TIMEOUT_S).size
        if offered is not None and offered != size:
            raise SourceFailed(f"the hub offers {offered} bytes of {source.file}, not {size}")
        if target.exists() and target.stat().st_size > size:
            target.unlink()
        with target.open("ab") as file:
            http_get(
                url,
                file,
                resume_size=file.tell(),
                headers=build_hf_headers(),
                expected_size=size,
            )
    except SourceFailed:
        raise
    except Exception as error:  # Whatever its client raises, the next source may still deliver.
        reason = " ".join(str(error.__cause__ or error).split())
        raise SourceFailed(f"the hub is out of reach ({reason})") from error
    return target
