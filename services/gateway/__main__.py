"""`python -m services.gateway [VENUE...]`: load the configuration, build the gateway, run it."""

from bestex.process import run
from services.gateway.service import build

if __name__ == "__main__":
    run("gateway", build)
