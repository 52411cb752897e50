"""The generator says everything that a structural schema can say, and refuses the rest with the field's path."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    NaiveDatetime,
    PastDatetime,
    PlainSerializer,
    StringConstraints,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)
from typing_extensions import override

from raysmith.api import KINDS, LLMFineTune, LLMService
from raysmith.api.common import Condition, ObjectMeta, PodTemplate
from raysmith.api.schema import Column, Kind, Model, Names, OpenObject, Quantity, Rule, Scale, map_list
from raysmith.crdgen.__main__ import main
from raysmith.crdgen.crd import crd, crd_files
from raysmith.crdgen.schema import SchemaError, structural_schema

CRDS = Path(__file__).parents[2] / "crds"


class Colour(StrEnum):
    """Colours."""

    RED = "Red"
    BLUE = "Blue"


class Part(Model):
    """A part."""

    size: Annotated[int, Field(ge=1)] = 3
    """Its size."""


def field(kind: Any, default: Any = ...) -> dict[str, Any]:
    """The schema of a field of this type."""
    schema = structural_schema(_model(kind, default))
    value: dict[str, Any] = schema["properties"]["value"]
    return value


def refusal(kind: Any, default: Any = ...) -> str:
    with pytest.raises(SchemaError) as error:
        structural_schema(_model(kind, default))
    return str(error.value)


def _model(kind: Any, default: Any) -> type[Model]:
    class Thing(Model):
        """A thing."""

        value: kind = default
        """A value."""

    return Thing


# 1. References


def test_definitions_are_written_out_wherever_they_are_used() -> None:
    schema = structural_schema(_model(list[Part], ...))
    assert schema["properties"]["value"]["items"]["properties"]["size"]["minimum"] == 1
    assert "$ref" not in str(schema)


def test_the_description_of_a_field_does_not_change_the_definition_that_it_shares() -> None:
    class Thing(Model):
        """A thing."""

        first: Part | None = None
        """The first."""
        second: Part | None = None
        """The second."""

    properties = structural_schema(Thing)["properties"]
    assert [properties[name]["description"] for name in ("first", "second")] == ["The first.", "The second."]


class Node(Model):
    """A node."""

    child: "Node | None" = None
    """Its child."""


def test_recursion_is_refused() -> None:
    assert refusal(Node) == "Thing.value.child: Node contains itself; a structural schema is finite"


# 2. Null


def test_an_optional_field_is_simply_not_required_and_never_null() -> None:
    assert field(int | None, None) == {"description": "A value.", "type": "integer"}
    assert "null" not in "".join(crd_files().values())


@pytest.mark.parametrize("default", [..., 3])
def test_a_field_that_may_be_null_without_being_left_out_is_refused(default: Any) -> None:
    assert refusal(int | None, default) == "Thing.value: a field of type T | None must have the default None"


# 3. Unions


def test_an_amount_is_an_int_or_a_string_with_the_bounds_of_both() -> None:
    schema = field(Quantity)
    assert schema["x-kubernetes-int-or-string"] is True
    assert (schema["minimum"], schema["pattern"][:5]) == (0, "^[+]?")
    assert "anyOf" not in schema
    assert "type" not in schema


@pytest.mark.parametrize(
    "kind",
    [int | str, int | float, Part | str, Annotated[int | bool, Field(json_schema_extra={"x-kubernetes-int-or-string": True})]],
)
def test_other_unions_are_refused(kind: Any) -> None:
    message = "Thing.value: unions must be T | None, or a Quantity; model other choices as optional objects"
    assert refusal(kind) == message


def test_unions_told_apart_by_a_field_are_refused() -> None:
    class Cat(Model):
        """A cat."""

        kind: Literal["Cat"]
        """Its kind."""

    class Dog(Model):
        """A dog."""

        kind: Literal["Dog"]
        """Its kind."""

    assert "tagged-union has no counterpart" in refusal(Annotated[Cat | Dog, Field(discriminator="kind")])


# 4. Bounds that are excluded


def test_excluded_bounds_have_openapis_form() -> None:
    schema = field(Annotated[float, Field(gt=0, lt=1)])
    assert schema == {
        "description": "A value.",
        "type": "number",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 1,
        "exclusiveMaximum": True,
    }


def test_a_bound_that_is_excluded_and_one_that_is_not_are_refused_together() -> None:
    assert refusal(Annotated[int, Field(gt=0, ge=1)]) == "Thing.value: minimum and exclusiveMinimum together; keep one of them"


# 5. Constants


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (Literal["only"], {"type": "string", "enum": ["only"]}),
        (Literal[1], {"type": "integer", "enum": [1]}),
        (Literal[True], {"type": "boolean", "enum": [True]}),
        (Literal[1, 2], {"type": "integer", "enum": [1, 2]}),
        (Literal[Colour.RED], {"type": "string", "enum": ["Red"]}),
    ],
)
def test_constants_are_an_enum_of_their_own_type(kind: Any, schema: dict[str, Any]) -> None:
    assert field(kind) == {"description": "A value.", **schema}


@pytest.mark.parametrize("kind", [Literal["a", 1], Literal["a", None]])
def test_an_enum_of_several_types_is_refused(kind: Any) -> None:
    assert refusal(kind) == "Thing.value: the values of an enum must be of one type"


# 6. Collections without a counterpart


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (set[str], "Thing.value: the type set has no counterpart in a structural schema"),
        (tuple[int, str], "Thing.value: the type tuple has no counterpart in a structural schema"),
        (
            dict[Annotated[str, Field(pattern="^a")], str],
            "Thing.value: a structural schema has no patternProperties; write a CEL rule or another type",
        ),
        (
            dict[Annotated[str, Field(max_length=9)], str],
            "Thing.value: a structural schema has no propertyNames; write a CEL rule or another type",
        ),
        (UUID, "Thing.value: the type uuid has no counterpart in a structural schema"),
        (bytes, "Thing.value: the type bytes has no counterpart in a structural schema"),
    ],
)
def test_types_without_a_counterpart_are_refused(kind: Any, message: str) -> None:
    assert refusal(kind) == message


@pytest.mark.parametrize("keys", [int, float, bool, Colour, Literal["a"], str | int, str | None, Any])
def test_a_map_whose_keys_are_not_just_text_is_refused(keys: Any) -> None:
    assert refusal(dict[keys, str]) == "Thing.value: the keys of a map are text; write dict[str, ...]"


def test_a_list_told_apart_by_a_field_says_so() -> None:
    schema = field(Annotated[list[Part], Field(max_length=4, json_schema_extra=map_list("size"))])
    assert (schema["x-kubernetes-list-type"], schema["x-kubernetes-list-map-keys"], schema["maxItems"]) == ("map", ["size"], 4)


# 7. Unknown fields, free keys


@pytest.mark.parametrize("extra", ["forbid", "allow"])
def test_a_model_that_does_not_drop_unknown_fields_is_refused_because_the_api_server_does(extra: Any) -> None:
    class Other(Model):
        """Another."""

        model_config = ConfigDict(extra=extra)

    assert refusal(Other) == "Thing.value: Other must have extra='ignore': the API server drops unknown fields"


def test_free_keys_have_values_of_one_type() -> None:
    schema = field(Annotated[dict[str, Part], Field(max_length=2)])
    assert schema["additionalProperties"]["properties"]["size"]["default"] == 3
    assert schema["maxProperties"] == 2


def test_an_open_object_must_be_marked_as_one() -> None:
    assert field(OpenObject) == {"description": "A value.", "type": "object", "x-kubernetes-preserve-unknown-fields": True}
    assert refusal(dict[str, Any]) == "Thing.value: an open object must be an OpenObject, and an OpenObject open"
    assert refusal(Any) == "Thing.value: a field that may be anything must be an OpenObject"


def test_a_model_without_fields_is_an_empty_object() -> None:
    class Marker(Model):
        """It is there."""

    assert field(Marker) == {"description": "A value.", "type": "object", "properties": {}}


# 8. Defaults


def test_the_default_of_an_object_is_empty_so_that_the_defaults_of_its_fields_come_in() -> None:
    schema = field(Part, Part())
    assert schema["default"] == {}
    assert schema["properties"]["size"]["default"] == 3


@pytest.mark.parametrize(
    ("kind", "default", "message"),
    [
        (
            Part,
            Part(size=4),
            "Thing.value: the default of an object must be the object without arguments; put defaults on its fields",
        ),
        (
            list[str],
            Field(default_factory=list),
            "Thing.value: default_factory gives the schema no default; use Field(default=...)",
        ),
        (list[str], ["a"], "Thing.value: a default list or map must be empty"),
        (str, object(), "Thing.value: the default cannot be written in JSON"),
        (float, float("inf"), "Thing.value: the default cannot be written in JSON"),
        (int, "three", "Thing.value: the default 'three' is not of type 'integer'"),
        (Annotated[int, Field(gt=3)], 3, "Thing.value: the default 3 is less than or equal to the minimum of 3"),
        (Literal["a"], "b", "Thing.value: the default 'b' is not one of ['a']"),
    ],
)
def test_defaults_that_the_api_server_could_not_fill_in_are_refused(kind: Any, default: Any, message: str) -> None:
    assert refusal(kind, default) == message


@pytest.mark.parametrize(("kind", "default"), [(bool, False), (Colour, Colour.BLUE), (list[str], []), (float, 0.5)])
def test_a_simple_default_is_written_as_it_is(kind: Any, default: Any) -> None:
    assert field(kind, default)["default"] == default


# 9. Python that the API server cannot run


class Checked(Model):
    """Checked in Python."""

    size: int
    """Its size."""

    @field_validator("size")
    @classmethod
    def even(cls, size: int) -> int:
        """An even size."""
        return size


class CheckedAsAWhole(Model):
    """Checked in Python."""

    @model_validator(mode="before")
    @classmethod
    def whole(cls, data: Any) -> Any:
        """All of it."""
        return data


class ChangedAfterwards(Model):
    """Changed in Python."""

    @override
    def model_post_init(self, context: Any) -> None:
        pass


class Built(Model):
    """Made in Python."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


