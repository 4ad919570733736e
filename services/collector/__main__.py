"""`python -m services.collector VENUE... | all`"""

from bestex.process import run
from services.collector.service import build

if __name__ == "__main__":
    run("collector", build)
