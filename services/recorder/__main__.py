"""`python -m services.recorder`"""

import os

from bestex.process import run
from services.recorder.service import build, make_host

# On a shared machine recording gives way to those who trade; it is some milliseconds behind anyway.
NICE = 10

if __name__ == "__main__":
    os.nice(NICE)
    run("recorder", build, make_host)
