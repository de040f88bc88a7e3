"""Run as a script of its own: applies a chat template in a sandbox, within limits of time and memory.

In: JSON on standard input with template, messages, bos_token and eos_token. Out: JSON with `text`, or with `error`.
A template is a small program from the model's folder; here it can reach nothing but what it is given.
"""

import contextlib
import json
import sys

SECONDS, BYTES = 5, 1 << 30


def main() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # the caller's time limit holds everywhere
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    given = json.load(sys.stdin)
    try:
        answer = {"text": rendered(**given)}
    except Exception as error:  # noqa: BLE001 - whatever the template trips over is its own fault
        answer = {"error": f"{type(error).__name__}: {str(error)[:200]}"}
    json.dump(answer, sys.stdout)


def rendered(template: str, messages: list[dict[str, str]], bos_token: str, eos_token: str) -> str:
    """The chat as text, ready for the model's turn; white space as the templates of Hugging Face expect it."""
    from jinja2 import ext, nodes
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> str:
        raise TemplateError(message)

    def today(format: str) -> str:
        raise TemplateError("it asks for the date of today, which a record cannot repeat")

    def tojson(value: object, **options: object) -> str:
        return json.dumps(value, **{"ensure_ascii": False, **options})  # type: ignore[arg-type]

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.filters.pop("attr")
    environment.globals.update(raise_exception=refuse, strftime_now=today)
    tree = environment.parse(template)
    for node in tree.find_all((nodes.Getattr, nodes.NSRef, nodes.Name, nodes.Const)):
        name = getattr(node, "attr", None) or getattr(node, "name", None) or getattr(node, "value", None)
        if isinstance(name, str) and (name.startswith("_") or "__" in name):
            raise SecurityError(f"it names {name[:40]!r}")
    return environment.from_string(template).render(
        messages=messages, bos_token=bos_token, eos_token=eos_token, add_generation_prompt=True
    )


if __name__ == "__main__":
    main()