class Stripped(Model):
    """Its texts are changed in Python."""

    model_config = ConfigDict(str_strip_whitespace=True)


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (Checked, "Checked.even"),
        (CheckedAsAWhole, "CheckedAsAWhole.whole"),
        (ChangedAfterwards, "ChangedAfterwards.model_post_init"),
        (Built, "Built.__init__"),
        (Stripped, "Stripped.str_strip_whitespace"),
        (Annotated[int, AfterValidator(abs)], "a validator"),
        (Annotated[int, BeforeValidator(abs)], "a validator"),
        (Annotated[str, Field(), AfterValidator(str.strip)], "a validator"),
        (Annotated[str, StringConstraints(strip_whitespace=True)], "strip_whitespace of a str"),
        (Annotated[str, StringConstraints(ascii_only=True)], "ascii_only of a str"),
        (Annotated[datetime, Field(gt=datetime(2026, 1, 1, tzinfo=UTC))], "gt of a datetime"),
        (PastDatetime, "now_op of a datetime"),
        (NaiveDatetime, "tz_constraint of a datetime"),
    ],
)
def test_what_only_python_could_check_is_refused(kind: Any, what: str) -> None:
    assert refusal(kind) == f"Thing.value: {what} is Python that the API server cannot run; say it in a CEL rule"


