"""Flags that a candidate asks its compilers for, in a file among its sources.

`compile_flags.toml` holds lists of words: `cflags` for C++, `cuda_cflags` for nvcc, `ld_flags` for
the linker. As a source it goes wherever the sources go, and changes the hash of their content. The
architecture and the language's standard are not its to choose: the first is the judge's, and the
second is what the headers of the binding need.

Only flags of known kinds are let through. Others choose the program that compiles, run programs
(plugins, wrappers, specs), read files that are not among the sources, or say where to write; and
that before any code of the candidate may run, while the cache of builds is still within reach.
nvcc hands its words to a shell, so none of them may hold what a shell takes for more than text.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ...messages.candidate import BuildRequest
from ..faults import CandidateError
from .compile_flags import CompileConfig

FLAGS_FILE = "compile_flags.toml"
KEYS = ("cflags", "cuda_cflags", "ld_flags")
_NOT_ITS_OWN = re.compile(
    r"--?(?:arch|gencode|code|gpu-architecture|gpu-code|generate-code|std)(?P<value>=.*)?"
)
_TEXT = r"[\w.,:;+*/%()<>=!?&|^~'\[\]{} -]*"
"""Of a definition's value: nothing that a shell replaces within double quotes, or ends them."""
_FOLDERS = rf"(?:/usr|/opt|/lib|/lib64|{re.escape(sys.prefix)})"
_INSTALLED = rf"{_FOLDERS}(?:/(?!\.\.(?:/|$))[\w.+-]+)*/?"
"""A folder of what is installed: what lies elsewhere could be another tomorrow."""
_BOOLEAN = r"(?:true|false)"
_PLAIN_DEFINITION = r"[A-Za-z_]\w*(?:=[\w.+-]*)?"
"""For a compiler that nvcc calls, whose words it hands to a shell without quotes."""
_DEFINITION = rf"[A-Za-z_]\w*(?:\([\w, ]*\))?(?:={_TEXT})?"
_PART = r"(?!\.\.(?:/|$))[\w.+-]+"
_INCLUDE = rf"(?:{_INSTALLED}|{_PART}(?:/{_PART})*/?)"
_MATH = (
    "fast-math|finite-math-only|math-errno|trapping-math|associative-math|reciprocal-math"
    "|signed-zeros|rounding-math|unsafe-math-optimizations"
)
_OPTIMISE = (
    "unroll-(?:all-)?loops|inline(?:-functions)?|strict-aliasing|omit-frame-pointer"
    "|tree-vectorize|tree-slp-vectorize|function-sections|data-sections|ipa-[a-z-]+|peel-loops"
    "|prefetch-loop-arrays|semantic-interposition|wrapv|common"
)
_LANGUAGE = "permissive|exceptions|rtti|openmp|openmp-simd|PIC|pic|concepts|char8_t|signed-char"
_HOST = (
    r"-O(?:[0-3sg]|fast)?",
    r"-g[0-3]?",
    r"-w|-W[a-zA-Z][\w+-]*(?:=[\w-]+)?",
    r"-pedantic|-pthread|-pipe|-m64",
    rf"-f(?:no-)?(?:{_MATH}|{_OPTIMISE}|{_LANGUAGE})",
    r"-fvisibility=(?:hidden|default)|-fvisibility-inlines-hidden|-ffp-contract=[a-z]+",
    r"-ftemplate-depth=\d+|-fconstexpr-[a-z]+=\d+|-fdiagnostics-color=[a-z]+",
    r"-m(?:arch|tune|cpu)=[\w.+-]+|-m(?:no-)?(?:avx|sse|fma|bmi|f16c|amx|popcnt|lzcnt)[\w.-]*",
    rf"-D{_DEFINITION}",
    r"-U\w+",
    rf"-I{_INCLUDE}",
)
_ASSEMBLER = (
    r"-v|--verbose|-w|-lineinfo|-O[0-4]|--?opt-level=\d",
    r"-d[ls]cm=[a-z]+|--?def-(?:load|store)-cache=[a-z]+",
    r"--?(?:warn|suppress|disable)-[a-z-]+|--?warning-as-error|--?generate-line-info",
    rf"--?(?:allow-expensive-optimizations|fmad)={_BOOLEAN}",
    r"--?(?:maxrregcount|register-usage-level|split-compile)=\d+",
)
_FRONT_END = (
    r"--(?:diag_suppress|diag_warning|diag_error)=[\w]+|--display_error_number",
    r"--promote_warnings|[\w]+",  # a number that a comma parted from its list
)
_LINKER = (
    r"--(?:no-)?as-needed|--(?:no-)?undefined|--gc-sections|--export-dynamic|--strip-all|-s|-O\d",
    r"--exclude-libs|ALL|-Bsymbolic(?:-functions)?|-z|now|relro|defs|nodelete|--build-id",
    rf"-?-rpath(?:={_INSTALLED})?|{_INSTALLED}",
)
_BEHIND_NVCC = (*(p for p in _HOST if p != rf"-D{_DEFINITION}"), rf"-D{_PLAIN_DEFINITION}")
_PARTS = {"compiler": _BEHIND_NVCC, "ptxas": _ASSEMBLER, "cudafe": _FRONT_END, "linker": _LINKER}
_DEVICE_WORDS = (
    r"-O[0-3]?|--?Ofast-compile=\w+|-g|-G|--?device-debug|--?lineinfo|--?generate-line-info",
    r"--?use_fast_math|--?extra-device-vectorization|--?restrict|-w|--?disable-warnings",
    r"--?(?:expt-)?(?:extended-lambda|relaxed-constexpr)|--?W[a-z][\w-]*|-m64",
    r"--?(?:resource-usage|res-usage|source-in-ptx|src-in-ptx|keep-device-functions)",
    r"--?(?:display-error-number|err-no|no-display-error-number|no-compress|no-align-double)",
    r"--?allow-unsupported-compiler|--?extensible-whole-program|-ewp|--?no-exceptions|-noeh",
    rf"-D{_DEFINITION}",
    r"-U\w+",
    rf"-I{_INCLUDE}",
    r"-t\d+",
)
_DEVICE_VALUES: Mapping[str, str] = {
    r"--?(?:ftz|prec-div|prec-sqrt|fmad|rdc|relocatable-device-code)": _BOOLEAN,
    r"--?maxrregcount|-t|--threads|--?split-compile|--?optimize|--?jump-table-density": r"\d+",
    r"--?(?:diag-suppress|diag-warn|diag-error)": r"\d+(?:,\d+)*",
    r"--?Werror": r"[a-z-]+(?:,[a-z-]+)*",
    r"--?default-stream": r"legacy|null|per-thread",
    r"--?compress-mode|--?dopt|--?opt-info": r"[a-z]+",
    r"--?ftemplate-(?:depth|backtrace-limit)": r"\d+",
    r"-D|--define-macro": _DEFINITION,
    r"-U|--undefine-macro": r"\w+",
    r"-I|-isystem|--include-path|--system-include": _INCLUDE,
}
_HOST_VALUES: Mapping[str, str] = {
    "-D": _DEFINITION,
    "-U": r"\w+",
    "-I|-isystem|-idirafter": _INCLUDE,
}
_LINK_WORDS = (
    r"-l:?[\w+.-]+",
    rf"-L{_INSTALLED}",
    r"-pthread|-fopenmp|-s|-O[0-3]?|-rdynamic|-static-libgcc|-static-libstdc\+\+",
)
_LINK_VALUES: Mapping[str, str] = {"-l": r":?[\w+.-]+", "-L": _INSTALLED}
_HANDED_ON: Mapping[str, Mapping[str, str]] = {
    "cflags": {},
    "cuda_cflags": {
        r"-Xcompiler|--compiler-options": "compiler",
        r"-Xptxas|--ptxas-options": "ptxas",
        r"-Xcudafe": "cudafe",
    },
    "ld_flags": {"-Xlinker": "linker"},
}
"""Flags whose value is words for another program, parted by commas."""
_WORDS = {"cflags": _HOST, "cuda_cflags": _DEVICE_WORDS, "ld_flags": _LINK_WORDS}
_VALUES = {"cflags": _HOST_VALUES, "cuda_cflags": _DEVICE_VALUES, "ld_flags": _LINK_VALUES}
ALLOWED = {
    "cflags": "-O, -g, -W…, -D and -U, -I of folders among the sources or installed ones, "
    "-march and -mtune, and -f… of arithmetic, inlining and the language",
    "cuda_cflags": "-O, -D and -U, -I of folders among the sources or installed ones, -lineinfo, "
    "--use_fast_math, --ftz, --prec-div, --prec-sqrt, --fmad, -maxrregcount, --expt-…, "
    "--diag-suppress, -Xptxas with words of optimisation, caches and warnings, and -Xcompiler with "
    "what cflags may hold",
    "ld_flags": "-l, -L of installed folders, and -Wl, with as-needed, rpath and the like",
}


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
        CandidateError: of kind 'compile_flags' when the file is not what it must be, or asks for a
            flag of no known kind.
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
    return OwnFlags(**{key: tuple(_allowed(key, words)) for key, words in said.items()})


