"""Whether a running line's challenge is due: what it speaks for, and a thread that looks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from appliance.config.records import ChallengeConfig
from appliance.host.process_table import CHALLENGE
from appliance.host.time_limits import CHALLENGE_LOOK_S
from appliance.line.recipe_at_work import LoadedRecipe
from appliance.messages.notices import Notify
from appliance.records.challenge_record import Conditions, due
from engines.common.errors import UserError


def conditions_of(loaded: LoadedRecipe) -> Conditions:
    """What a challenge of a recipe at work speaks for."""
    return Conditions(
        loaded.line, loaded.recipe.digest, loaded.thresholds_version, loaded.sensitivity.offset, loaded.engine.target
    )


class ChallengeWatch:
    """Has a running line tell when a challenge is due, and when it was made. The line goes on in any case."""

    def __init__(self, config: ChallengeConfig, journal: Path, conditions: Callable[[], Conditions], notify: Notify) -> None:
        """``conditions`` are the line's at the moment; asked for by a thread of its own, as is the journal."""
        self._config, self._journal, self._conditions, self._notify = config, journal, conditions, notify
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=CHALLENGE.name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        told = False
        while not self._closing.wait(CHALLENGE_LOOK_S):
            try:
                why = due(self._config, self._journal, self._conditions())
            except UserError as error:
                why = f"whether a challenge is due cannot be seen: {error}"
            if why and not told:
                self._notify("warning", f"{why}; the line goes on", "challenge-due")
            elif told and not why:
                self._notify("info", "the line has passed a challenge", "challenge-due")
            told = why is not None
