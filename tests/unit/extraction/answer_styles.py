"""Realistic ways in which models answer: each wraps one solution (right or wrong) into an answer text."""

from __future__ import annotations

import ast
import html
import json
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from pytest_llmeval.schema import Problem

Style = Callable[["Solution"], str]


@dataclass(frozen=True)
class Solution:
    """A problem with one solution's body, and the pieces that answers are made of."""

    problem: Problem
    body: str

    @property
    def full(self) -> str:
        """Prompt and body: the whole function with its docstring."""
        return self.problem.prompt + self.body.rstrip("\n") + "\n"

    @property
    def name(self) -> str:
        return self.problem.entry_point

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.full)

    @property
    def function(self) -> ast.FunctionDef:
        (found,) = [n for n in self.tree.body if isinstance(n, ast.FunctionDef) and n.name == self.name]
        return found

    @property
    def bare(self) -> str:
        """The function alone: no imports, no docstring, no helpers of the prompt."""
        return ast.unparse(_without_docstring(self.function)) + "\n"

    @property
    def module(self) -> str:
        """Everything, without docstrings: the shortest complete answer."""
        statements = [n for n in self.tree.body if not isinstance(n, ast.Assign)]
        return "\n\n".join(ast.unparse(_without_docstring(n)) for n in statements) + "\n"

    @property
    def statements(self) -> str:
        """The function's body as models write it, without indentation."""
        return textwrap.dedent("\n".join(self.bare.split("\n")[1:]))

    @property
    def call(self) -> str:
        return f"{self.name}({', '.join('0' for _ in self.function.args.args)})"


def _without_docstring(node: ast.stmt) -> ast.stmt:
    if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
        node.body = node.body[1:] or [ast.Pass()]
    return node


def _indented(text: str, margin: str) -> str:
    return textwrap.indent(text, margin)


def _fence(code: str, language: str = "python", mark: str = "```") -> str:
    return f"{mark}{language}\n{code.rstrip()}\n{mark}\n"


CHAT: dict[str, Style] = {}


def _chat(style: Style) -> Style:
    CHAT[style.__name__] = style
    return style


@_chat
def plain_fence(s: Solution) -> str:
    return _fence(s.full)


@_chat
def fence_with_prose(s: Solution) -> str:
    return f"Sure! Here's the solution:\n\n{_fence(s.full)}\nThis function handles all cases; it's O(n)."


@_chat
def bare_fence(s: Solution) -> str:
    return f"Here you go.\n\n{_fence(s.module, '')}\nHope that helps!"


@_chat
def crlf(s: Solution) -> str:
    return f"Sure:\n\n{_fence(s.full)}\nDone.\n".replace("\n", "\r\n")


@_chat
def tilde_fence(s: Solution) -> str:
    return f"Answer:\n\n{_fence(s.module, 'python', '~~~')}"


@_chat
def long_fence_marks(s: Solution) -> str:
    return f"Answer:\n\n{_fence(s.full, 'python', '`````')}bye"


@_chat
def py3_language(s: Solution) -> str:
    return _fence(s.full, "py3")


@_chat
def python_3_language(s: Solution) -> str:
    return _fence(s.full, "Python 3")


@_chat
def language_with_attributes(s: Solution) -> str:
    return _fence(s.full, '{.python .numberLines startFrom="1"}')


@_chat
def upper_case_language_and_title(s: Solution) -> str:
    return _fence(s.full, "Python title=solution.py")


@_chat
def prefilled_fence(s: Solution) -> str:
    return f"{s.full}```\n\nThe function above works as follows:\n- it's simple\n- it's tested"


@_chat
def prefilled_fence_then_example(s: Solution) -> str:
    return f"{s.module}```\n\nExample usage:\n\n{_fence(f'print({s.call})')}"


@_chat
def prefilled_fence_to_the_end(s: Solution) -> str:
    return s.module


@_chat
def prefilled_signature(s: Solution) -> str:
    return f"{s.body.rstrip()}\n```\n\nThis works because it's correct."


