"""One frozen Settings, loaded once; nothing else reads the environment.

Precedence: an argument, then `KERNEL_HARNESS_<NAME>`, then `kernel-harness.toml` in the current
folder or the default data folder, then the default. A name that nothing knows is an error.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from .errors import RequestError, unknown_name

PREFIX = "KERNEL_HARNESS_"
FILE_NAME = "kernel-harness.toml"
CHECKOUT = Path(__file__).resolve().parents[1]

_LISTS = ("dataset", "source_dirs", "targets", "static_targets", "trusted_keys")
_PATH_LISTS = ("dataset", "source_dirs")
"""Settings that a text gives as a list."""
CANDIDATE_ENVIRONMENT = (
    "CC",
    "CUDA_DEVICE_ORDER",
    "CUDA_HOME",
    "CUDA_PATH",
    "CUDA_VISIBLE_DEVICES",
    "CXX",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "NVCC_CCBIN",
    "PATH",
    "PYTHONPATH",
    "TZ",
)
"""All of this process's environment that a candidate may see: an allow-list, never a deny-list."""
_GIT_ACCESS = (
    *("GIT_ALLOW_PROTOCOL", "GIT_ASKPASS", "GIT_EXEC_PATH", "GIT_HTTP_", "GIT_PROTOCOL_FROM_USER"),
    *("GIT_PROXY_", "GIT_SSH", "GIT_SSL_"),
)
_GIT_CONFIGURATION = "GIT_CONFIG_"
"""How git's variables begin by which a user reaches other machines, and by which they set it."""


def _default_data_dir() -> Path:
    """The checkout when run from one, else a folder under the user's data home."""
    if (CHECKOUT / "pyproject.toml").is_file() and os.access(CHECKOUT, os.W_OK):
        return CHECKOUT
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "kernel-harness"


