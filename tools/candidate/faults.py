"""Describes exceptions that a candidate raised, in words an agent can act on.

A candidate's failure is a value. This module knows exceptions, compilers' logs and tracebacks; it
does not know verdicts, and its words only explain.
"""

from __future__ import annotations

import linecache
import re
import traceback
from pathlib import Path

from ..messages.candidate import CandidateFault
from ..messages.frames import EXCERPT_CHARACTERS

MESSAGE_CHARACTERS = 2_000
_CUDA_WORDS = ("CUDA error", "CUDA_ERROR_", "cudaError", "device-side assert", "CUBLAS_STATUS")
_MEMORY_WORDS = ("out of memory", "CUDA_ERROR_OUT_OF_MEMORY")
_INTERPRETER_LIMITS = (
    "not supported in interpreter mode",
    "'int' object has no attribute 'to'",
    "'float' object has no attribute 'to'",
)
"""What an exception says where a kernel is right and only Triton's interpreter cannot run it."""
_NEEDS_GPU = (
    "Torch not compiled with CUDA enabled",
    "No CUDA GPUs are available",
    "Found no NVIDIA driver",
    "no CUDA-capable device",
    "CUDA driver version is insufficient",
    "Tried to instantiate dummy base class",
    "NVTX functions not installed",
    "Cannot access accelerator device when none is available",
    "with arguments from the 'CUDA' backend",
    "has no attribute '_cuda_",
    "has no attribute '_CUDA",
)
"""What torch says where there is no GPU or no CUDA build of torch."""
_CUDA_LIBRARY = re.compile(
    r"lib(?:cuda|cudart|nvrtc|nvrtc-builtins|nvJitLink|nvToolsExt|cublas|cublasLt|cudnn|cufft|curand"
    r"|cusolver|cusparse|nccl|torch_cuda|c10_cuda)(?![a-zA-Z_])[\w.-]*\.so"
)
"""A library of CUDA that the loader does not find."""
_TORCHS_CUDA = "/torch/cuda/"
"""Where torch compiles by NVRTC, and does whatever else needs CUDA."""
_NO_TOOLKIT = ("CUDA_HOME environment variable is not set", "Failed to find C compiler")
_PACKAGES = frozenset(
    "apex causal_conv1d cuda cupy cutlass deep_gemm fla flash_attn flashinfer flash_mla helion "
    "jax mamba_ssm nvmath numba pycuda quack sageattention sgl_kernel sglang tilelang "
    "torchao transformer_engine triton.language.extra.tlx tvm tvm_ffi vllm warp xformers".split()
)
"""Packages that kernels are written with and that a machine may lack, and a part of Triton that
only a fork has; other names may be slips."""
_ERROR_LINE = re.compile(
    r"\b(?:fatal )?error\b|undefined reference|undefined symbol", re.IGNORECASE
)
_NOISE_LINE = re.compile(r"ninja: build stopped|^FAILED:|errors? detected in the compilation")


class CandidateError(Exception):
    """Raised where a candidate is at fault; carries the fault that is reported."""

    def __init__(
        self, kind: str, message: str, *, excerpt: str = "", output_position: int | None = None
    ) -> None:
        super().__init__(message)
        self.fault = CandidateFault(
            kind=kind,
            message=cut(message, MESSAGE_CHARACTERS),
            excerpt=cut(excerpt, EXCERPT_CHARACTERS),
            output_position=output_position,
        )


def cut(text: str, limit: int) -> str:
    """Shortens `text` to `limit` characters, keeping its beginning and its end."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    if len(text) <= limit:
        return text
    gap = f"\n… {len(text) - limit} characters left out …\n"
    head = (limit - len(gap)) * 2 // 3
    return text[:head] + gap + text[len(text) - (limit - len(gap) - head) :]


def fault_of(error: BaseException, source_dir: Path) -> CandidateFault:
    """Describes an exception that candidate code raised.

    Args:
        error: what was caught; its traceback is cut to the candidate's own frames.
        source_dir: folder that holds the candidate's sources, left out of the file names.
    """
    if isinstance(error, CandidateError):
        return error.fault
    kind, message = _kind_and_message(error, source_dir)
    if kind == "exception" and not _is_interpreters(error):
        place = own_line(error, source_dir)
        message += f" ({place})" if place else ""
    excerpt = _without(source_dir, _frames(error, source_dir))
    return CandidateFault(
        kind=kind,
        message=cut(_without(source_dir, message), MESSAGE_CHARACTERS),
        excerpt=cut(excerpt, EXCERPT_CHARACTERS),
    )


def own_line(error: BaseException, source_dir: Path) -> str | None:
    """The candidate's innermost frame of an exception, as 'file:line in function: code'."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename.startswith(str(source_dir))]
    if not own:
        return None
    name = own[-1].filename.removeprefix(f"{source_dir}/")
    return f"{name}:{own[-1].lineno} in {own[-1].name}: {own[-1].line or ''}".rstrip(": ")


def compiler_excerpt(log: str, source_dir: Path, *, blocks: int = 4, context: int = 6) -> str:
    """Cuts a compiler's log to its first errors, each with the lines that follow it.

    Args:
        log: everything the compiler printed.
        source_dir: left out of the file names.
        blocks: how many errors to keep.
        context: lines to keep after each error, where the compiler shows source and caret.
    """
    lines = [line for line in log.splitlines() if not _NOISE_LINE.search(line)]
    kept: list[str] = []
    until = -1
    found = 0
    for index, line in enumerate(lines):
        if _ERROR_LINE.search(line) and not line.lstrip().startswith(("nvcc ", "g++ ", "c++ ")):
            if found == blocks:
                break
            if index > until:
                found += 1
            until = index + context
        if index <= until:
            kept.append(line)
    text = "\n".join(kept) if kept else "\n".join(lines[-40:])
    return cut(_without(source_dir, text), EXCERPT_CHARACTERS)


