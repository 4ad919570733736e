"""`python -m services.scheduler [ALGO ...]`"""

from bestex.process import run
from services.scheduler.service import build

if __name__ == "__main__":
    run("scheduler", build)
