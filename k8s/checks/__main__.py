"""``python -m k8s.checks``: checks every rendering, and says what is wrong with which."""

import sys

from k8s.checks import problems
from k8s.checks.schema import versions
from k8s.combinations import renderings
from k8s.render import RenderError


def main() -> None:
    """The command; exit status 1 where anything is wrong."""
    wrong = 0
    print(f"schemas of Kubernetes {', '.join(versions())}")
    for name, rendering in renderings().items():
        try:
            objects = rendering()
            found = problems(objects)
        except RenderError as error:
            objects, found = [], [str(error)]
        print(f"{'ok  ' if not found else 'FAIL'} {name} ({len(objects)} objects)")
        for text in found:
            print(f"     {text}")
        wrong += bool(found)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