@_chat
def stray_closing_fence(s: Solution) -> str:
    return f"{s.module}\n```\n"


@_chat
def doubled_closing_fence(s: Solution) -> str:
    return f"Here:\n{_fence(s.module)}```\n\nNote: don't forget to test it."


@_chat
def doubled_closing_fence_then_tests(s: Solution) -> str:
    tests = f"assert {s.call} is not None\nprint('ok')"
    return f"Here:\n{_fence(s.module)}```\n\nTests:\n\n{_fence(tests)}"


@_chat
def unclosed_fence(s: Solution) -> str:
    return f"Sure, here is the code:\n\n```python\n{s.full}"


@_chat
def longer_test_block_after(s: Solution) -> str:
    tests = "\n".join(f"    def test_{i}(self):\n        self.assertIsNotNone({s.call})\n" for i in range(12))
    head = "import unittest\n\nclass Test(unittest.TestCase):\n"
    block = f"{head}{tests}\nif __name__ == '__main__':\n    unittest.main()"
    return f"{_fence(s.module)}\nAnd here are tests:\n\n{_fence(block)}"


@_chat
def tests_import_the_solution(s: Solution) -> str:
    tests = f"from solution import {s.name}\n\n\ndef test_it():\n    assert {s.call}\n\n\ntest_it()"
    return f"`solution.py`:\n\n{_fence(s.module)}\n`test_solution.py`:\n\n{_fence(tests)}"


@_chat
def examples_in_the_block(s: Solution) -> str:
    extra = f"\n# Example usage:\nprint({s.call})\nresult = {s.call}\nassert result == 12345, 'never'\n"
    return _fence(s.full + extra)


@_chat
def main_block(s: Solution) -> str:
    guard = "if __name__ == '__main__':\n    main()\n    raise SystemExit(3)\n"
    return _fence(f"{s.module}\ndef main():\n    print({s.call})\n\n\n{guard}")


@_chat
def reads_input_afterwards(s: Solution) -> str:
    return _fence(f"{s.module}\nn = int(input())\nprint({s.name}(n))\n")


@_chat
def think_block(s: Solution) -> str:
    draft = f"def {s.name}(*args):\n    return 'draft'"
    return f"<think>\nLet me see. Maybe\n```python\n{draft}\n```\nNo, wait.\n</think>\n\n{_fence(s.full)}"


@_chat
def think_block_opened_by_template(s: Solution) -> str:
    draft = f"def {s.name}(*args):\n    return 'draft'"
    return f"Okay, so I need to.\n\n{_fence(draft)}\nHmm.\n</think>\n\n{_fence(s.module)}"


@_chat
def magistral_think(s: Solution) -> str:
    return f"[THINK]def {s.name}(): return 1?[/THINK]\n{_fence(s.module)}"


@_chat
def harmony_channels(s: Solution) -> str:
    draft = _fence(f"def {s.name}(*args):\n    return 0")
    return (
        f"<|channel|>analysis<|message|>We need {s.name}. Write:\n{draft}"
        f"<|end|><|start|>assistant<|channel|>final<|message|>{_fence(s.full)}"
    )


@_chat
def unclosed_think_with_code(s: Solution) -> str:
    return f"<think>\nThe user wants code. So:\n\n{_fence(s.module)}\nLet me double check that"


@_chat
def class_solution(s: Solution) -> str:
    lines = s.bare.replace("(", "(self, ", 1).replace("(self, )", "(self)")
    if f"{s.name}(" in s.statements:  # the method would call itself by its bare name
        return _fence(s.module)
    return f"```python\nfrom typing import *\n\nclass Solution:\n{_indented(lines, '    ')}```"


@_chat
def static_method(s: Solution) -> str:
    if f"{s.name}(" in s.statements:
        return _fence(s.module)
    return _fence(f"from typing import *\n\nclass Solution:\n    @staticmethod\n{_indented(s.bare, '    ')}")