def _allowed(key: str, words: Sequence[str]) -> Iterator[str]:
    """The words without those that are not a candidate's to choose, and their values.

    Raises:
        CandidateError: for a word of no known kind.
    """
    left = iter(words)
    for word in left:
        found = _NOT_ITS_OWN.fullmatch(word)
        if found is not None:
            if found["value"] is None:
                next(left, None)
        elif _is_alone(key, word):
            yield word
        elif (kind := _kind_of_value(key, word)) is not None:
            value = next(left, "")
            if not _is_value(kind, value):
                raise _refusal(key, f"{word} {value}".strip())
            yield from (word, value)
        else:
            raise _refusal(key, word)


def _is_alone(key: str, word: str) -> bool:
    """Whether a word says all that belongs to it, and may be asked for."""
    if any(re.fullmatch(pattern, word) for pattern in _WORDS[key]):
        return True
    if word.startswith("-Wl,"):
        return key == "ld_flags" and _is_value("linker", word.removeprefix("-Wl,"))
    name, equals, value = word.partition("=")
    kind = _kind_of_value(key, name) if equals else None
    return kind is not None and _is_value(kind, value)


def _kind_of_value(key: str, name: str) -> str | None:
    """What the value of a flag must be, as a pattern or a program; None for one without."""
    for kinds in (_VALUES[key], _HANDED_ON[key]):
        for names, kind in kinds.items():
            if re.fullmatch(names, name):
                return kind
    return None


def _is_value(kind: str, value: str) -> bool:
    """Whether a value is of a kind: that of a pattern, or words for another program."""
    if kind not in _PARTS:
        return re.fullmatch(kind, value) is not None
    parts = value.split(",")
    return all(any(re.fullmatch(p, part) for p in _PARTS[kind]) for part in parts)


def _refusal(key: str, word: str) -> CandidateError:
    return CandidateError(
        "compile_flags",
        f"{key} in {FLAGS_FILE} asks for {word[:200]!r}, which a candidate may not choose. Allowed "
        f"are {ALLOWED[key]}. What chooses programs, plugins, files or where to write is not.",
    )
