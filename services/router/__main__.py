"""`python -m services.router`"""

from bestex.process import run
from services.router.service import build

if __name__ == "__main__":
    run("router", build)
