"""Flags that a candidate asks its compilers for, in a file among its sources.

`compile_flags.toml` holds lists of words: `cflags` for C++, `cuda_cflags` for nvcc, `ld_flags` for
the linker. As a source it goes wherever the sources go, and changes the hash of their content. The
architecture and the language's standard are not its to choose: the first is the judge's, and the
second is what the headers of the binding need.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace

from ...messages.candidate import BuildRequest
from ..faults import CandidateError
from .compile_flags import CompileConfig

FLAGS_FILE = "compile_flags.toml"
KEYS = ("cflags", "cuda_cflags", "ld_flags")
_NOT_ITS_OWN = re.compile(
    r"--?(?:arch|gencode|code|gpu-architecture|gpu-code|generate-code|std)(?P<value>=.*)?"
)


@dataclass(frozen=True)
class OwnFlags:
    """A candidate's own flags, for each of its compilers."""

    cflags: tuple[str, ...] = ()
    cuda_cflags: tuple[str, ...] = ()
    ld_flags: tuple[str, ...] = ()

    def added_to(self, config: CompileConfig) -> CompileConfig:
        """A config and those tried after it, with these flags."""
        return replace(
            config,
            cxx=(*config.cxx, *self.cflags),
            nvcc=(*config.nvcc, *self.cuda_cflags),
            libraries=(*config.libraries, *self.ld_flags),
            retry=self.added_to(config.retry) if config.retry else None,
        )


def own_flags(request: BuildRequest) -> OwnFlags:
    """The flags among a candidate's sources; none where it has no such file.

    Raises:
        CandidateError: of kind 'compile_flags' when the file is not what it must be.
    """
    text = next((s["content"] for s in request.sources if s["path"] == FLAGS_FILE), "")
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CandidateError("compile_flags", f"{FLAGS_FILE} is no TOML: {error}") from error
    if unknown := sorted(said.keys() - set(KEYS)):
        words = f"{FLAGS_FILE} has no key {', '.join(unknown)}; it may have {', '.join(KEYS)}"
        raise CandidateError("compile_flags", words)
    for key, words in said.items():
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise CandidateError("compile_flags", f"{key} in {FLAGS_FILE} is no list of words")
    return OwnFlags(**{key: tuple(_without_targets(words)) for key, words in said.items()})


def _without_targets(words: list[str]) -> list[str]:
    """The words without those that are not a candidate's to choose, and their values."""
    left = iter(words)
    kept = []
    for word in left:
        found = _NOT_ITS_OWN.fullmatch(word)
        if found is None:
            kept.append(word)
        elif found["value"] is None:
            next(left, None)
    return kept
