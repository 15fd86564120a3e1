"""Which golden sample does best as the template of a fitted recipe, and whether the pinned one has aged.

A candidate takes the place of the pinned template; weights stay.  Candidates are judged on golden samples that the network was
fitted on, and on defects drawn onto them.  Not on the held-out ones: thresholds are an order statistic of their scores, which
guarantees something only while nothing was chosen by them.  That fitted samples score lower than new parts do is no harm here:
all candidates are judged on the same pictures.

The sample that a fit pins by itself is the medoid of all golden samples; k-medoids (L. Kaufman, P. J. Rousseeuw, "Clustering by
means of medoids", 1987) adds the centres of groups, where golden samples fall into groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import torch
from msgspec import Meta
from scipy import stats

from calibrate.template.aging import FEWEST, Aging, measure_aging
from calibrate.template.medoids import Floats, deepest, distances, k_medoids
from engines.common.files import Sha256
from engines.graph.assembly import build_graph, load_network
from engines.graph.inspection import InspectionGraph
from engines.judgement import measure
from engines.pictures.geometry import Geometry, Pixels
from engines.pictures.scores import SCORES, ScoreName
from engines.pictures.synthetic_defects import KINDS, with_defect
from engines.recipe.bundle import Recipe
from engines.recipe.ignore_mask import ignored_by
from engines.recipe.templates import Templates, read_templates
from engines.recipe.thresholds import load_history

JSON, PICTURE = "templates.json", "templates.png"  # in the recipe's folder `report`
MOST_GROUPS, SAMPLES_A_GROUP = 4, 6  # k-medoids: no more groups, and on average no fewer samples in one
GOOD, DEFECTS = 40, 96  # pictures that candidates are judged on, at most
STRENGTHS = (1.0, 0.5, 0.25)  # of the defects
SIGNIFICANT = 0.05


class Candidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A golden sample as the template."""

    name: str
    roles: tuple[str, ...]  # why it is a candidate
    spread: Annotated[float, Meta(description="standard deviation of the golden samples' log-scores")]
    detected: Annotated[int, Meta(description="defects that score above every golden sample")]
    gained: Annotated[int, Meta(description="of them, not with the pinned template")]
    lost: Annotated[int, Meta(description="defects that only the pinned template detects")]


class TemplateChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`report/templates.json`."""

    recipe: str
    recipe_digest: Sha256  # that was judged, with the pinned template
    pinned: str
    best: str
    score: ScoreName
    samples: int  # golden, fitted ones
    defects: int
    candidates: tuple[Candidate, ...]  # the pinned one first
    aging: Aging | None  # None: no recent passes were given


class Judged(NamedTuple):
    """What `judge_templates` found, and the candidates' pictures in their order."""

    choice: TemplateChoice
    pictures: list[Pixels]


