"""sokutatsu.toml -> frozen settings. The top of the house reads it; nobody below ever imports it.

Every module declares its own settings; here they are filled, held to their bounds and against each other, and all
errors are reported at once with line and key. Secrets and keys stand in files of their own and are named by path; the
file is safe to show. deploy/sokutatsu.toml describes every key.
"""

from engine.config.agreement import cautions
from engine.config.opening import SubmissionUnusable, open_submission
from engine.config.reading import read_configuration
from engine.config.returns import open_return_path
from engine.config.settings import EngineSettings, ReturnPathTable, SenderSettings, Settings, SubmissionTable

__all__ = [
    "EngineSettings",
    "ReturnPathTable",
    "SenderSettings",
    "Settings",
    "SubmissionTable",
    "SubmissionUnusable",
    "cautions",
    "open_return_path",
    "open_submission",
    "read_configuration",
]
