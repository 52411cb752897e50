"""`python -m raysmith.crdgen` writes `crds/*.yaml`; with `--check` it compares, prints the difference and exits 1."""

import argparse
import difflib
import sys
from pathlib import Path

from raysmith.crdgen.crd import crd_files


def main(arguments: list[str] | None = None) -> int:
    """Write or compare the files; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m raysmith.crdgen", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--folder", type=Path, default=Path("crds"), help="where the files lie (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.check:
        return _check(options.folder)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, content in crd_files().items():
        (options.folder / name).write_text(content, encoding="utf-8")
    return 0


def _check(folder: Path) -> int:
    wanted = crd_files()
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.yaml")}
    changed = [name for name in sorted(wanted.keys() | found.keys()) if wanted.get(name) != found.get(name)]
    for name in changed:
        before, after = found.get(name, "").splitlines(True), wanted.get(name, "").splitlines(True)
        sys.stdout.writelines(difflib.unified_diff(before, after, f"{folder / name} (now)", f"{folder / name} (generated)"))
    if changed:
        print(
            f"{', '.join(changed)} in {folder}/ differ from the API models; run `python -m raysmith.crdgen`.", file=sys.stderr
        )
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
