"""Write the sources of the documentation site: ``python docs/assemble.py FOLDER``.

The site has the pages of the repository, with links between them changed to their places in the
site, executed notebooks as pages, and reference pages generated from the installed packages.
``make docs`` builds it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import reference

ROOT = Path(__file__).parents[1]
MOVED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "leaderboard/README.md": "published/index.md",
}
FOLDERS = {"docs": "", "leaderboard/README": "published/README"}
SUFFIXES = (".md", ".ipynb", ".png", ".webp", ".svg", ".js", ".css")
EXAMPLES = ("tests/third_party/encbench-sawtooth", "tests/third_party/encbench-physics")
"""Example distributions; each has a page that shows all of its files."""
LINK = re.compile(r"(\]\()(?!\w+:|#)([^)#\s]+)(#[^)]*)?(\))")


def place(path: str) -> str | None:
    """Return the path in the site of a file of the repository; None if it is not in the site."""
    if path in MOVED:
        return MOVED[path]
    for folder, moved in FOLDERS.items():
        if path.startswith(f"{folder}/") and path.endswith(SUFFIXES):
            there = PurePosixPath(moved) / PurePosixPath(path).relative_to(folder)
            return str(there.with_suffix(".md") if there.suffix == ".ipynb" else there)
    if path in EXAMPLES:
        return f"examples/{PurePosixPath(path).name}.md"
    return None


def moved_links(text: str, path: str) -> str:
    """Return the text of the page ``path`` with its links changed to paths in the site.

    Raises:
        ValueError: a link leads to a file that does not exist or is not part of the site.
    """
    here = PurePosixPath(place(path) or "")

    def moved(link: re.Match[str]) -> str:
        target = os.path.normpath(PurePosixPath(path).parent / link[2])
        there = place(target)
        if there is None or not (ROOT / target).exists():
            why = "is not part of the site" if (ROOT / target).exists() else "does not exist"
            raise ValueError(f"{path} links to {link[2]}, which {why}")
        return f"{link[1]}{os.path.relpath(there, here.parent)}{link[3] or ''}{link[4]}"

    parts = re.split(r"(?ms)(^```.*?^```$)", text)  # not in code
    parts[::2] = [LINK.sub(moved, part) for part in parts[::2]]
    return "".join(parts).replace("<details>", "<details markdown>")


def notebook(path: str) -> dict[str, str | bytes]:
    """Return the page of an executed notebook and the pictures of its outputs, by path in the site.

    Raises:
        ValueError: a link leads to no page of the site.
    """
    page = PurePosixPath(place(path) or "")
    parts: list[str] = []
    pictures: dict[str, str | bytes] = {}
    for cell in json.loads((ROOT / path).read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(moved_links(source, path))
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {"text/plain": output.get("text", "")})
            if "image/png" in data:
                picture = f"{page.stem}-{len(pictures) + 1}.png"
                pictures[str(page.with_name(picture))] = base64.b64decode(data["image/png"])
                parts.append(f"![Output of the code above]({picture})")
            elif "text/html" in data:
                parts.append("".join(data["text/html"]))
            else:
                parts.append(f"```text\n{''.join(data['text/plain'])}\n```")
    return {str(page): "\n\n".join(parts) + "\n", **pictures}


def listing(folder: Path) -> str:
    """Return a page that shows every file of an example."""
    parts = [f"# {folder.name}"]
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".md", ".py", ".toml"):
            text = path.read_text(encoding="utf-8").rstrip()
            title = path.relative_to(folder).as_posix()
            parts.append(f"## {title}\n\n````{path.suffix[1:]}\n{text}\n````")
    return "\n\n".join(parts) + "\n"


def navigation(node: Any) -> Iterator[str]:
    """Yield every page in a part of the navigation in zensical.toml."""
    if isinstance(node, str):
        yield node
    for inner in (
        node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    ):
        yield from navigation(inner)


def check_navigation(pages: Iterable[str]) -> None:
    """Check that every page is in the navigation, and that every entry leads to a page.

    Raises:
        ValueError: a page is missing in the navigation, or an entry leads to none.
    """
    project = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    listed = set(navigation(project["nav"]))
    there = {page for page in pages if page.endswith(".md") and "/README/" not in page}
    if listed != there:
        raise ValueError(
            f"nav of zensical.toml: not listed are {sorted(there - listed)}, "
            f"listed and not there {sorted(listed - there)}"
        )


def assemble(out: Path) -> None:
    """Write all pages and pictures of the site into a folder; its earlier content is deleted.

    Raises:
        ValueError: a link or an entry of the navigation leads to no page of the site, or a page is
            missing in the navigation.
    """
    shutil.rmtree(out, ignore_errors=True)
    files = [*MOVED, *(p for folder in FOLDERS for p in (ROOT / folder).rglob("*"))]
    pages: dict[str, str | bytes] = reference.pages()
    for path in (Path(ROOT, file).relative_to(ROOT).as_posix() for file in files):
        there = place(path)
        if there is None:
            continue
        if path.endswith(".ipynb"):
            pages |= notebook(path)
            continue
        if not path.endswith(".md"):
            pages[there] = (ROOT / path).read_bytes()
            continue
        pages[there] = moved_links((ROOT / path).read_text(encoding="utf-8"), path)
        if path.startswith("leaderboard/README/"):  # thousands of numbers
            pages[there] = f"---\nsearch:\n  exclude: true\n---\n\n{pages[there]}"
    for path in EXAMPLES:
        pages[f"examples/{PurePosixPath(path).name}.md"] = listing(ROOT / path)
    check_navigation(pages)
    for there, content in pages.items():
        (out / there).parent.mkdir(parents=True, exist_ok=True)
        (out / there).write_bytes(content.encode() if isinstance(content, str) else content)


if __name__ == "__main__":
    try:
        assemble(Path(sys.argv[1]))
    except ValueError as error:
        sys.exit(f"docs/assemble.py: {error}")