@_chat
def assembled_over_blocks(s: Solution) -> str:
    imports = _fence("from typing import *")
    return f"First the imports:\n\n{imports}\nThen the function:\n\n{_fence(s.bare)}"


@_chat
def no_imports(s: Solution) -> str:
    return _fence(s.bare)


@_chat
def corrected_answer(s: Solution) -> str:
    wrong = f"def {s.name}(*args):\n    result = []\n    return 'wrong'\n"
    return f"{_fence(wrong)}\nWait, that is wrong. Corrected:\n\n{_fence(s.module)}"


@_chat
def stub_repeated_afterwards(s: Solution) -> str:
    stub = f"def {s.name}(*args):\n    # same as above\n    ...\n"
    return f"{_fence(s.module)}\nThe structure is:\n\n{_fence(stub)}"


@_chat
def prompt_repeated_first(s: Solution) -> str:
    return f"You asked me to complete:\n\n{_fence(s.problem.prompt)}\nHere it is:\n\n{_fence(s.full)}"


@_chat
def steps_then_whole(s: Solution) -> str:
    head = s.bare.split("\n")[0]
    return f"Step 1:\n\n{_fence(head)}\nStep 2:\n\n{_fence(s.module)}\nStep 3: enjoy!"


@_chat
def whole_then_excerpt(s: Solution) -> str:
    lines = s.bare.rstrip().split("\n")
    excerpt = "\n".join([lines[0], "    ...", lines[-1] if lines[-1].startswith("    return") else "    ..."])
    return f"{_fence(s.module)}\nExplanation:\n\n{_fence(excerpt)}\nThat's the core."


@_chat
def list_item(s: Solution) -> str:
    return f"1. Here's the code:\n\n{_indented(_fence(s.full), '   ')}\n2. Run it."


@_chat
def deep_list_item(s: Solution) -> str:
    return f"- Answer\n    - Code\n{_indented(_fence(s.module), '        ')}\n- Bye"


@_chat
def blockquote(s: Solution) -> str:
    return f"> Here's the code:\n>\n{_indented(_fence(s.module), '> ')}"


@_chat
def quoted_without_fence(s: Solution) -> str:
    return "As requested:\n\n" + "".join(f"> {line}\n" for line in s.module.split("\n"))


@_chat
def unfenced(s: Solution) -> str:
    return s.full


@_chat
def unfenced_with_prose(s: Solution) -> str:
    return f"Here's a function, as you've asked:\n\n{s.full}\nIt's simple, isn't it? (I think so\n"


@_chat
def french(s: Solution) -> str:
    return (
        f"Voici la solution :\n\n{_fence(s.full)}\nCette fonction renvoie le résultat attendu, n'est-ce pas ?"
    )


@_chat
def indented_block(s: Solution) -> str:
    return f"The code:\n\n{_indented(s.module, '    ')}\nThat's all."


@_chat
def body_only(s: Solution) -> str:
    return s.body


@_chat
def body_in_fence(s: Solution) -> str:
    return f"The body is:\n\n{_fence(s.body)}"


@_chat
def unindented_body_in_fence(s: Solution) -> str:
    return f"Complete it with:\n\n{_fence(s.statements)}"


@_chat
def body_without_first_indent(s: Solution) -> str:
    return s.body.lstrip()


@_chat
def language_line_left_over(s: Solution) -> str:
    return f"python\n{s.module}"


@_chat
def language_line_in_bare_fence(s: Solution) -> str:
    return _fence(f"python\n{s.module}", "")


@_chat
def code_on_the_fence_line(s: Solution) -> str:
    return f"```python {s.bare.rstrip()}\n```"


@_chat
def literal_newlines(s: Solution) -> str:
    return json.dumps(_fence(s.module))[1:-1]


@_chat
def literal_newlines_unescaped(s: Solution) -> str:
    return _fence(s.module).replace("\n", "\\n")


@_chat
def every_space_no_break(s: Solution) -> str:
    return _fence(s.module).replace(" ", "\u00a0")


