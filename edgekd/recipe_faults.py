"""What can be wrong with a recipe, found all at once.

Four looks at the same raw tables: their structure (pydantic), the names they use (the tables of
the registry), the options of the open tables (signatures), and the sections that belong to a
later stage (its own check).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from edgekd.errors import EdgekdError, MissingExtraError, UnknownNameError
from edgekd.recipe_progressive import AssistantSpec
from edgekd.recipe_specs import AugmentSpec, DataSpec, OpenTable, UnlabelledSpec
from edgekd.recipe_teaching import LossSpec, PeerSpec, StudentSpec, TeacherSpec, TransformSpec
from edgekd.registry import load_target, options_of, table

#: key path -> kind of table; ``*`` runs over a list.
NAMES = {
    "data.source": "source",
    "data.unlabelled.source": "source",
    "teacher.*.model": "model",
    "student.model": "model",
    "peer.*.model": "model",
    "assistant.*.model": "model",
    "loss.*.name": "loss",
    "train.optimizer": "optimizer",
    "train.schedule": "schedule",
    "train.augment.*.name": "augmentation",
    "train.loggers.*": "logger",
    "student.input.transforms.*.name": "transform",
    "teacher.*.input.transforms.*.name": "transform",
    "peer.*.input.transforms.*.name": "transform",
    "teacher.*.train.optimizer": "optimizer",
    "teacher.*.train.schedule": "schedule",
    "assistant.*.input.transforms.*.name": "transform",
    "assistant.*.train.optimizer": "optimizer",
    "assistant.*.train.schedule": "schedule",
    "stage.*.train.optimizer": "optimizer",
    "stage.*.train.schedule": "schedule",
    "quantize.train.optimizer": "optimizer",
    "quantize.train.schedule": "schedule",
    "synthesis.method": "synthesiser",
    "export.*.target": "target",
    "export.*.quantize": "scheme",
    "export.*.profile": "profile",
}

#: The open tables, by the pattern of the key that names what their other keys, the options, go to.
OPEN: dict[str, type[OpenTable]] = {
    "data.source": DataSpec,
    "data.unlabelled.source": UnlabelledSpec,
    "teacher.*.model": TeacherSpec,
    "student.model": StudentSpec,
    "peer.*.model": PeerSpec,
    "assistant.*.model": AssistantSpec,
    "loss.*.name": LossSpec,
    "train.augment.*.name": AugmentSpec,
    "student.input.transforms.*.name": TransformSpec,
    "teacher.*.input.transforms.*.name": TransformSpec,
    "peer.*.input.transforms.*.name": TransformSpec,
    "assistant.*.input.transforms.*.name": TransformSpec,
}

#: Parameters that edgekd passes itself, by kind; a recipe cannot set them.
GIVEN = {
    "model": ("num_classes", "input_shape"),
    "augmentation": ("sample_shape",),
    "transform": ("sample_shape",),
    "logger": ("path", "recipe"),
}

#: Sections with a check of their own: key path -> ``module:function(value) -> list of faults``.
SECTIONS = {
    "budget": "edgekd.check.budgets:faults_in",
    "benchmark.devices": "edgekd.bench.devices:faults_in",
}


def path_of(parts: tuple[Any, ...]) -> str:
    """Write a location as a key path.

    >>> path_of(("loss", 1, "weight"))
    'loss[1].weight'
    """
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def structure(error: ValidationError, model: type[BaseModel], raw: Mapping[str, Any]) -> list[str]:
    """Put pydantic's findings in our words."""
    faults = []
    for item in error.errors():
        where = path_of(item["loc"])
        given = item.get("input")
        if item["type"] == "extra_forbidden":
            known = _fields_at(model, item["loc"][:-1])
            faults.append(f"{where}: unknown key{_closest(str(item['loc'][-1]), known)}")
        elif item["type"] == "missing":
            faults.append(f"{where}: missing")
        else:
            # A check of a whole table has said which keys are wrong.
            whole = item["type"] == "value_error" and isinstance(given, Mapping)
            faults.append(f"{where}: {_sentence(item['msg'])}{'' if whole else _shown(given)}")
    return faults


def names(raw: Mapping[str, Any]) -> list[str]:
    """Look every name up in its table."""
    faults = []
    for pattern, kind in NAMES.items():
        for where, value in _select(raw, pattern):
            if not isinstance(value, str) or ":" in value:
                continue  # a wrong type is the structure's fault; an import path is no name
            try:
                table(kind).row(value)
            except UnknownNameError as error:
                faults.append(f"{where}: {error.message}. {error.hint}")
    return faults


