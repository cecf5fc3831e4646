"""Starts `touchstone serve` where NeMo Gym's launcher wants a resources server: on the host and port of its configuration.

The entry of the configuration may have `recipe` (a path) and `arguments` (a list of further flags). With `external: true` a
server that runs already is used, and this process only waits.
"""

import os
import shlex
import sys
import time

from omegaconf import OmegaConf


def main():
    config = OmegaConf.create(os.environ["NEMO_GYM_CONFIG_DICT"])
    name = os.environ["NEMO_GYM_CONFIG_PATH"]
    ((_, entry),) = config[name]["resources_servers"].items()
    if entry.get("external"):
        while True:
            time.sleep(3600)
    command = shlex.split(os.environ.get("TOUCHSTONE_COMMAND", "npx touchstone")) + ["serve"]
    if entry.get("recipe"):
        command.append(str(entry["recipe"]))
    command += [str(part) for part in entry.get("arguments", [])]
    command += ["--host", str(entry["host"]), "--port", str(entry["port"])]
    print("starting", shlex.join(command), file=sys.stderr)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
