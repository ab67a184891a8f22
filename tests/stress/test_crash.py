"""Power cuts: whatever a disk may keep of what was not synced, nothing promised is lost."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from adapterhub_lite_registry import RegistryError
from tests.stress.life import Life
from tests.stress.stories import STORIES, live_a_little

LONG = os.environ.get("STRESS") == "long"
STATES = int(os.environ.get("STRESS_STATES", 100_000 if LONG else 1_000))
TRIES = 40
Story = Callable[[Life], None]


def run(
    tmp_path: Path,
    seed: int,
    story: Story = live_a_little,
    *,
    forgets: str = "",
    cut: bool = False,
    kills: bool = True,
) -> Life:
    """Live one life; ``cut`` the power after every call, else only after what was told."""
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    life = Life(tmp_path, seed, forgets, kills=kills and story is live_a_little)
    if cut:
        life.disk.after = life.check
    story(life)
    return life


def test_a_power_cut_at_any_moment_breaks_no_promise(tmp_path: Path) -> None:
    states, seed = 0, 0
    while states < STATES:
        for story in STORIES:
            states += run(tmp_path, seed, story, cut=True).cuts
        seed += 1
    print(f"{states:,} states in {seed} rounds")


def test_every_single_sync_is_needed(tmp_path: Path) -> None:
    met: dict[str, list[Story]] = {}
    for story in STORIES:
        for site in run(tmp_path, 0, story, kills=False).disk.sites:
            met.setdefault(site, []).append(story)
    registrys = {site: own for site, own in met.items() if not site.startswith("Life.")}
    assert len(registrys) > 30
    assert {site for site, own in registrys.items() if not _is_missed(tmp_path, site, own)} == set()


def _is_missed(tmp_path: Path, site: str, stories: Sequence[Story]) -> bool:
    """Tell whether a promise is broken, at least once, when the syncs at ``site`` do nothing."""
    for seed in range(TRIES):
        for story in stories:
            try:
                run(tmp_path, seed, story, forgets=site)
            except (AssertionError, RegistryError, OSError):
                return True
    return False
