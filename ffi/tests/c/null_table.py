#!/usr/bin/env python3
"""Writes test_null.c from siskin.h: every argument of every function as NULL, and every handle as a freed one, one of another
kind and garbage. A function with an argument that the tables below do not know stops it, so none can be forgotten.

Usage: null_table.py HEADER OUT.c
"""

import importlib.util
import pathlib
import re
import sys
from importlib.machinery import SourceFileLoader

sys.dont_write_bytecode = True
loader = SourceFileLoader("abi", str(pathlib.Path(__file__).resolve().parents[3] / "scripts/abi"))
abi = importlib.util.module_from_spec(importlib.util.spec_from_loader("abi", loader))
loader.exec_module(abi)

HANDLES = ["model", "session", "job", "error", "text", "tokens", "embedder", "vision", "picture", "moderator"]

# A good value for an argument of each type.
VALUES = {
    "const char *": '"x"', "const uint8_t *": '(const uint8_t *)"x"', "const uint32_t *": "script_tokens",
    "siskin_event_fn": "hear_nothing", "siskin_release_fn": "NULL", "void *": "NULL",
    "int32_t": "-1", "int64_t": "0", "uint32_t": "1", "uint64_t": "1", "size_t": "1", "bool": "false",
    "const siskin_prompt *": "&t.prompt", "const siskin_chat *": "&t.chat", "const siskin_fim_request *": "&t.fim_request", "const siskin_policy *": "&t.policy",
    "size_t *": "&t.n", "uint32_t *": "&t.u32", "uint64_t *": "&t.u64", "bool *": "&t.flag", "float *": "&t.number", "double *": "&t.probability",
    "const char **": "&t.data", "const uint32_t **": "&t.ids", "const siskin_event*const **": "&t.events",
}
for struct in ["model_options", "session_options", "generate_options", "embed_options", "moderate_options", "model_info",
               "vision_info", "picture_options", "fit", "fim_cut", "outcome"]:
    VALUES[f"siskin_{struct} *"] = VALUES[f"const siskin_{struct} *"] = f"&t.{struct}"
for handle in HANDLES:
    VALUES[f"siskin_{handle} *"] = VALUES[f"const siskin_{handle} *"] = f"t.{handle}"
    VALUES[f"siskin_{handle} **"] = f"&t.out_{handle}"


def may_be_null(function, kind, name):
    """What the header allows to be NULL."""
    return (kind in ("siskin_error **", "void *", "siskin_release_fn")
            or re.fullmatch(r"const siskin_\w+_options \*", kind) is not None
            or (function, name) in {("siskin_job_run", "outcome"), ("siskin_session_logits", "logits"),
                                     ("siskin_job_new_fim", "cut"), ("siskin_moderator_moderate", "response")})


def parameters(text):
    """[(type, name)] of a parameter list."""
    out = []
    for part in [] if text.strip() in ("", "void") else text.split(","):
        m = re.fullmatch(r"(.*?)(\w+)", re.sub(r"\bstruct |\benum ", "", part.strip()).replace("_Bool", "bool"))
        kind = re.sub(r"\s*\*\s*", "*", m.group(1).strip())
        out.append((re.sub(r"(\*+)$", r" \1", kind).replace("**", "**").strip().replace("*const**", " *const **"), m.group(2)))
    return out


def main():
    header, target = sys.argv[1:]
    cases, functions = [], 0
    for statement in abi.statements(abi.preprocessed(header)):
        m = abi.FUNCTION.match(statement)
        if not m:
            continue
        functions += 1
        result, name, params = m.group(1).replace("enum ", "").strip(), m.group(2), parameters(m.group(3))
        for kind, what in params:
            if kind not in VALUES:
                sys.exit(f"{name}: no value for `{what}` of type `{kind}`: add it to VALUES of {__file__}")
        pointers = [i for i, (kind, _) in enumerate(params) if kind.endswith("*") or kind.endswith("_fn")]
        if result not in ("siskin_result",):
            if pointers:
                sys.exit(f"{name} takes pointers and gives no siskin_result")
            continue

        def case(i, value, expected):
            call = ", ".join(value if k == i else VALUES[kind] for k, (kind, _) in enumerate(params))
            cases.append(f"    renew();\n    {expected}({name}({call}));")

        for i in pointers:
            kind, what = params[i]
            freed = name.endswith("_free")
            expected = "WORKS" if freed else "IS_NOT_NULL_POINTER" if may_be_null(name, kind, what) else "IS_NULL_POINTER"
            case(i, f"({kind})NULL" if not kind.endswith("_fn") else "NULL", expected)
            handle = re.fullmatch(r"(?:const )?siskin_(\w+) \*", kind)
            if handle and handle.group(1) in HANDLES:
                other = HANDLES[(HANDLES.index(handle.group(1)) + 1) % len(HANDLES)]
                for value in [f"t.freed_{handle.group(1)}", f"(siskin_{handle.group(1)} *)t.{other}", f"(siskin_{handle.group(1)} *)(uintptr_t)24"]:
                    case(i, value, "IS_INVALID_HANDLE")
    body = "\n".join(cases)
    source = pathlib.Path(__file__).with_name("null_table.h").name
    pathlib.Path(target).write_text(
        f'/* Made by null_table.py from siskin.h: {functions} functions, {len(cases)} cases. */\n#include "{source}"\n\n'
        f"void test_null(void) {{\n    prepare();\n{body}\n    finish();\n}}\n")
    print(f"{functions} functions, {len(cases)} cases")


if __name__ == "__main__":
    main()
