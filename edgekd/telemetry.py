"""Nothing is told to anyone: what the packages underneath would send is switched off.

onnxruntime sends the names of model files, hashes of their graphs and more from 1.29 on, and
keeps an identifier and a database under ``~/.cache``, unless a variable is set before it is
imported. Whoever sets one of these variables himself keeps his choice.
"""

from __future__ import annotations

import os

#: Variable -> the value that switches off.
VARIABLES = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime, from 1.29 on
    "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub
    "MLFLOW_DISABLE_TELEMETRY": "true",  # MLflow, from 3.2 on
}


def switch_off() -> None:
    """Set the variables that are not set; processes that are started inherit them."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
