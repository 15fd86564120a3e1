"""A part's picture from the archive, drawn for people; or why there is none."""

from __future__ import annotations

import hashlib
from pathlib import Path

from appliance.archive import sampled
from appliance.archive_files import entry, read_map
from appliance.config import ArchiveConfig, Line, need_archive, need_journal
from appliance.drawing import draw_part
from appliance.journal import Query, search
from appliance.messages import Verdict
from engines.errors import ConfigError
from engines.geometry import Pixels
from engines.images import read_image
from engines.recipe import MANIFEST, load_recipe
from engines.templates import read_templates


def part_picture(line: Line, part: int, epoch: int | None) -> tuple[Verdict, Pixels]:
    """The newest verdict of a part (of one epoch), and its picture (H, W, 3) RGB.

    Raises UserError kinds: no journal, no archive, no such part, or why it has no picture.
    """
    folder, journal = need_archive(line), need_journal(line)
    verdict = next(search(journal, Query(part=part, epoch=epoch), limit=1), None)
    if verdict is None:
        of = f" of epoch {epoch}" if epoch is not None else ""
        raise ConfigError(f"part {part}{of}: not in {journal}; see which parts are: inspect history --line {line.name}")
    stem = entry(folder, verdict)
    frame = stem.with_name(f"{stem.name}.png")
    if not frame.exists():
        assert line.config.archive is not None, "need_archive has seen to it"
        raise ConfigError(f"part {part}: {verdict.verdict}, no picture: {_why_none(verdict, frame, line.config.archive)}")
    return verdict, draw_part(verdict, read_image(frame), read_map(stem), _template(line, verdict))


def _why_none(verdict: Verdict, frame: Path, config: ArchiveConfig) -> str:
    if verdict.reason == "no-image":
        return verdict.detail or "the camera gave none"
    if verdict.verdict == "pass" and not sampled(verdict.epoch, verdict.seq, config.passes):
        return f"archive.passes = {config.passes:g} of passes are kept, and this one is not among them; raise it to keep more"
    return (
        f"{frame} is not there: removed since by the quota (archive.quota_gb = {config.quota_gb:g}), or left out when the "
        f"disk was slow or less than archive.free_gb = {config.free_gb:g} was free on it, which an alarm has told"
    )


def _template(line: Line, verdict: Verdict) -> Pixels | None:
    """The template that a part was compared with; None when its recipe is neither the line's nor beside it any more."""
    if verdict.template is None:
        return None
    present = line.path(line.config.recipe)
    for manifest in (present / MANIFEST, *sorted(present.parent.glob(f"*/{MANIFEST}"))):
        if manifest.is_file() and hashlib.sha256(manifest.read_bytes()).hexdigest() == verdict.recipe:
            return read_templates(load_recipe(manifest.parent), features=False).picture(verdict.template.index)
    return None