def judge_templates(
    recipe: Recipe,
    fitted: Sequence[Pixels],
    asked: str | None,
    recent: Sequence[Pixels],
    tell: Callable[[int, int, str], None],
    defects: int = DEFECTS,
) -> Judged:
    """Judge the pinned template, the medoid, k-medoids and the one ``asked`` for (a fitted sample's name).

    The recipe has one template; ``fitted`` are its fitted golden samples, ``recent`` pictures of parts that passed.  Some
    ``defects`` are drawn: whole ladders of kinds, contrasts and sizes.
    """
    manifest = recipe.manifest
    pinned, geometry = manifest.templates[0], manifest.geometry
    names = [sample.name for sample in manifest.golden if not sample.held_out]
    pictures = dict(zip(names, fitted, strict=True)) | {pinned: read_templates(recipe).picture(0)}
    rng = np.random.default_rng(manifest.seed)
    backbone, network = load_network(recipe)
    features = deepest(backbone, geometry, [*fitted, pictures[pinned]])
    aging = None
    if len(recent) >= FEWEST:
        others = [i for i, name in enumerate(names) if name != pinned]
        compared = [*others, len(names)]  # the pinned template comes last
        of_recent = distances(deepest(backbone, geometry, recent), features[compared])
        aging = measure_aging(of_recent, distances(features[others], features[compared]), [names[i] for i in others], rng)
    roles = _roles(distances(features[:-1], features[:-1]), names, pinned, asked, aging)
    history = load_history(recipe)  # of thresholds; those that hold no longer tell the score and the ignore-mask, too
    last = history[-1] if history else None
    score: ScoreName = last.score if last is not None else SCORES[0]
    ignored = ignored_by(recipe, last)
    left = [image for name, image in zip(names, fitted, strict=True) if name not in roles]
    good = [left[i] for i in sorted(rng.permutation(len(left))[:GOOD])]
    flawed = _defects(good, defects, geometry, rng)
    found, spreads = [], []
    for done, name in enumerate(roles):
        tell(done, len(roles), name)
        graph = build_graph(backbone, network, geometry, Templates.pinned(pictures[name]))
        scores = _scores(graph, geometry, [*good, *flawed], ignored, score)
        of_good, of_flawed = scores[: len(good)], scores[len(good) :]
        spreads.append(float(np.log(of_good).std(ddof=1)))
        found.append(of_flawed > of_good.max())
    tell(len(roles), len(roles), "")
    candidates = tuple(
        Candidate(name, why, spread, int(hits.sum()), int((hits & ~found[0]).sum()), int((found[0] & ~hits).sum()))
        for (name, why), spread, hits in zip(roles.items(), spreads, found, strict=True)
    )
    choice = TemplateChoice(
        recipe=recipe.name,
        recipe_digest=recipe.digest,
        pinned=pinned,
        best=best_of(candidates),
        score=score,
        samples=len(good),
        defects=len(flawed),
        candidates=candidates,
        aging=aging,
    )
    return Judged(choice, [pictures[name] for name in roles])


def best_of(candidates: Sequence[Candidate]) -> str:
    """The candidate to take: the first (pinned) one, unless another detects more by more than chance.

    Exact sign test on the defects that only one of the two detects, at 5 % for all candidates together (Bonferroni).
    """
    level = SIGNIFICANT / max(1, len(candidates) - 1)
    better = [
        one
        for one in candidates[1:]
        if one.gained and stats.binomtest(one.gained, one.gained + one.lost, alternative="greater").pvalue <= level
    ]
    return min(better, key=lambda one: (-one.detected, one.spread), default=candidates[0]).name


def _roles(
    apart: Floats, names: Sequence[str], pinned: str, asked: str | None, aging: Aging | None
) -> dict[str, tuple[str, ...]]:
    """The candidates, the pinned one first, and why each is one."""
    groups = min(MOST_GROUPS, len(names) // SAMPLES_A_GROUP)
    roles: dict[str, tuple[str, ...]] = {pinned: ("pinned",)}
    found = [(names[int(apart.sum(axis=1).argmin())], "medoid")]
    if groups > 1:
        found += [(names[i], f"one of {groups} k-medoids") for i in k_medoids(apart, groups)]
    if aging is not None and aging.aged:
        found.append((aging.nearest_name, "nearest to recent passes"))
    if asked is not None:
        found.append((asked, "asked for"))
    for name, role in found:
        roles[name] = (*roles.get(name, ()), role)
    return roles


def _defects(good: Sequence[Pixels], count: int, geometry: Geometry, rng: np.random.Generator) -> list[Pixels]:
    """Defects of every kind and strength, faint ones and plain ones."""
    flawed = []
    for i in range(count):
        image, strength = good[int(rng.integers(len(good)))], STRENGTHS[i // KINDS % len(STRENGTHS)]
        drawn = with_defect(image, rng, i % KINDS, geometry.region)
        flawed.append(np.asarray(cv2.addWeighted(image, 1 - strength, drawn, strength, 0), np.uint8))
    return flawed


def _scores(
    graph: InspectionGraph, geometry: Geometry, images: Sequence[Pixels], ignored: npt.NDArray[np.bool_] | None, name: ScoreName
) -> Floats:
    scores = []
    with torch.inference_mode():
        for image in images:
            frame_map, values, _ = graph(torch.from_numpy(geometry.cut_new(image)))
            scores.append(measure(frame_map.numpy(), values.numpy(), ignored).score(name))
    return np.array(scores)
