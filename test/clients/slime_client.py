"""slime's own `remote_rm`, from its repository (SLIME); what the module imports beside it is not needed."""

import asyncio
import os
import subprocess
import sys
import types

source = os.environ["SLIME"]
path = "slime/rollout/rm_hub/__init__.py"
if os.path.isdir(os.path.join(source, "slime")):
    text = open(os.path.join(source, path)).read()
else:
    text = subprocess.run(["git", "-C", source, "show", f"HEAD:{path}"], capture_output=True, text=True, check=True).stdout


class Anything(types.ModuleType):
    def __getattr__(self, name):
        return object


for name in ("deepscaler", "f1", "gpqa", "math_dapo_utils", "math_utils", "ifbench"):
    sys.modules[f"slime.rollout.rm_hub.{name}"] = Anything(name)
for name in ("slime", "slime.rollout", "slime.utils", "slime.utils.misc", "slime.utils.types"):
    sys.modules[name] = Anything(name)
hub = types.ModuleType("slime.rollout.rm_hub")
hub.__package__ = "slime.rollout.rm_hub"
hub.__path__ = []
sys.modules["slime.rollout.rm_hub"] = hub
exec(compile(text, path, "exec"), hub.__dict__)

args = types.SimpleNamespace(rm_url=f"{os.environ['URL']}/t/{os.environ['TOKEN']}/task/gate/rm")


async def main():
    sample = types.SimpleNamespace(prompt="Say something.", response="Hello there", label="")
    messages = types.SimpleNamespace(prompt=[{"role": "user", "content": "Say something."}], response="word " * 40, label=None)
    return [await hub.remote_rm(args, sample), await hub.remote_rm(args, messages)]


inside, outside = asyncio.run(main())
assert isinstance(inside, float) and 0 < inside < 1 and outside == 0, (inside, outside)
print(f"ok slime remote_rm: reward inside the constraints {inside:.4f}, outside {outside}")