def test_a_pattern_for_two_types_at_once_is_refused() -> None:
    message = "Thing.value: the type chain has no counterpart in a structural schema"
    assert refusal(Annotated[int | str, Field(pattern="a")]) == message


def test_a_time_has_a_zone_and_a_number_an_end_as_json_has_them() -> None:
    assert field(AwareDatetime) == {"description": "A value.", "type": "string", "format": "date-time"}
    assert field(Annotated[float, Field(allow_inf_nan=False)]) == {"description": "A value.", "type": "number"}


# 10. Rules (their cost is judged by the API server's own code in test_admission_against_apiserver.py)


def test_rules_stand_beside_what_they_govern_with_message_and_field() -> None:
    class Ruled(Model):
        """Ruled."""

        rules: ClassVar[tuple[Rule, ...]] = (Rule("self.size > 0", "size must be positive.", "size"), Rule("true", "Never."))

        size: int
        """Its size."""

    assert field(Ruled)["x-kubernetes-validations"] == [
        {"rule": "self.size > 0", "message": "size must be positive.", "fieldPath": ".size"},
        {"rule": "true", "message": "Never."},
    ]


@pytest.mark.parametrize("kind", KINDS.values())
def test_every_list_map_and_string_of_a_spec_that_rules_look_at_is_bounded(kind: type[Kind]) -> None:
    spec = structural_schema(kind, without=("apiVersion", "kind", "metadata"))["properties"]["spec"]
    assert list(_unbounded(spec, "spec")) == []


