"""Fails for every written source file over 600 lines; says which ones are over 400."""

import subprocess
import sys
from pathlib import Path

LIMIT, SMELL = 600, 400
SUFFIXES = {".py", ".ts", ".tsx"}
GENERATED = {"web/src/api/schema.d.ts"}


def main() -> int:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], check=True, capture_output=True, text=True
    )
    status = 0
    for name in listed.stdout.splitlines():
        path = Path(name)
        if path.suffix not in SUFFIXES or name in GENERATED or not path.exists():
            continue
        lines = len(path.read_text().splitlines())
        if lines > LIMIT:
            sys.stdout.write(f"{name}: {lines} lines, more than {LIMIT}: split it by noun\n")
            status = 1
        elif lines > SMELL:
            sys.stdout.write(f"{name}: {lines} lines; over {SMELL} is a smell\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
