"""`python -m services.aggregator [SYMBOL ...]`"""

from bestex.process import run
from services.aggregator.service import build

if __name__ == "__main__":
    run("aggregator", build)
