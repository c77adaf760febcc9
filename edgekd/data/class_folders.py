"""Files in folders that are named after their classes: ``train/CLASS/...``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath

from edgekd.errors import DataError

#: The folders of each split; the second name is another that is usual.
FOLDERS = {
    "train": ("train",),
    "calibration": ("calibration",),
    "validation": ("validation", "val"),
    "test": ("test",),
}

#: The files of each class, sorted by name.
ByClass = dict[str, list[Path]]


def find(base: Path, suffixes: Collection[str], what: str) -> dict[str, ByClass]:
    """Return the files of every split that is there, and of each of its classes.

    Args:
        base: the folder with ``train``.
        suffixes: of the files, in lower case, with their dots.
        what: the files are, in the plural, for messages.

    Raises:
        DataError: there is no ``train``, a class has no files, or train does not have it.
    """
    folders = {name: path for name in FOLDERS if (path := _folder(base, name))}
    if "train" not in folders:
        raise DataError(
            f"{base} has no folder train",
            hint=f"{what.capitalize()} belong into train/CLASS/, and optionally validation/ and "
            "test/.",
        )
    splits = {name: _classes(base, path, suffixes, what) for name, path in folders.items()}
    _check_known(splits, lambda split, label: str(splits[split][label][0].parent))
    return splits


def find_names(
    names: Iterable[str], suffixes: Collection[str], what: str, where: str
) -> dict[str, dict[str, list[str]]]:
    """Return the same of the names of files in an archive, which may all stand in one folder.

    Args:
        names: of its files, with slashes.
        suffixes: of the files that count.
        what: the files are, in the plural, for messages.
        where: the archive, for messages.

    Raises:
        DataError: there are none below ``train/CLASS/``, or train has not got a class.
    """
    splits = {alias: split for split, aliases in FOLDERS.items() for alias in aliases}
    found: dict[str, dict[str, list[str]]] = {}
    aliases: dict[str, str] = {}
    for name in sorted(names):
        path = PurePosixPath(name)
        at = next((i for i, part in enumerate(path.parts[:2]) if part in splits), None)
        if at is None or len(path.parts) < at + 3 or path.name.startswith("."):
            continue
        if path.suffix.lower() not in suffixes:
            continue
        split = splits[path.parts[at]]
        if aliases.setdefault(split, path.parts[at]) != path.parts[at]:
            raise DataError(
                f"{where} has both {aliases[split]} and {path.parts[at]}", hint="Keep one."
            )
        found.setdefault(split, {}).setdefault(path.parts[at + 1], []).append(name)
    if "train" not in found:
        raise DataError(
            f"{where} has no {what} in train/CLASS/",
            hint=f"Known suffixes: {', '.join(sorted(suffixes))}.",
        )
    _check_known(found, lambda split, label: f"{where}: {split}/{label}")
    return found


def _check_known(
    splits: Mapping[str, Mapping[str, object]], title: Callable[[str, str], str]
) -> None:
    """Refuse a class that train does not have; ``title`` says where a class of a split is."""
    for split, by_class in splits.items():
        for label in by_class:
            if label not in splits["train"]:
                raise DataError(
                    f"{title(split, label)} is a class that train does not have",
                    hint=f"Classes of train: {', '.join(sorted(splits['train']))}.",
                )


def _folder(base: Path, split: str) -> Path | None:
    found = [base / name for name in FOLDERS[split] if (base / name).is_dir()]
    if len(found) > 1:
        raise DataError(f"{base} has both {found[0].name} and {found[1].name}", hint="Keep one.")
    return found[0] if found else None


def _classes(base: Path, split: Path, suffixes: Collection[str], what: str) -> ByClass:
    by_class = {}
    for path in sorted(split.iterdir()):
        if path.name.startswith(".") or not path.is_dir():
            continue
        found = sorted(file for file in path.rglob("*") if _counts(file, suffixes))
        if not found:
            raise DataError(
                f"the class folder {path} holds no {what}",
                hint=f"Known suffixes: {', '.join(sorted(suffixes))}. Fill it or remove it.",
            )
        by_class[path.name] = found
    if not by_class:
        raise DataError(
            f"{split} holds no class folders",
            hint=f"{what.capitalize()} belong into {split.relative_to(base.parent)}/CLASS/.",
        )
    return by_class


def _counts(path: Path, suffixes: Collection[str]) -> bool:
    # macOS leaves files such as ._0001.jpg beside the real ones.
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
