"""The commands of `inspect` for the PLC: the bridge to it, and a PLC to try a line with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from appliance.cli.options import AsJson, ConfigDir, LineName
from appliance.host.service_manager import ServiceManager, Watched
from engines.common.errors import ConfigError
from engines.common.stop_signal import StopSignal

EJECT_MS = 500.0
plcs = typer.Typer()
console = Console()


@plcs.command(epilog="Example:  inspect plc --line 3")
def plc(line: LineName, config_dir: ConfigDir = None, as_json: AsJson = False) -> None:
    """Carry a line's verdicts to its PLC until stopped; appliance/plc/README.md has the process image."""
    from appliance.cli.event_log import EventLog
    from appliance.config.line import load_line, need_plc
    from appliance.messages.orders import OrderSender, orders_address
    from appliance.messages.subscriber import Subscriber
    from appliance.plc import make_plc
    from appliance.plc.bridge import Bridge

    loaded = load_line(line, config_dir)
    config = need_plc(loaded)
    port = make_plc(config, loaded.name, loaded.file)
    log = EventLog(console, as_json or not sys.stdout.isatty(), goes_on=True)
    manager = ServiceManager()
    with StopSignal() as signalled:
        subscriber = Subscriber(line, loaded.config.publish, "plc", catch_up=True)
        orders = OrderSender(orders_address(line, loaded.config.publish))
        try:
            manager.ready(f"bridge of line {line}")
            bridge = Bridge(subscriber, port, config.silent_ms / 1000, log.say, orders.raise_alarm, orders.count_anew)
            bridge.run(Watched(signalled, manager, lambda: True))
        finally:
            orders.close()
            subscriber.close()


@plcs.command(name="plc-sim", epilog="Example:  inspect plc-sim --line 3")
def plc_sim(
    line: LineName,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
    cycle_ms: Annotated[float, typer.Option(min=0.1, max=1_000, help="Cycle time of its program.")] = 5.0,
    eject_ms: Annotated[
        float | None, typer.Option(min=1, help="Without a belt: from a part's verdict to the ejector; else 500.")
    ] = None,
    retain: Annotated[Path | None, typer.Option(help="Without a belt: file for what its memory retains.")] = None,
    parts: Annotated[int | None, typer.Option(min=1, help="With a belt: end after so many parts.")] = None,
    spacing_ms: Annotated[
        float | None, typer.Option(min=10, help="With a belt: between two parts; else camera.spacing_ms, else 500.")
    ] = None,
    picture_ms: Annotated[float, typer.Option(min=1, help="With a belt: from a trigger to its picture, at most.")] = 100.0,
    bad: Annotated[float, typer.Option(min=0, max=1, help="With a belt: share of bad parts.")] = 0.2,
    fault: Annotated[
        Literal["none", "never-acknowledges", "stands-still", "loses-triggers", "triggers-twice"],
        typer.Option(help="What is wrong with it; of triggers, one in 20."),
    ] = "none",
) -> None:
    """Be the PLC of a line, to try it; with a simulated camera also its belt, with good and bad parts, run by program.st."""
    from rich.live import Live

    from appliance.cli.event_log import EventLog
    from appliance.cli.plc_belt import belt_of
    from appliance.config.line import load_line, need_plc
    from appliance.plc.sim import make_side
    from appliance.plc.sim.program import PlcProgram
    from appliance.plc.sim.running import Follower, Simulation, Station, recall
    from appliance.plc.sim.view import SimView

    loaded = load_line(line, config_dir)
    side = make_side(need_plc(loaded), loaded.file)
    belt = belt_of(loaded, parts, spacing_ms, picture_ms, bad, fault)
    if belt is not None and (eject_ms is not None or retain is not None):
        belt.wire.close()
        raise ConfigError(
            f"{loaded.file}: --eject-ms and --retain are for a PLC without a belt; this line's has one: leave them out"
        )
    station: Station = belt or Follower(PlcProgram((eject_ms or EJECT_MS) / 1000, recall(retain)), retain)
    with StopSignal() as stop:
        if as_json or not sys.stdout.isatty():
            log = EventLog(console, as_json=True)
            Simulation(side, station, cycle_ms / 1000, fault, log.record).run(stop)
        else:
            view = SimView(line)
            with Live(view, console=console, refresh_per_second=5):
                Simulation(side, station, cycle_ms / 1000, fault, view.take).run(stop)
    if belt is not None:
        belt.wire.close()
        console.print(belt.counts.told, highlight=False, soft_wrap=True) if sys.stdout.isatty() else None
        raise typer.Exit(0 if belt.counts.good_passed and not belt.counts.bad_let_go else 1)


def add_to(app: typer.Typer) -> None:
    """Put these commands among the others."""
    app.add_typer(plcs)
