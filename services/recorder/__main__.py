"""`python -m services.recorder`"""

from bestex.process import run
from services.recorder.service import build, make_host

if __name__ == "__main__":
    run("recorder", build, make_host)
