"""The operator's process, with the points at which it may kill itself: amid a switch of models, or amid a re-rating."""

import sys

from lab.torture import operator, points

WORK = {
    "mid_switch": ("switch_billing_model", ("lab.torture.operator_money",)),
    "mid_rerate": ("rerate", ("lab.torture.operator_prices",)),
}

if __name__ == "__main__":
    points.install(WORK)
    sys.exit(operator.main(sys.argv))
