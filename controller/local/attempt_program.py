"""``python -m controller.local.attempt_program FOLDER LOCK VARIABLES THREADS``: one attempt in a new interpreter."""

import json
import sys

from controller.local.attempts import run_attempt

if __name__ == "__main__":
    folder, lock, variables, threads = sys.argv[1:]
    run_attempt(folder, int(lock), json.loads(variables), int(threads))
