"""`python -m lab.mutants [NAME…] [--json]`: deliberately broken programs, and which check catches each; exit code 1 where one isn't."""

import argparse
import sys

from lab.mutants.catalogue import MUTANTS
from lab.mutants.run import Verdict, as_json, run, table


def main(arguments: list[str] | None = None) -> int:
    """Runs the mutants that are named, or all."""
    parser = argparse.ArgumentParser(
        prog="python -m lab.mutants", description="Runs deliberately broken programs against the checks that must notice."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of the mutants to run; all by default")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.names) - {mutant.name for mutant in MUTANTS}:
        parser.error(f"there is no mutant {', '.join(sorted(unknown))}")
    verdicts: list[Verdict] = []
    for verdict in run(asked.names):
        verdicts.append(verdict)
        if not asked.json:
            print(*table([verdict]), sep="\n", flush=True)  # noqa: T201
    if asked.json:
        print(as_json(verdicts))  # noqa: T201
    else:
        right = sum(verdict.is_right for verdict in verdicts)
        print(f"{right} of {len(verdicts)} as they should, {sum(v.seconds for v in verdicts):.0f} s of tests")  # noqa: T201
    return 0 if all(verdict.is_right for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
