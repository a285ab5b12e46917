"""Writes one workload's inputs to a file, for a profiler that runs outside the judge.

The same code makes judged inputs; the seed is the caller's. No expected output is written.
"""

from __future__ import annotations

from pathlib import Path

import torch

from ...errors import InfrastructureError
from ...messages.judge import MaterialiseInputs
from ...messages.profiler import SCALARS
from ...schema.flashinfer_trace import Definition, Workload
from .operator_adapter import OperatorAdapter

SCALARS_KEY = "scalars"


def write_inputs(request: MaterialiseInputs, device: torch.device) -> None:
    """Writes the inputs as safetensors; scalars are JSON in the metadata under 'scalars'.

    Raises:
        DatasetError: when the operator cannot make them.
        InfrastructureError: when the file cannot be written.
    """
    from safetensors.torch import save_file

    operator = OperatorAdapter(Definition.model_validate(request.definition), *request.places)
    case = operator.case(Workload.model_validate(request.workload))
    inputs = operator.make_inputs(case, request.seed, operator.families[0], device)
    tensors = {
        name: value.cpu().contiguous()
        for name, value in inputs.items()
        if isinstance(value, torch.Tensor)
    }
    scalars = {n: v for n, v in inputs.items() if not isinstance(v, torch.Tensor)}
    path = Path(request.path)
    draft = path.with_suffix(f"{path.suffix}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, str(draft), metadata={SCALARS_KEY: SCALARS.dump_json(scalars).decode()})
        draft.replace(path)
    except Exception as error:
        draft.unlink(missing_ok=True)
        raise InfrastructureError(
            f"The inputs could not be written: {error}",
            where=str(path),
            remedy="Free disk space or choose another folder.",
        ) from error
