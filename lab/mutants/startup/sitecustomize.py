"""Makes each Python process that a test starts the same mutant: this folder is the first of PYTHONPATH while one runs."""  # noqa: INP001

from lab.mutants import hook

mutant = hook.chosen()
if mutant is not None:
    hook.become(mutant)
