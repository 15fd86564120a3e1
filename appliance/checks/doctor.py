"""`inspect doctor`: everything a line needs, checked one by one, each failure with its mend. Changes nothing."""

from __future__ import annotations

import math
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import zmq

from appliance.capture import make_camera
from appliance.checks.cores_of_lines import engines_beside, shared
from appliance.checks.known_parts import known_pictures
from appliance.config.camera import AnyCameraConfig
from appliance.config.line import Line, need_journal
from appliance.config.plc import AnyPlcConfig
from appliance.config.publish import PublishConfig
from appliance.config.records import ArchiveConfig, ChallengeConfig
from appliance.line.picture_kind import need_kind
from appliance.line.recipe_at_work import recipe_of
from appliance.line.threshold_offset import Bound, compared_with
from appliance.line.trigger_safety import need_safe_trigger
from appliance.plc import PlcError, make_plc
from appliance.records.challenge_record import Conditions, due
from engines.common.cores import CGROUPS, cpu_quota, quotas_of, usable_cores
from engines.common.errors import UserError
from engines.common.line_file import EngineConfig
from engines.judgement import measure
from engines.pictures.geometry import Geometry
from engines.pictures.picture_kind import channels_of
from engines.proof.admission import load_engine
from engines.recipe.bundle import Recipe
from engines.recipe.sensitivity_changes import consequence, told
from engines.recipe.thresholds import load_thresholds
from engines.targets import begin

RECEIVE_BUFFER = 16 * 2**20  # bytes: a few pictures of a GigE camera wait there while the box is busy
JUMBO_MTU = 8_192  # bytes


class Finding(msgspec.Struct, frozen=True):
    """One check's outcome."""

    check: str
    outcome: Literal["ok", "warning", "failed"]
    text: str


def examine(line: Line) -> Iterator[Finding]:
    """Check a line's parts in the order in which they depend on each other."""
    yield Finding("config", "ok", f"{line.file} is valid")
    yield _guarded("trigger", lambda: _trigger(line))
    recipe: Recipe | None = None
    try:
        recipe = recipe_of(line)
        yield _recipe(recipe)
    except UserError as error:
        yield Finding("recipe", "failed", str(error))
    if recipe is not None:
        yield _guarded("thresholds", lambda: _thresholds(line.config.engine, recipe))
        yield _guarded("sensitivity", lambda: _sensitivity(Bound.of(line), recipe))
        if (challenge := line.config.challenge) is not None:
            yield _guarded(
                "challenge", lambda: _challenge(challenge, line.config.engine, need_journal(line), Bound.of(line), recipe)
            )
        yield _guarded("engine", lambda: _engine(line.config.engine, recipe))
        yield _cores(line)
        geometry, deadline_ms = recipe.manifest.geometry, line.config.decision.deadline_ms
        yield _guarded("camera", lambda: _camera(line.config.camera, line.file, geometry, deadline_ms))
    yield _ports(line.config.publish)
    if line.config.archive is not None:
        yield _archive(line.config.archive)
    if (plc := line.config.plc) is None:
        yield Finding("plc", "warning", f"{line.file}: no [plc] table: nothing ejects rejects")
    else:
        yield _guarded("plc", lambda: _plc(plc, line.name, line.file))
    if line.config.camera.by_network:
        yield _receive_buffer(Path("/proc/sys/net/core/rmem_max"))
        yield _mtu(Path("/sys/class/net"))


def _guarded(check: str, run: Callable[[], Finding]) -> Finding:
    try:
        return run()
    except UserError as error:
        return Finding(check, "failed", str(error))


def _trigger(line: Line) -> Finding:
    need_safe_trigger(line)
    return Finding("trigger", "ok", "each part's picture can be told from its neighbour's")


def _recipe(recipe: Recipe) -> Finding:
    text = f"{recipe.folder}: {len(recipe.manifest.files)} files match their digests"
    if recipe.manifest.geometry.channels is None:
        mend = f"fit it again with: {recipe.naming.fit} --replace"
        return Finding("recipe", "warning", f"{text}; it does not record whether its pictures are grey or in colour: {mend}")
    return Finding("recipe", "ok", text)