# 11. Other names and other forms on the wire


class Computed(Model):
    """Computed."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def size(self) -> int:
        """Its size."""
        return 1


class WrittenOtherwise(Model):
    """Written in Python."""

    size: int
    """Its size."""

    @field_serializer("size")
    def words(self, size: int) -> str:
        """In words."""
        return str(size)


class WrittenAsAWhole(Model):
    """Written in Python."""

    @model_serializer
    def words(self) -> str:
        """In words."""
        return ""


@pytest.mark.parametrize(
    ("kind", "default", "message"),
    [
        (str, Field(validation_alias="v", serialization_alias="w"), "Thing.{}: reading and writing must use one name"),
        (str, Field(validation_alias=AliasChoices("v", "w")), "Thing.{}: reading and writing must use one name"),
        (str, Field(default="a", exclude=True), "Thing.value: a field that is not written cannot be part of the API"),
        (str, Field(default="a", exclude_if=bool), "Thing.value: a field that is not written cannot be part of the API"),
        (
            WrittenOtherwise,
            ...,
            "Thing.value: WrittenOtherwise.words is Python that the API server cannot run; say it in a CEL rule",
        ),
        (WrittenAsAWhole, ..., "Thing.value: a serialiser makes the written form differ from the model"),
        (Computed, ..., "Thing.value: Computed.size is Python that the API server cannot run; say it in a CEL rule"),
        (
            Annotated[int, PlainSerializer(str)],
            ...,
            "Thing.value: a serialiser makes the written form differ from the model",
        ),
    ],
)
def test_a_written_form_that_differs_from_the_model_is_refused(kind: Any, default: Any, message: str) -> None:
    assert refusal(kind, default) in {message.format(name) for name in ("value", "v")}


# 12. Status


class _Bare(Kind):
    """A kind."""

    names: ClassVar[Names] = Names("Bare", "bares", "bare", ())

    api_version: Literal["raysmith.io/v1alpha1"] = "raysmith.io/v1alpha1"
    """Version."""
    kind: Literal["Bare"] = "Bare"
    """Kind."""
    metadata: ObjectMeta
    """Metadata."""


class _Loose(Model):
    """A status."""

    conditions: Annotated[list[Condition], Field(max_length=8)] | None = None
    """Conditions."""


def test_a_kind_without_an_optional_status_is_refused() -> None:
    class Required(_Bare):
        """A kind."""

        status: Part
        """What was observed."""

    message = "status: a kind has a status, and it is optional: users do not write it"
    for kind in (_Bare, Required):
        with pytest.raises(SchemaError, match=f"^{kind.__name__}.{message}$"):
            crd(kind)


def test_conditions_that_are_not_told_apart_by_type_are_refused() -> None:
    class Loose(_Bare):
        """A kind."""

        status: _Loose | None = None
        """What was observed."""

    with pytest.raises(SchemaError, match=r"^Loose\.status\.conditions: must be a list of conditions told apart by type"):
        crd(Loose)


@pytest.mark.parametrize("kind", KINDS.values())
def test_both_kinds_have_a_status_of_their_own_and_conditions_by_type(kind: type[Kind]) -> None:
    version = crd(kind)["spec"]["versions"][0]
    conditions = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["conditions"]
    assert version["subresources"]["status"] == {}
    assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])


@pytest.mark.parametrize("changed", ["columns", "scale"])
def test_a_column_or_subresource_that_points_nowhere_is_refused(changed: str) -> None:
    class Lost(LLMFineTune):
        """A kind."""

    if changed == "columns":
        Lost.columns = (Column("Lost", "string", ".status.lost", "Nothing."),)
    else:
        Lost.scale = Scale(".spec.lost", ".status.attempt")
    with pytest.raises(SchemaError, match=r"^Lost: a column or subresource names \.(status|spec)\.lost, and there is no such"):
        crd(Lost)


# 13. Pod settings


def test_pod_settings_are_open_and_bring_no_pod_schema_along() -> None:
    schema = field(PodTemplate)
    opened = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    for name in ("head", "workers"):
        assert {key: value for key, value in schema["properties"][name].items() if key != "description"} == opened


# 14. Descriptions


def test_a_field_is_described_by_its_docstring_in_one_line() -> None:
    class Thing(Model):
        """A thing."""

        value: int
        """A value
        of two lines."""

    assert structural_schema(Thing)["properties"]["value"]["description"] == "A value of two lines."


def test_a_field_without_a_docstring_is_refused() -> None:
    class Thing(Model):
        """A thing."""

        value: int

    with pytest.raises(SchemaError, match=r"^Thing\.value: the field has no docstring$"):
        structural_schema(Thing)


@pytest.mark.parametrize("kind", KINDS.values())
def test_every_field_of_the_api_is_described(kind: type[Kind]) -> None:
    schema = structural_schema(kind, without=("apiVersion", "kind", "metadata"))
    assert list(_undescribed(schema, kind.__name__)) == []


# The definitions as a whole


def test_an_unknown_format_is_refused() -> None:
    kind = Annotated[str, Field(json_schema_extra={"format": "hostname"})]
    assert refusal(kind) == "Thing.value: the API server does not check the format hostname; give a pattern"


def test_names_categories_and_columns_are_those_of_the_model() -> None:
    spec = crd(LLMService)["spec"]
    assert spec["names"] == {
        "kind": "LLMService",
        "listKind": "LLMServiceList",
        "plural": "llmservices",
        "singular": "llmservice",
        "shortNames": ["lsv"],
        "categories": ["raysmith"],
    }
    assert [column["name"] for column in spec["versions"][0]["additionalPrinterColumns"]] == [
        column.name for column in LLMService.columns
    ]


def test_only_the_service_can_be_scaled() -> None:
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    assert crd(LLMService)["spec"]["versions"][0]["subresources"]["scale"] == scale
    assert "scale" not in crd(LLMFineTune)["spec"]["versions"][0]["subresources"]


def test_metadata_is_left_to_the_api_server() -> None:
    schema = crd(LLMFineTune)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema["properties"]["metadata"] == {"type": "object"}
    assert schema["required"] == ["spec"]


def test_the_committed_files_are_those_of_the_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--folder", str(CRDS)]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_generated_file_says_in_its_first_line_where_it_comes_from() -> None:
    for content in crd_files().values():
        assert content.splitlines()[0] == (
            "# Generated by `python -m raysmith.crdgen` from operator/src/raysmith/api. Do not edit; change the models instead."
        )


def test_the_check_names_what_differs_shows_it_and_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--folder", str(tmp_path)]) == 0
    name = "raysmith.io_llmservices.yaml"
    changed = tmp_path / name
    changed.write_text(changed.read_text().replace("maximum: 64", "maximum: 65"))
    (tmp_path / "old.yaml").write_text("a: 1\n")
    assert main(["--check", "--folder", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert printed.err == f"old.yaml, {name} in {tmp_path}/ differ from the API models; run `python -m raysmith.crdgen`.\n"
    assert "-                    maximum: 65\n+                    maximum: 64\n" in printed.out


def _unbounded(schema: dict[str, Any], path: str) -> Any:
    bounds = {"string": ("maxLength", "enum"), "array": ("maxItems",)}.get(schema.get("type", ""), ())
    if "additionalProperties" in schema:
        bounds = ("maxProperties",)
    if bounds and not any(bound in schema for bound in bounds):
        yield path
    yield from _below(_unbounded, schema, path)


def _undescribed(schema: dict[str, Any], path: str) -> Any:
    yield from (f"{path}.{name}" for name, child in schema.get("properties", {}).items() if not child.get("description"))
    yield from _below(_undescribed, schema, path)


def _below(walk: Any, schema: dict[str, Any], path: str) -> Any:
    children = {**schema.get("properties", {}), "[]": schema.get("items"), "[*]": schema.get("additionalProperties")}
    for name, child in children.items():
        if child:
            yield from walk(child, f"{path}.{name}")
