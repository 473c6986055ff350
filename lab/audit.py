"""`python -m lab.audit`: what is known against the locked packages, and a list of them (CycloneDX) in `build/sbom.json`.

Exit code 0: nothing is known. 1: something is. 69: not every package could be asked about, so nobody knows.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SBOM = ROOT / "build" / "sbom.json"
_TOOL = ["uv", "tool", "run", "--quiet", "--from", "pip-audit>=2.10,<3", "pip-audit", "--disable-pip", "--require-hashes", "--format", "json"]
_PACKAGE = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def sbom(lock: str) -> dict[str, Any]:
    """The packages of a requirements file as CycloneDX has them; nobody is asked."""
    components = [
        {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name.lower()}@{version}",
            "properties": [{"name": "sha256", "value": one} for one in _HASH.findall(rest)],
        }
        for name, version, rest in _PACKAGE.findall(lock)
    ]
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}


def judged(answer: str) -> tuple[int, list[str]]:
    """The exit code and what to tell of the tool's answer: a package that it left out is not one against which nothing is known."""
    try:
        dependencies = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return os.EX_UNAVAILABLE, ["the service of known vulnerabilities can't be asked"]
    known = [f"{one['name']} {one['version']}: {found['id']}" for one in dependencies for found in one.get("vulns", ())]
    skipped = [str(one["name"]) for one in dependencies if "skip_reason" in one]
    if known:
        return 1, known
    if skipped or not dependencies:
        return os.EX_UNAVAILABLE, [f"{len(skipped)} of {len(dependencies)} packages could not be asked about: {', '.join(skipped[:5])} …"]
    return 0, [f"nothing is known against {len(dependencies)} packages"]


def main() -> int:
    """Writes the list, asks, and tells; the exit code of the worst answer."""
    SBOM.parent.mkdir(exist_ok=True)
    SBOM.write_text(json.dumps(sbom((ROOT / "requirements.lock").read_text(encoding="utf-8")), indent=2) + "\n", encoding="utf-8")
    codes = []
    for name in ("requirements.lock", "requirements-dev.lock"):
        asked = subprocess.run([*_TOOL, "--requirement", name], cwd=ROOT, capture_output=True, text=True, check=False)
        code, told = judged(asked.stdout)
        codes.append(code)
        sys.stdout.write("".join(f"{name}: {line}\n" for line in told))
    return 1 if 1 in codes else max(codes)


if __name__ == "__main__":
    sys.exit(main())