def _thresholds(engine: EngineConfig, recipe: Recipe) -> Finding:
    thresholds = load_thresholds(recipe)
    if thresholds is None:
        return Finding(
            "thresholds",
            "failed",
            f"none: every part would be rejected; run: {recipe.naming.command('calibrate thresholds')}",
        )
    text = f"version {thresholds.version} of {thresholds.created} by {thresholds.created_by}: {thresholds.promise}"
    serves = f"{engine.target} {engine.precision}"
    if thresholds.engine != serves:
        mend = recipe.naming.command("calibrate thresholds")
        return Finding("thresholds", "warning", f"measured by {thresholds.engine}, this line runs {serves}: {mend}; {text}")
    return Finding("thresholds", "ok", text)


def _sensitivity(bound: Bound, recipe: Recipe) -> Finding:
    _, found = compared_with(recipe, load_thresholds(recipe), bound)
    if found.change is not None:
        return Finding("sensitivity", "warning", f"{told(found.change)}: {consequence(found.offset)}")
    if found.ended is not None:
        return Finding("sensitivity", "ok", f"as calibrated; {told(found.ended)} has ended with a calibration since")
    return Finding("sensitivity", "ok", "as calibrated")


def _challenge(config: ChallengeConfig, engine: EngineConfig, journal: Path, bound: Bound, recipe: Recipe) -> Finding:
    """Whether the line may start; asked for the engine that its file names."""
    thresholds = load_thresholds(recipe)
    _, sensitivity = compared_with(recipe, thresholds, bound)
    serves = f"{engine.target} {engine.precision}"
    version = thresholds.version if thresholds else None
    why = due(config, journal, Conditions(bound.line, recipe.digest, version, sensitivity.offset, serves))
    if why:
        return Finding("challenge", "failed", why)
    by_parts = config.good is None
    shown = (
        "shown parts: inspect challenge --parts" if by_parts else f"{len(known_pictures(config, bound.file))} known pictures"
    )
    return Finding("challenge", "ok", f"none is due; {shown}")


def _engine(config: EngineConfig, recipe: Recipe) -> Finding:
    engine = load_engine(recipe, config.target, config.precision, config.share)
    slot = engine.new_slot()
    begin(slot)
    slot.finish()
    engine.close()
    if not (measure(slot.frame_map, slot.scores, None).finite and np.isfinite(slot.scores).all()):
        return Finding("engine", "failed", f"{engine.target}: its map or scores are not finite; fit the recipe again")
    return Finding("engine", "ok", f"{engine.target} runs")


def _cores(line: Line, cgroups: Path = CGROUPS) -> Finding:
    """What the lines of this box get of its processor, as far as their files lie beside this line's."""
    engines, broken = engines_beside(line.file)
    # The line's own control group is there while it runs as a service; else only the quota of whoever asks is known.
    quotas = quotas_of(f"system.slice/system-inspect.slice/inspect@{line.name}.service", cgroups)
    if (own := cpu_quota(root=cgroups)) is not None:
        quotas.append(own)
    alone, text = shared(line.name, engines, usable_cores(), min(quotas, default=None))
    if broken:
        text += f"; not counted, as they cannot be read: {', '.join(broken)}"
    return Finding("cores", "ok" if alone and not broken else "warning", text)


def _camera(config: AnyCameraConfig, file: Path, geometry: Geometry, deadline_ms: int) -> Finding:
    """Open the camera and, where a picture comes without an outside trigger, see that it has the recipe's size and kind."""
    frame = geometry.frame
    camera = make_camera(config, file, frame, deadline_ms)
    camera.open()
    try:
        need_kind(camera.channels, geometry, file)
        if config.trigger == "hardware":
            text = (
                "opens and takes its features; waits for its hardware trigger, and the line tells with the first picture when "
                "they carry no time stamp"
            )
            if math.isfinite(config.stall_s):
                return Finding("camera", "ok", text)
            mend = "set camera.stall_ms to more than the line's longest pause"
            return Finding("camera", "warning", f"{text}; one that falls silent is noticed by its driver only: {mend}")
        frames = camera.grab(2.0)
        if not frames or frames[0].image is None:
            return Finding("camera", "failed", f"gives no picture: {frames[0].fault if frames else 'none within 2 s'}")
        height, width = frames[0].image.shape[:2]
        unstamped = config.by_network and not frames[0].camera_time  # others' pictures do not wait in a driver
        kind = channels_of(frames[0].image)
        for one in frames:
            one.image = None
            one.release()
        if (width, height) != frame:
            return Finding(
                "camera",
                "failed",
                f"its pictures are {width} x {height}, the recipe was made for {frame[0]} x {frame[1]}: "
                "set Width and Height in camera.features, or fit a new recipe",
            )
        need_kind(kind, geometry, file)
        text = f"gives pictures of {width} x {height}{' (simulated)' if camera.simulated else ''}"
        if unstamped:
            text += "; they carry no time stamp: of one that waits in the driver it is not seen how old it is"
        return Finding("camera", "ok", text)
    finally:
        try:
            camera.stop()
        finally:
            camera.close()


