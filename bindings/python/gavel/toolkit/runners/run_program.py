"""Inside the sandbox: runs one Python program as __main__, and says the given word only when it came to its end."""

import sys
import traceback
import types

word, path, compile_error = sys.argv[1], sys.argv[2], int(sys.argv[3])
sys.argv = ["program.py"]
with open(path, encoding="utf-8") as file:
    source = file.read()
try:
    code = compile(source, "program.py", "exec", dont_inherit=True)
except (SyntaxError, ValueError, RecursionError):
    traceback.print_exc(limit=0)
    sys.exit(compile_error)
module = types.ModuleType("__main__")
sys.modules["__main__"] = module
exec(code, module.__dict__)
print(f"\n{word}", flush=True)