def _default_signing_key() -> Path:
    """A file in the user's configuration, out of the checkout, which agents work in."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(base) / "kernel-harness" / "signing_key"


def _default_kernels_dir() -> Path:
    return Path(str(files("kernel_harness.kernels")))


class Settings(BaseModel):
    """Every choice a user can make about where things are and how long they may take."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    data_dir: Path = Field(
        default_factory=_default_data_dir, description="Holds workspaces/ and archive/."
    )
    kernels_dir: Path = Field(
        default_factory=_default_kernels_dir, description="The shipped operators."
    )
    dataset: tuple[Path, ...] = Field(
        default=(), description="FlashInfer-Trace dataset folders beside the shipped operators."
    )
    skills_dir: Path | None = Field(
        default=None,
        description="Folder of your own skills, served and searched beside the shipped ones; one "
        "of the same name replaces a shipped one. `<data_dir>/skills` if there is such a folder.",
    )
    source_dirs: tuple[Path, ...] = Field(
        default=(), description="Code that search_knowledge reads beside installed packages."
    )
    device: str = Field(
        default="auto",
        description="'auto' (every GPU of one model), 'cpu', 'cuda:N', 'cuda:0,1' or 'H200'.",
    )
    cluster: str = Field(
        default="",
        description="A Ray cluster to judge on: 'ray://HOST:10001', 'auto' for one here.",
    )
    targets: tuple[str, ...] = Field(
        default=("B200", "H200"), description="Devices whose floors every evaluation reports."
    )
    static_targets: tuple[str, ...] = Field(
        default=("sm_100", "sm_90"),
        description="Architectures a candidate is compiled for, in the order of the rows.",
    )
    wait_s: float = Field(
        default=240.0, gt=0, le=3600, description="Longest a call blocks before it answers RUNNING."
    )
    cpu_budget_s: float = Field(
        default=40.0,
        gt=0,
        description="Seconds for the candidate in one evaluation without a GPU, and as many for "
        "the reference; building has a limit of its own. The rest is NOT_RUN.",
    )
    gpu_budget_s: float = Field(default=900.0, gt=0, description="The same with one.")
    build_timeout_s: float = Field(
        default=180.0, gt=0, description="Longest a candidate may take to build, in seconds."
    )
    call_timeout_s: float = Field(
        default=60.0, gt=0, description="Longest one call of a candidate may take, in seconds."
    )
    sealed_clock: Literal["auto", "off"] = Field(
        default="auto",
        description="'auto' times replays that no host code of a candidate can reach, where that "
        "can be; 'off' takes the candidate's word, and every time is only claimed.",
    )
    warm_ahead: bool = Field(
        default=True,
        description="Start the judge when a workspace is opened, not at the first evaluation.",
    )
    search_candidates: int | None = Field(
        default=None, gt=0, description="Candidates that a search may archive for one operator."
    )
    search_hours: float | None = Field(
        default=None, gt=0, description="Hours of evaluations that it may use; advice at 80 %."
    )
    search_epsilon: float = Field(
        default=0.3, ge=0, le=1, description="Share of choices of a parent that explore."
    )
    search_root_children: int = Field(
        default=5, ge=1, description="Candidates after which the reference is begun from no more."
    )
    search_dead_children: int = Field(
        default=3, ge=0, description="A candidate with more children, all failing, is left alone."
    )
    search_leaders: int = Field(
        default=2, ge=0, description="Fastest programs of other branches that a planner may see."
    )
    search_window: int = Field(
        default=5, ge=1, description="How many children and leaders it does see, drawn at random."
    )
    search_open_plans: Literal["offer", "ignore"] = Field(
        default="offer",
        description="Whether select_parent names a plan for its candidate that nobody tried yet.",
    )
    search_plan_rest_min: float = Field(
        default=30, ge=0, description="Minutes for which such a plan is left to who recorded it."
    )
    model: str = Field(
        default="", description="Model that writes the candidates; an agent may declare it itself."
    )
    effort: str = Field(default="", description="How hard it was told to think; kept likewise.")
    session: str = Field(
        default="", description="Label of this session or experiment; kept with each candidate."
    )
    trial_days: float = Field(
        default=30.0, ge=0, description="Trials younger than this stay when an archive is tidied."
    )
    trial_megabytes: float = Field(
        default=1_024.0, ge=0, description="What trials may weigh; older ones go beyond it."
    )
    signing_key: Path = Field(
        default_factory=_default_signing_key,
        description="File of the private key that this machine's records are signed with; made "
        "when it is first needed. Keep it where neither candidates nor agents can read.",
    )
    trusted_keys: tuple[str, ...] = Field(
        default=(),
        description="Public keys of other machines whose signed records count here, as 'ed25519:… "
        "name', by comma; beside those that `kernel-harness trust` accepted.",
    )
    log_level: str = Field(
        default="WARNING", description="DEBUG, INFO, WARNING or ERROR; logs go to stderr."
    )

    @field_validator("device", mode="before")
    @classmethod
    def _device_as_spelt(cls, device: Any) -> str:
        """The device by its one name, from the ways in which people write it."""
        name = str(device).strip().lower()
        numbers = re.fullmatch(r"(?:(?:cuda|gpu)[: ]?)?([0-9]+(?: ?, ?[0-9]+)*)|cuda|gpu", name)
        if numbers is not None:
            each = [str(int(number)) for number in (numbers.group(1) or "0").split(",")]
            return f"cuda:{','.join(dict.fromkeys(each))}"
        if re.fullmatch(r"auto|cpu|[a-z](?=.*[0-9])[a-z0-9 .-]{1,60}", name):
            return name
        raise ValueError("it is 'auto', 'cpu', 'cuda:N', 'cuda:0,1' or a model, as 'H200'")

    @field_validator("log_level")
    @classmethod
    def _level_is_known(cls, level: str) -> str:
        name = level.strip().upper()
        if name not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
            raise ValueError("it is DEBUG, INFO, WARNING or ERROR")
        return name

    def budget_s(self, device: str) -> float:
        """Seconds for the candidate in one evaluation, and as many for the reference."""
        return self.cpu_budget_s if device == "cpu" else self.gpu_budget_s

    @property
    def skills_dirs(self) -> tuple[Path, ...]:
        """The folders of skills: the shipped one, then the user's own."""
        shipped = Path(str(files("kernel_harness.skills")))
        own = self.skills_dir or self.data_dir / "skills"
        same = own.is_dir() and own.resolve() == shipped.resolve()
        return (shipped,) if same or not own.is_dir() else (shipped, own)

    @property
    def workspaces_dir(self) -> Path:
        """Where agents write candidates, one folder each."""
        return self.data_dir / "workspaces"

    @property
    def archive_dir(self) -> Path:
        """Holds repository.git, the archive, and what is derived from it."""
        return self.data_dir / "archive"

    @property
    def evaluations_dir(self) -> Path:
        """One write-once JSON record per trial."""
        return self.archive_dir / "evaluations"

    @property
    def profiles_dir(self) -> Path:
        """Profiles and their raw reports, by content."""
        return self.archive_dir / "profiles"

    @property
    def cache_dir(self) -> Path:
        """Build products and reference outputs, by content; may be deleted."""
        return self.archive_dir / "cache"


