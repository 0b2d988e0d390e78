"""Local folders, hub ids and hashes of a model's files; needs no tensor library."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pairaug import bundled
from pairaug.errors import ModelError
from pairaug.system.json_text import read_json_object

# Hub ids: a name, or an owner and a name.
_HUB_ID = re.compile(r"(?:[A-Za-z0-9_](?:[\w.-]*\w)?/)?[A-Za-z0-9_](?:[\w.-]*\w)?", re.ASCII)
_MAX_ID = 96
_WEIGHTS = (".safetensors", ".bin", ".ckpt", ".pt", ".pth", ".gguf")


def local_folder(model: str, bundled_name: str | None = None) -> Path | None:
    """The local folder of `model`, or None if it can only be a hub id.

    `bundled` is the package's model `bundled_name`. Raises `ModelError` for a path without a
    folder, which is not looked up on the hub.
    """
    if bundled_name is not None and model == bundled.BUNDLED:
        return bundled.folder(bundled_name)
    folder = Path(model)
    if model.startswith("~"):
        with suppress(RuntimeError):  # unknown user name
            folder = folder.expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise ModelError(
            f"{model} is a file; give a model's folder. Convert a generator's single-file "
            "checkpoint with diffusers (from_single_file, then save_pretrained), a scorer's with: "
            "pairaug convert"
        )
    if not _is_hub_id(model):
        raise ModelError(f"there is no folder {model}; {_nearest(folder)}")
    return None


def start_folder(setting: Path, bundled_name: str) -> Path:
    """Folder or file that a training starts from; `bundled` is the package's `bundled_name`.

    Raises `ModelError` if it does not exist.
    """
    if str(setting) == bundled.BUNDLED and not setting.exists():
        return bundled.folder(bundled_name)
    if not setting.exists():
        fetch_it = (
            f". Training starts from local folders; to download a model from the hub, run: "
            f"hf download {setting} --local-dir FOLDER"
        )
        more = fetch_it if _is_hub_id(str(setting)) else ""
        raise ModelError(f"there is no {setting} to start from; {_nearest(setting)}{more}")
    return setting


def start_part(setting: Path, name: str) -> Path:
    """Folder of the part `name` that a training starts from: of a generator, or given itself.

    `bundled` is the package's generator.
    """
    folder = start_folder(setting, "generator")
    return folder / name if (folder / name).is_dir() else folder


def fetch(
    model: str,
    revision: str | None,
    wanted: Sequence[str],
    unwanted: Sequence[str] | None = None,
    *,
    kind: str,
) -> Path:
    """Folder in the hub's cache with the `wanted` files of `model`, downloaded if missing.

    With `HF_HUB_OFFLINE=1` only the cache is searched. Errors name the `kind` of model.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            huggingface_hub.snapshot_download(
                model,
                revision=revision,
                allow_patterns=list(wanted),
                ignore_patterns=None if unwanted is None else list(unwanted),
            )
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        at = f" at revision {revision}" if revision else ""
        raise ModelError(
            f"cannot load the {kind} {model}{at}: not found as a local folder, on the hub or in "
            f"its cache ({type(error).__name__}). Check the name, the access rights and "
            "HF_HUB_OFFLINE, or pass a local folder."
        ) from error


def read_config(path: Path) -> dict[str, Any]:
    """JSON object in a model's file; `ModelError` if the file is missing or damaged."""
    check_downloaded(path)
    try:
        return read_json_object(path, ModelError, "copy or download the model again")
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing; copy or download the model again") from error


def check_downloaded(path: Path) -> None:
    """Raises `ModelError` if `path` is a placeholder left by a failed download.

    A missing file is left to the caller.
    """
    said = None
    if path.is_file():
        with path.open("rb") as stream:
            head = stream.read(256).lstrip()
        if head.startswith(b"version https://git-lfs"):
            said = "is a Git LFS pointer, not the file: run git lfs pull in its folder"
        elif head[:1] == b"<":
            said = (
                "is a web page: log in (hf auth login), accept the model's terms on its page, and "
                "download it again"
            )
    elif path.is_dir():
        said = "is a folder instead of a file"
    elif path.is_symlink():
        said = "is a link to a missing file: the download is incomplete; run it again"
    elif path.exists():
        said = "is not a regular file"
    if said is not None:
        raise ModelError(f"{path} {said}")


def sha256_of(files: Iterable[tuple[str, Path]], more: str = "") -> str:
    """SHA-256 over the names and contents of files, in the given order, and over `more`."""
    digest = hashlib.sha256()
    for name, path in files:
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{name}\0{content}\n".encode())
    digest.update(more.encode())
    return digest.hexdigest()


def sha256_of_folder(folder: Path, patterns: Sequence[str]) -> str:
    """SHA-256 over the names and contents of files directly in a folder that match `patterns`."""
    paths = sorted(path for pattern in patterns for path in folder.glob(pattern))
    return sha256_of((path.name, path) for path in paths)


def adapter_in(folder: Path) -> str | None:
    """Message for a folder with an adapter (LoRA) but no model; None for other folders."""
    names = ("adapter_config.json", "adapter_model.safetensors", "pytorch_lora_weights.safetensors")
    if not any((folder / name).is_file() for name in (*names, "pytorch_lora_weights.bin")):
        return None
    return (
        f"{folder} holds an adapter (LoRA), not a whole model: load it into its base model with "
        "diffusers or peft, merge it (fuse_lora, or merge_and_unload), unload it, save the whole "
        "with save_pretrained, and name that folder"
    )


def one_below(folder: Path, name: str) -> str:
    """Hint if a sub-folder of `folder` has the file `name`; else empty."""
    inner = sorted(path.parent for path in folder.glob(f"*/{name}"))
    return f" (there is one in {inner[0]}: name that folder)" if inner else ""


def _is_hub_id(model: str) -> bool:
    if len(model) > _MAX_ID or not _HUB_ID.fullmatch(model) or "--" in model or ".." in model:
        return False
    if model.endswith((".git", *_WEIGHTS)):
        return False
    # A local folder has the first name: then it is a path whose end is wrong.
    first, slash, _ = model.partition("/")
    return not (slash and Path(first).is_dir())


def _nearest(path: Path) -> str:
    """Hint at the part of a path that exists, and its folders."""
    for parent in path.absolute().parents:
        if parent.is_dir():
            try:
                names = sorted(each.name for each in parent.iterdir() if each.is_dir())
            except OSError:
                break
            held = f"with the folders {', '.join(names[:5])}" if names else "without folders"
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            return f"the nearest that exists is {parent}, {held}{more}"
    return "nothing of that path exists"