@_chat
def every_quote_typographic(s: Solution) -> str:
    return _fence(s.module).replace('"', "\u201d").replace("'", "\u2019")


@_chat
def html_page_text(s: Solution) -> str:
    return html.escape(f"Here it is:\n\n{_fence(s.full)}\nIt's done.")


@_chat
def closing_fence_on_the_last_line(s: Solution) -> str:
    return f"```python\n{s.full.rstrip()}```\nThat's it."


@_chat
def json_object(s: Solution) -> str:
    return json.dumps({"explanation": f"Use {s.name}.", "code": s.full})


@_chat
def json_in_fence(s: Solution) -> str:
    return _fence(json.dumps({"code": s.module}, indent=2), "json")


@_chat
def code_tags(s: Solution) -> str:
    return f"<code>\n{s.full}</code>"


@_chat
def answer_tags_inline(s: Solution) -> str:
    return f"<reasoning>Simple.</reasoning><answer>{s.module}</answer>"


@_chat
def answer_tags_around_fence(s: Solution) -> str:
    return f"<answer>\n{_fence(s.full)}</answer>"


@_chat
def html_entities(s: Solution) -> str:
    return f'<pre><code class="language-python">{html.escape(s.full)}</code></pre>'


@_chat
def no_break_spaces(s: Solution) -> str:
    return _fence(s.module.replace("    ", "\u00a0\u00a0\u00a0\u00a0"))


@_chat
def zero_width_and_bom(s: Solution) -> str:
    return "\ufeff" + _fence(s.module.replace("return ", "return\u200b "))


@_chat
def special_token_at_the_end(s: Solution) -> str:
    return f"{s.module.rstrip()}<|im_end|>"


@_chat
def tabs(s: Solution) -> str:
    return _fence(s.module.replace("    ", "\t"))


@_chat
def tabs_mixed_with_spaces(s: Solution) -> str:
    lines = s.full.split("\n")
    return _fence(
        "\n".join(
            "\t" + line[4:] if line.startswith("    ") and i % 2 else line for i, line in enumerate(lines)
        )
    )


@_chat
def interactive_session(s: Solution) -> str:
    lines = s.bare.rstrip().split("\n")
    session = "\n".join(
        [f">>> {lines[0]}", *(f"... {line}" for line in lines[1:]), "...", f">>> {s.call}", "0"]
    )
    return _fence(session)


@_chat
def numbered_lines(s: Solution) -> str:
    return _fence("\n".join(f"{i:3d}| {line}" for i, line in enumerate(s.module.split("\n"), 1)))


@_chat
def patch(s: Solution) -> str:
    return _fence("@@ -1,1 +1,9 @@\n-pass\n" + "".join(f"+{line}\n" for line in s.module.split("\n")), "diff")


@_chat
def nested_fence_in_docstring(s: Solution) -> str:
    lines = s.bare.split("\n")
    doc = '    """\n    Example:\n    ```python\n    1 + 1\n    ```\n    """'
    preamble = s.module[: s.module.index(f"def {s.name}(")]
    return f"Code:\n\n{_fence(preamble + chr(10).join([lines[0], doc, *lines[1:]]))}\nThat's it."


@_chat
def markdown_in_markdown(s: Solution) -> str:
    return f"````markdown\n# Answer\n\n{_fence(s.full)}````\n"


@_chat
def markdown_wrapper_of_three(s: Solution) -> str:
    return f"```markdown\n# Answer\n\n{_fence(s.module)}```\n"


@_chat
def escaped_underscores(s: Solution) -> str:
    return f"Here:\n\n{s.module.replace('_', chr(92) + '_')}"


@_chat
def after_a_colon(s: Solution) -> str:
    return f"The function you want is: {s.bare}"


@_chat
def inline_code(s: Solution) -> str:
    return f"Use `{s.bare.rstrip()}` and you're done."


@_chat
def camel_case(s: Solution) -> str:
    words = s.name.split("_")
    spelt = words[0] + "".join(word.title() for word in words[1:])
    return _fence(s.module.replace(s.name, spelt))