def load_settings(
    overrides: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """Builds the settings from arguments, environment and file, in that order of precedence.

    Args:
        overrides: values given on a command line; None values are ignored.
        environment: stands in for the process's own, in tests.

    Raises:
        RequestError: for a name nothing knows or a value of the wrong kind, naming its source.
    """
    env = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for folder in (Path.cwd(), _default_data_dir()):
        file = folder / FILE_NAME
        if file.is_file():
            values |= _checked(_read(file), str(file), folder)
            break
    if env.get("FIB_DATASET_PATH"):
        values |= _checked({"dataset": (env["FIB_DATASET_PATH"],)}, "environment", Path.cwd())
    # Clients pass a variable that is not set as an empty one.
    from_env = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in env.items()
        if name.startswith(PREFIX) and value.strip()
    }
    values |= _checked(from_env, "environment", Path.cwd())
    given = {k: v for k, v in (overrides or {}).items() if v is not None}
    values |= _checked(given, "arguments", Path.cwd())
    try:
        settings = Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise RequestError(
            f"Setting {name!r} cannot be {first.get('input')!r}: "
            + first["msg"].removeprefix("Value error, "),
            remedy="See docs/settings.md for what each setting takes.",
        ) from error
    _refuse_unwritable(settings.data_dir)
    return settings


def _refuse_unwritable(folder: Path) -> None:
    """Raises where the data folder cannot be made or written to."""
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    problem = "is not a folder"
    if nearest.is_dir():
        try:
            # Tried, for no permission tells it of /proc, a full disk or another machine's folder.
            with tempfile.TemporaryDirectory(prefix=".kernel-harness-", dir=nearest):
                return
        except OSError as error:
            problem = f"cannot be written to ({error.strerror})"
    raise RequestError(
        f"The data folder {folder} cannot be used: {nearest} {problem}",
        remedy=f"Set {PREFIX}DATA_DIR or --data-dir to a folder that you can write to.",
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RequestError(
            f"The settings cannot be read: {error}",
            where=str(file),
            remedy="See docs/settings.md for an example.",
        ) from error


def _checked(values: Mapping[str, Any], source: str, base: Path) -> dict[str, Any]:
    """The values of one source, lists split and paths made absolute from `base`."""
    checked = dict(values)
    for name, value in values.items():
        if name not in Settings.model_fields:
            raise unknown_name(f"setting in {source}", name, Settings.model_fields)
        if name in _LISTS and isinstance(value, str):
            separator = os.pathsep if name in _PATH_LISTS else ","
            checked[name] = tuple(p.strip() for p in value.split(separator) if p.strip())
        if name in _PATH_LISTS and isinstance(checked[name], list | tuple):
            checked[name] = tuple(_placed(path, name, base) for path in checked[name])
        elif name in ("data_dir", "kernels_dir", "signing_key", "skills_dir"):
            checked[name] = _placed(value, name, base)
    return checked


def _placed(path: Any, name: str, base: Path) -> Any:
    """A path as it was meant: `~` is the home folder, `$NAME` a variable's value, and what is
    relative starts at `base`."""
    if not isinstance(path, str | Path):
        return path
    if not str(path).strip():
        raise RequestError(
            f"Setting {name!r} is empty",
            remedy="Name a path, or leave the setting out for its default.",
        )
    text = os.path.expandvars(path)
    if "$" in text:
        raise RequestError(
            f"Setting {name!r} cannot be {str(path)!r}: no variable of that name is set",
            remedy="Write the path in full.",
        )
    try:
        place = Path(os.path.abspath(base / Path(text).expanduser()))
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            place.lstat()
        return place
    except (RuntimeError, OSError, ValueError) as error:
        raise RequestError(
            f"Setting {name!r} cannot be {str(path)[:200]!r}: "
            f"{getattr(error, 'strerror', None) or error}",
            remedy="Write the path in full, and look whether it can be reached.",
        ) from error


def candidate_environment() -> dict[str, str]:
    """The part of this process's environment that a candidate may see."""
    return allowed_environment(CANDIDATE_ENVIRONMENT)


def allowed_environment(names: Sequence[str]) -> dict[str, str]:
    """Those of these variables that this process's environment has."""
    return {name: os.environ[name] for name in names if name in os.environ}


def ray_is_secured() -> bool:
    """Whether Ray is told to ask for a token and to encrypt."""
    return (os.getenv("RAY_AUTH_MODE"), os.getenv("RAY_USE_TLS")) == ("token", "1")


def git_environment(*, configuration: bool = False) -> dict[str, str]:
    """This process's environment for git, in English, without what points git elsewhere.

    Args:
        configuration: with what the user has set for git.
    """
    kept = (*_GIT_ACCESS, _GIT_CONFIGURATION) if configuration else _GIT_ACCESS
    found = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith(kept)
    }
    return found | {"LANGUAGE": "C", "LC_ALL": "C"}


def home_of(client_variable: str) -> Path | None:
    """The folder that a client's own variable names for its configuration, e.g. CODEX_HOME."""
    value = os.environ.get(client_variable)
    return Path(value) if value else None