def _ports(publish: PublishConfig) -> Finding:
    with zmq.Context() as context:
        for key, address in (("verdicts", publish.verdicts), ("snapshot", publish.snapshot)):
            with context.socket(zmq.REP) as probe:
                try:
                    probe.bind(address)
                except zmq.ZMQError as error:
                    return Finding(
                        "ports",
                        "warning",
                        f"publish.{key}: {address}: {error.strerror}; fine if this line is running, else choose another port",
                    )
    return Finding("ports", "ok", f"{publish.verdicts} and {publish.snapshot} can be bound")


def _archive(config: ArchiveConfig) -> Finding:
    """Whether the archive can be written, and its disk is as large as its quota."""
    folder = config.folder
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        return Finding("archive", "failed", f"archive.folder: {folder} cannot be written; mend its rights, or choose another")
    total, _, free = (size / 1e9 for size in shutil.disk_usage(there))
    room = f"its disk has {total:.1f} GB, {free:.1f} GB free"
    if free < config.free_gb:
        return Finding(
            "archive", "failed", f"{room}: nothing is archived below archive.free_gb = {config.free_gb:g}; make room"
        )
    if total < config.quota_gb + config.free_gb:
        return Finding("archive", "warning", f"{room}: archive.quota_gb = {config.quota_gb:g} does not fit; lower it")
    return Finding("archive", "ok", f"{folder}: {room}, quota {config.quota_gb:g} GB")


def _plc(config: AnyPlcConfig, line: str, file: Path) -> Finding:
    """Reach the PLC; where it connects to us, see that its port can be had."""
    plc = make_plc(config, line, file)
    try:
        plc.connect()
    except PlcError as error:
        if config.answers_by:
            return Finding("plc", "failed", f"{error}; check its address, its cable, and that its {config.answers_by} is on")
        return Finding("plc", "warning", f"{error}; fine if this line's bridge is running, else choose another port")
    finally:
        plc.close()
    if config.answers_by:
        return Finding("plc", "ok", f"{config.where} answers")
    return Finding("plc", "ok", f"{config.where} can be bound, for the PLC to connect to")


def _receive_buffer(setting: Path) -> Finding:
    largest = int(setting.read_text()) if setting.exists() else 0
    if largest < RECEIVE_BUFFER:
        return Finding(
            "receive buffer",
            "warning",
            f"net.core.rmem_max is {largest}: a GigE camera will lose packets under load; "
            f"run: sysctl -w net.core.rmem_max={RECEIVE_BUFFER}",
        )
    return Finding("receive buffer", "ok", f"net.core.rmem_max is {largest}")


def _mtu(interfaces: Path) -> Finding:
    sizes = {name: int((interfaces / name / "mtu").read_text()) for _, name in socket.if_nameindex() if name != "lo"}
    if not sizes:
        return Finding("mtu", "warning", "no network interface but loopback: a GigE camera cannot be reached")
    small = [name for name, size in sizes.items() if size < JUMBO_MTU]
    text = ", ".join(f"{name} {size}" for name, size in sizes.items())
    if len(small) == len(sizes):
        return Finding(
            "mtu",
            "warning",
            f"{text}: no interface takes jumbo frames; for a GigE camera's interface run: ip link set {small[0]} mtu 9000",
        )
    return Finding("mtu", "ok", text)
