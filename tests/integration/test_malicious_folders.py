"""Every folder and archive that means harm is refused, in a process whose memory is limited."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_whole_corpus_is_refused_and_nothing_in_it_is_run(tmp_path: Path) -> None:
    place = tmp_path / "corpus"
    place.mkdir()
    command = [sys.executable, "-m", "tests.integration.malicious_corpus", str(place)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    found = told["found"]
    good = {what for what, outcome in found.items() if outcome == "imported"}
    assert good == {"a good model", "a good adapter"}
    assert {what: said for what, said in found.items()
            if what not in good and not said.startswith("refused: ")} == {}  # fmt: skip
    assert len(found) > 90
    print(f"peak {told['peak']} MB; computing most: {told['slowest']}")
    assert not told["canary"]
    assert told["escaped"] == []