def options(raw: Mapping[str, Any]) -> list[str]:
    """Check the options of every open table against the signature of what it names."""
    faults = []
    for pattern, spec in OPEN.items():
        kind, own = NAMES[pattern], list(spec.model_fields)
        parent_pattern, _, key = pattern.rpartition(".")
        for where, entry in _select(raw, parent_pattern):
            if isinstance(entry, str):
                entry = {key: entry}
            if isinstance(entry, Mapping) and isinstance(entry.get(key), str):
                faults += _options_at(where, kind, own, entry, entry[key])
    return faults


def sections(raw: Mapping[str, Any]) -> list[str]:
    """Let the stage that a section belongs to check it."""
    faults = []
    for pattern, target in SECTIONS.items():
        for where, value in _select(raw, pattern):
            check: Callable[[Any], list[str]] = load_target(target, what=where)
            faults += [f"{where}{fault}" for fault in check(value)]
    return faults


def _options_at(
    where: str, kind: str, own: list[str], entry: Mapping[str, Any], name: str
) -> list[str]:
    try:
        factory = table(kind).resolve(name)
        parameters = options_of(factory, given_by_caller=GIVEN.get(kind, ()))
        hints = get_type_hints(factory if inspect.isfunction(factory) else factory.__init__)
    except (UnknownNameError, MissingExtraError) as error:
        # An unknown name is reported by `names`; a missing extra by the stage that needs it.
        unknown_attribute = isinstance(error, UnknownNameError) and ":" in name
        return [f"{where}: {error.message}. {error.hint}"] if unknown_attribute else []
    except EdgekdError as error:
        return [f"{where}: {error.message}. {error.hint or ''}".rstrip()]
    except (TypeError, ValueError, NameError):  # no readable signature: the factory will judge
        return []
    given = {key: value for key, value in entry.items() if key not in own}
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in _all_parameters(factory)):
        given = {key: value for key, value in given.items() if key in parameters}
    faults = []
    for key, value in given.items():
        if key not in parameters:
            known = [*own, *parameters]
            faults.append(f"{where}.{key}: unknown key of {name!r}{_closest(key, known)}")
        elif key in hints:
            faults += _type_faults(f"{where}.{key}", hints[key], value)
    for key, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and key not in given:
            faults.append(f"{where}.{key}: missing; {name!r} needs it")
    return faults


def _all_parameters(factory: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(factory).parameters.values())


def _type_faults(where: str, hint: Any, value: Any) -> list[str]:
    model = next((kind for kind in get_args(hint) if _is_model(kind)), None)
    if isinstance(value, Mapping) and model is not None:  # a table can be no float
        try:
            model.model_validate_json(_json(value), strict=True)
        except ValidationError as error:
            return [f"{where}.{fault}" for fault in structure(error, model, value)]
        return []
    try:
        # TOML writes tuples as arrays and knows no Path: lax, but a string is never a number.
        adapter = TypeAdapter(
            hint, config=ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
        )
        adapter.validate_json(_json(value), strict=True)
    except ValidationError as error:
        return [f"{where}: {_sentence(error.errors()[0]['msg'])}{_shown(value)}"]
    except Exception:  # a hint that pydantic cannot read is the factory's to judge
        return []
    return []


def _json(value: Any) -> str:
    import json

    return json.dumps(value, default=str)


def _select(raw: Any, pattern: str) -> Iterator[tuple[str, Any]]:
    """Yield (key path, value) of everything a pattern finds."""
    found: list[tuple[tuple[Any, ...], Any]] = [((), raw)]
    for part in pattern.split("."):
        step: list[tuple[tuple[Any, ...], Any]] = []
        for parts, node in found:
            if part == "*" and isinstance(node, list):
                step += [((*parts, index), item) for index, item in enumerate(node)]
            elif part != "*" and isinstance(node, Mapping) and part in node:
                step.append(((*parts, part), node[part]))
            elif part == "name" and isinstance(node, str):  # augment = ["flip"]
                step.append((parts, node))
        found = step
    return ((path_of(parts), value) for parts, value in found)


def _fields_at(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Return the keys that the table at a location knows."""
    current: Any = model
    for part in location:
        if isinstance(part, int):
            continue
        field = current.model_fields.get(part)
        if field is None:
            return []
        current = field.annotation
        arguments = getattr(current, "__args__", ())
        current = next((a for a in (current, *arguments) if _is_model(a)), None)
        if current is None:
            return []
    return [field.alias or name for name, field in current.model_fields.items()]


def _is_model(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, BaseModel)


def _closest(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""


def _sentence(message: str) -> str:
    message = message.removeprefix("Input ").removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _shown(value: Any) -> str:
    if isinstance(value, (str, int, float, bool)):
        return f", not {value!r}"
    return f", not a {type(value).__name__}" if value is not None else ""
