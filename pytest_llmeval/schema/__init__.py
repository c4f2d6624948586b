"""The values that cross stages: frozen, compared by value, free of behaviour beyond simple questions.

Times are seconds, sizes are bytes, token counts are integers. `None` means "not measured".
"""

from pytest_llmeval.schema.answers import (
    SCHEMA_VERSION,
    Completion,
    Cut,
    Keys,
    MemoryBreakdown,
    Program,
    Record,
    RecordId,
    Sample,
    Timing,
    Verdict,
)
from pytest_llmeval.schema.models import (
    ModelSpec,
    Needs,
    Sampling,
    SetOverrides,
    TruncationPolicy,
)
from pytest_llmeval.schema.tasks import (
    Padding,
    Position,
    Problem,
    Prompt,
    Request,
    Span,
    Task,
)
from pytest_llmeval.schema.words import (
    AnswerForm,
    Channel,
    Outcome,
    PassRule,
    PromptStyle,
    Strategy,
)

__all__ = [
    "SCHEMA_VERSION",
    "AnswerForm",
    "Channel",
    "Completion",
    "Cut",
    "Keys",
    "MemoryBreakdown",
    "ModelSpec",
    "Needs",
    "Outcome",
    "Padding",
    "PassRule",
    "Position",
    "Problem",
    "Program",
    "Prompt",
    "PromptStyle",
    "Record",
    "RecordId",
    "Request",
    "Sample",
    "Sampling",
    "SetOverrides",
    "Span",
    "Strategy",
    "Task",
    "Timing",
    "TruncationPolicy",
    "Verdict",
]
