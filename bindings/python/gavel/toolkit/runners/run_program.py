"""Inside the sandbox: runs a Python candidate, then its test, and says the word only when the test came to its end.

The word is read from standard input before the candidate is touched. The candidate runs in a thread, so that it cannot
walk up its stack to the word; what would show it other threads' memory is refused. That is no wall (a program may poke
into its own process), but it stops what looks for a way around the tests rather than through this file.
"""

import ast
import builtins
import io
import os
import sys
import threading
import types
from collections.abc import Callable

REFUSED = {"sys._current_frames", "gc.get_objects", "gc.get_referrers", "gc.get_referents", "ctypes.dlopen"}
COMPARING = ("eq", "ne", "lt", "le", "gt", "ge", "sub", "rsub", "abs", "round", "float", "bool", "len", "contains")
OPERATORS = [f"__{name}__" for name in COMPARING]
COMPILED = (types.WrapperDescriptorType, types.MethodDescriptorType, types.BuiltinFunctionType)


def main(candidate: str, test: str, alone: bool) -> None:
    out, listdir, leave = sys.stdout, os.listdir, os._exit  # what the candidate may replace is kept here
    word = sys.stdin.readline().strip()
    sys.stdin = io.StringIO()
    print("gavel ready", file=out, flush=True)
    done, said = object(), []
    threading.stack_size(64 << 20)
    runner = threading.Thread(target=run, args=(candidate, test, said, done), daemon=True)
    runner.start()
    runner.join()
    verdict = said[0] if said else "failed\tEarlyExit\t\t0\tthe program ended before its tests did"
    if verdict is done:
        left = alone and len([name for name in listdir("/proc") if name.isdigit()]) > 2
        verdict = "failed\tLeftProcesses\t\t0\tprocesses of its own were still running" if left else word
    out.write(f"\n{verdict}\n")
    out.flush()
    leave(0)  # whatever threads are left


def run(candidate: str, test: str, said: list[object], done: object) -> None:
    execute = exec
    try:
        first = compile(candidate, "candidate.py", "exec", dont_inherit=True)
        tree = ast.parse(test, "test.py")
        name = f"_{id(tree):x}_genuine"
        second = compile(ast.fix_missing_locations(Calls(name).visit(tree)), "test.py", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said.append(
            f"compile\t{type(error).__name__}\tcandidate.py\t{getattr(error, 'lineno', 0) or 0}\t{brief(error)}"
        )
        return
    sys.addaudithook(refuse)
    known = dict(vars(builtins))
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    try:
        execute(first, module.__dict__)
        vars(builtins).update(known)
        execute(second, names_for_test(module, tree) | {name: genuine})
    except SystemExit:
        said.append("failed\tSystemExit\t\t0\tthe program ended before its tests did")
    except BaseException as error:
        said.append(f"failed\t{type(error).__name__}\t{place(error)}\t{brief(error)}")
    else:
        said.append(done)


def names_for_test(module: types.ModuleType, test: ast.Module) -> dict[str, object]:
    """The candidate's names, but not those that would stand before a builtin, unless it is the function under test."""
    tested = {each.id for call in ast.walk(test) if is_check(call) for each in call.args if isinstance(each, ast.Name)}
    return {
        name: value
        for name, value in vars(module).items()
        if not hasattr(builtins, name) or name in tested or name.startswith("__")
    }


def is_check(node: ast.AST) -> bool:
    """Whether it is the call of a function whose name begins with check, as ``Calls`` has left it."""
    return isinstance(node, ast.Call) and any(
        isinstance(each, ast.Name) and each.id.startswith("check") for each in node.args
    )


def refuse(event: str, _arguments: object) -> None:
    if event in REFUSED:
        raise PermissionError(f"{event} is not allowed here")


def place(error: BaseException) -> str:
    """File and line of the innermost frame that is the program's."""
    found = "\t0"
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in ("candidate.py", "test.py"):
            found = f"{trace.tb_frame.f_code.co_filename}\t{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def brief(error: BaseException) -> str:
    try:
        text = getattr(error, "msg", None) if isinstance(error, SyntaxError) else str(error)
        return " ".join(str(text)[:500].split())
    except BaseException:
        return ""


class Calls(ast.NodeTransformer):
    """Puts ``genuine(f, x)`` for ``f(x)``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in ("super", "locals", "vars"):  # they look at their caller
            return node
        call = ast.Call(ast.Name(self.name, ast.Load()), [node.func, *node.args], node.keywords)
        return ast.copy_location(call, node)


def genuine(function: Callable[..., object], /, *args: object, **kwargs: object) -> object:
    """What a call returns, unless the candidate's own code would decide how that compares."""
    value = function(*args, **kwargs)
    if not isinstance(function, type) and compares_itself(value):
        raise AssertionError(f"{type(value).__name__} brings comparisons of its own")
    return value


def compares_itself(value: object, depth: int = 0) -> bool:
    if not all(trusted(getattr(type(value), name, None)) for name in OPERATORS):
        return True
    if depth > 20:
        return False
    if isinstance(value, dict):
        return any(compares_itself(each, depth + 1) for pair in dict.items(value) for each in pair)
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return any(compares_itself(each, depth + 1) for each in kind.__iter__(value))
    return False


def trusted(method: object) -> bool:
    """Whether it is none, the interpreter's, or the standard library's."""
    if isinstance(method, types.FunctionType):
        return method.__code__.co_filename.startswith(("/usr/lib/", "<frozen "))
    return method is None or isinstance(method, COMPILED)


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


main(read(sys.argv[1]), read(sys.argv[2]), sys.argv[3] == "alone")