def _kind_and_message(error: BaseException, source_dir: Path) -> tuple[str, str]:
    if _is_interpreters(error) and error.__cause__ is not None:
        return _interpreted(error, source_dir)
    if (lacking := _machines(error)) is not None:
        return lacking
    name, words = type(error).__name__, str(error).strip()
    said = f"{name}: {words}" if words else name
    if isinstance(error, SyntaxError):
        return "syntax_error", _syntax_words(error)
    if isinstance(error, SystemExit):
        return "exit", f"The candidate called exit({error.code!r})"
    if name == "OutOfResources":
        return "out_of_resources", words
    if isinstance(error, MemoryError) or any(w in words for w in _MEMORY_WORDS):
        return "out_of_memory", f"{name}: {words}"
    if name == "AcceleratorError" or any(w in words for w in _CUDA_WORDS):
        return "cuda_error", words.splitlines()[0] if words else name
    if name in ("CompilationError", "CompileTimeAssertionFailure", "PTXASError"):
        return "compile_error", words
    if (function := _in_torchs_cuda(error)) is not None:
        return "needs_gpu", f"it needs a GPU: {function} of torch.cuda raised {said}"
    return "exception", said


def _machines(error: BaseException) -> tuple[str, str] | None:
    """Kind and message of an error by which a machine shows what it lacks; None for others."""
    name, words = type(error).__name__, str(error)
    if "'CudaDriver' object has no attribute" in words:
        return "interpreter_limit", f"it needs Triton's driver, as Gluon does: {words}"
    if isinstance(error, ModuleNotFoundError) and _may_be_lacking(error.name or ""):
        return "missing_package", f"the Python package {error.name} is not installed"
    if any(lacking in words for lacking in _NEEDS_GPU) or _CUDA_LIBRARY.search(words):
        return "needs_gpu", f"it needs a GPU: {name}: {words}"
    if any(lacking in words for lacking in _NO_TOOLKIT):
        return "toolchain", f"{name}: {words}"
    return None


def _may_be_lacking(module: str) -> bool:
    return any(module == one or module.startswith(f"{one}.") for one in _PACKAGES)


def _in_torchs_cuda(error: BaseException) -> str | None:
    """The function of torch.cuda that raised the error; None when another did."""
    last = next(reversed(traceback.extract_tb(error.__traceback__)), None)
    return last.name if last is not None and _TORCHS_CUDA in last.filename else None


def _is_interpreters(error: BaseException) -> bool:
    """Whether it is the exception in which Triton's interpreter wraps another."""
    return type(error).__name__ == "InterpreterError"


def _interpreted(error: BaseException, source_dir: Path) -> tuple[str, str]:
    """Kind and message of an exception inside an interpreted kernel, with the kernel's line."""
    frames = _own_frames(error, source_dir)
    place = f" ({frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line})" if frames else ""
    while _is_interpreters(error) and error.__cause__ is not None:
        error = error.__cause__
    kind, message = _kind_and_message(error, source_dir)
    of_device = bool(frames) and "libdevice." in (frames[-1].line or "")
    # Those of triton.language.extra return None there, which a later line stumbles over.
    if "NoneType" in str(error) and not of_device:
        of_device = any(
            "libdevice." in line for f in frames for line in linecache.getlines(f.filename)
        )
    if of_device or any(words in str(error) for words in _INTERPRETER_LIMITS):
        return "interpreter_limit", f"Triton's interpreter cannot run it: {message}{place}"
    return kind, f"{message}{place}"


def _own_frames(error: BaseException, source_dir: Path) -> list[traceback.FrameSummary]:
    """The candidate's frames, those of an interpreted kernel after the host's that launched it."""
    own: list[traceback.FrameSummary] = []
    reached: BaseException | None = error
    while reached is not None:
        frames = traceback.extract_tb(reached.__traceback__)
        own += [f for f in frames if f.filename.startswith(str(source_dir)) and f not in own]
        reached = reached.__cause__ if _is_interpreters(reached) else None
    return own


def _syntax_words(error: SyntaxError) -> str:
    place = f"{error.filename or 'a source'}, line {error.lineno}"
    if error.text is None:
        return f"{error.msg} ({place})"
    text = error.text.rstrip("\n")
    stripped = text.lstrip()
    column = max((error.offset or 1) - 1 - (len(text) - len(stripped)), 0)
    return f"{error.msg} ({place})\n    {stripped}\n    {' ' * column}^"


def _frames(error: BaseException, source_dir: Path) -> str:
    if isinstance(error, SyntaxError) and error.__traceback__ is None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    own = _own_frames(error, source_dir)
    if not own:
        own = frames[-3:]
    elif frames[-1] != own[-1] and not _is_interpreters(error):
        own = [*own, frames[-1]]
    lines = ["Traceback (the candidate's frames, then where it was raised):\n"]
    lines += traceback.format_list(own)
    lines += traceback.format_exception_only(error)
    cause = error.__cause__ or error.__context__
    if cause is not None and cause is not error:
        lines.append(f"caused by {type(cause).__name__}: {cut(str(cause), 600)}\n")
    return "".join(lines)


def _without(source_dir: Path, text: str) -> str:
    return text.replace(f"{source_dir}/", "")