@_chat
def cached(s: Solution) -> str:
    wrapped = (
        s.bare.replace(f"def {s.name}(", f"def {s.name}_impl(", 1) + f"\n{s.name} = wrap({s.name}_impl)\n"
    )
    return _fence(
        "import functools\n\ndef wrap(f):\n    @functools.wraps(f)\n    def g(*a):\n        return f(*a)\n"
        f"    return g\n\n{wrapped}"
    )


@_chat
def decorated(s: Solution) -> str:
    tracer = "def traced(f):\n    def g(*a):\n        CALLS.append(1)\n        return f(*a)\n    return g\n"
    return _fence(f"CALLS = []\n\n{tracer}\n\n@traced\n{s.bare}")


@_chat
def helper_without_return(s: Solution) -> str:
    helper = "def note(log):\n    log.append(1)\n"
    lines = s.bare.split("\n")
    return _fence("\n".join([helper, lines[0], "    note(LOG)", *lines[1:], "", "LOG = []"]))


@_chat
def guarded_import(s: Solution) -> str:
    guard = "try:\n    from typing import *\nexcept ImportError:\n    List = list\n"
    return _fence(f"{guard}\n{s.bare}")


@_chat
def future_import(s: Solution) -> str:
    return _fence(f"from __future__ import annotations\n\n{s.bare}")


@_chat
def two_alternatives_in_one_block(s: Solution) -> str:
    first = f"# Option 1\ndef {s.name}(*args):\n    raise NotImplementedError\n"
    return _fence(f"{first}\n\n# Option 2\n{s.module}")


@_chat
def repeated_until_the_limit(s: Solution) -> str:
    cut = s.module.rstrip()[: -max(3, len(s.module) // 4)]
    return f"{_fence(s.module)}\nHere is it again:\n\n```python\n{cut}"


@_chat
def details_element(s: Solution) -> str:
    return f"<details>\n<summary>Code</summary>\n{_fence(s.module)}</details>"


@_chat
def answer_element_and_fence_without_blank_line(s: Solution) -> str:
    return f"<solution>\n```python\n{s.module}```\n</solution>\nIt's done."


COMPLETION: dict[str, Style] = {}


def _completion(style: Style) -> Style:
    COMPLETION[style.__name__] = style
    return style


@_completion
def continuation(s: Solution) -> str:
    return s.body


@_completion
def run_on_function(s: Solution) -> str:
    return f'{s.body}\n\ndef another(x):\n    """Cut inside a docstring\n    >>> another('


@_completion
def run_on_tests(s: Solution) -> str:
    return f"{s.body}\n\nassert {s.call} == 'never'\nprint('done')\nimport doctest\ndoctest.testmod("


@_completion
def run_on_prompt_again(s: Solution) -> str:
    return f"{s.body}\n\n{s.problem.prompt}    return 'never'\n"


@_completion
def run_on_comment(s: Solution) -> str:
    return f"{s.body}\n# It's the end\n\nif __name__ == '__main__':\n    print({s.call}"


@_completion
def run_on_docstring(s: Solution) -> str:
    return f'{s.body}\n\n"""\nThe next exercise\n'


@_completion
def end_of_text_token(s: Solution) -> str:
    return f"{s.body.rstrip()}<|endoftext|>import os\n"


@_completion
def first_indent_missing(s: Solution) -> str:
    return s.body.lstrip()


@_completion
def crlf_continuation(s: Solution) -> str:
    return f"{s.body}\n\ndef f():\n    pass\n".replace("\n", "\r\n")


@_completion
def fenced_by_an_instruct_model(s: Solution) -> str:
    return f"Sure!\n\n{_fence(s.full)}\nHere you go."


@_completion
def whole_function_again(s: Solution) -> str:
    return f"\n\n{s.module}"


@_completion
def markdown_after_the_body(s: Solution) -> str:
    return f"{s.body.rstrip()}\n```\n\nThis function works."
