// apiserver-check says what a Kubernetes API server would say to CustomResourceDefinitions and to objects of their kinds,
// with the API server's own code: decoding, defaulting, pruning, schemas, list types and CEL rules with their cost limits.
//
//	apiserver-check CRD.yaml... < [{"object": {...}, "old": {...}}, ...]
//
// prints {"definitions": {name: [error]}, "items": [{"errors": [...], "object": {...defaulted}}]}. An "old" makes the item an update.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

type item struct {
	Object json.RawMessage `json:"object"`
	Old    json.RawMessage `json:"old"`
}

type verdict struct {
	Errors []string       `json:"errors"`
	Object map[string]any `json:"object"`
}

// The part of customresource.NewStrategy's unexported result that is used here.
type strategy interface {
	PrepareForCreate(ctx context.Context, obj runtime.Object)
	PrepareForUpdate(ctx context.Context, obj, old runtime.Object)
	Validate(ctx context.Context, obj runtime.Object) field.ErrorList
	ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList
}

type kind struct {
	structural *schema.Structural
	strategy   strategy
}

func main() {
	definitions, kinds, err := readDefinitions(os.Args[1:])
	if err == nil {
		err = answer(definitions, kinds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "apiserver-check:", err)
		os.Exit(1)
	}
}

func answer(definitions map[string][]string, kinds map[runtimeschema.GroupVersionKind]kind) error {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	var items []item
	if err := json.Unmarshal(input, &items); err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	verdicts := []verdict{}
	for _, it := range items {
		verdicts = append(verdicts, judge(it, kinds))
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"definitions": definitions, "items": verdicts})
}

func readDefinitions(paths []string) (map[string][]string, map[runtimeschema.GroupVersionKind]kind, error) {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	definitions := map[string][]string{}
	kinds := map[runtimeschema.GroupVersionKind]kind{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, err
		}
		external := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(content, external); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		errs, err := validateDefinition(scheme, external)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		definitions[external.Name] = errs
		if len(errs) > 0 {
			continue
		}
		if err := addKinds(scheme, external, kinds); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return definitions, kinds, nil
}

// validateDefinition does what creating the definition does; the cost of CEL rules is estimated there.
func validateDefinition(scheme *runtime.Scheme, external *apiextensionsv1.CustomResourceDefinition) ([]string, error) {
	scheme.Default(external)
	internal := &apiextensions.CustomResourceDefinition{}
	if err := scheme.Convert(external, internal, nil); err != nil {
		return nil, err
	}
	ctx := context.Background()
	create := customresourcedefinition.NewStrategy(scheme)
	create.PrepareForCreate(ctx, internal)
	errs := texts(create.Validate(ctx, internal))
	return append(errs, create.WarningsOnCreate(ctx, internal)...), nil
}

func addKinds(scheme *runtime.Scheme, crd *apiextensionsv1.CustomResourceDefinition, kinds map[runtimeschema.GroupVersionKind]kind) error {
	for _, version := range crd.Spec.Versions {
		gvk := runtimeschema.GroupVersionKind{Group: crd.Spec.Group, Version: version.Name, Kind: crd.Spec.Names.Kind}
		validationSchema := &apiextensions.CustomResourceValidation{}
		if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(version.Schema, validationSchema, nil); err != nil {
			return err
		}
		structural, err := schema.NewStructural(validationSchema.OpenAPIV3Schema)
		if err != nil {
			return err
		}
		if err := defaulting.PruneDefaults(structural); err != nil {
			return err
		}
		validator, _, err := validation.NewSchemaValidator(validationSchema.OpenAPIV3Schema)
		if err != nil {
			return err
		}
		subresources := &apiextensions.CustomResourceSubresources{}
		if err := apiextensionsv1.Convert_v1_CustomResourceSubresources_To_apiextensions_CustomResourceSubresources(version.Subresources, subresources, nil); err != nil {
			return err
		}
		kinds[gvk] = kind{structural, customresource.NewStrategy(
			scheme, true, gvk, validator, nil, structural, subresources.Status, subresources.Scale, nil)}
	}
	return nil
}

// judge decodes as the API server does for `kubectl apply`, whose field validation is strict: unknown fields are errors.
func judge(it item, kinds map[runtimeschema.GroupVersionKind]kind) verdict {
	obj, gvk, err := decode(it.Object)
	if err != nil {
		return verdict{Errors: []string{err.Error()}}
	}
	known, ok := kinds[gvk]
	if !ok {
		return verdict{Errors: []string{fmt.Sprintf("no matches for %s", gvk)}}
	}
	errs, err := admit(obj, known.structural)
	if err != nil {
		return verdict{Errors: []string{err.Error()}}
	}
	obj.SetNamespace("default")
	ctx := context.Background()
	if it.Old == nil {
		known.strategy.PrepareForCreate(ctx, obj)
		errs = append(errs, texts(known.strategy.Validate(ctx, obj))...)
		return verdict{errs, obj.Object}
	}
	old, _, err := decode(it.Old)
	if err == nil {
		_, err = admit(old, known.structural)
	}
	if err != nil {
		return verdict{Errors: []string{"old: " + err.Error()}}
	}
	for _, stored := range []*unstructured.Unstructured{old, obj} {
		stored.SetNamespace("default")
		stored.SetResourceVersion("1")
	}
	known.strategy.PrepareForUpdate(ctx, obj, old)
	return verdict{append(errs, texts(known.strategy.ValidateUpdate(ctx, obj, old))...), obj.Object}
}

func decode(content []byte) (*unstructured.Unstructured, runtimeschema.GroupVersionKind, error) {
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(content); err != nil {
		return nil, runtimeschema.GroupVersionKind{}, err
	}
	return obj, obj.GroupVersionKind(), nil
}

// admit fills in defaults and prunes, in the order of the API server's decoder, and names the unknown fields.
func admit(obj *unstructured.Unstructured, structural *schema.Structural) ([]string, error) {
	defaulting.Default(obj.Object, structural)
	kind, apiVersion := obj.GetKind(), obj.GetAPIVersion()
	meta, _, unknown, err := objectmeta.GetObjectMetaWithOptions(obj.Object, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		return nil, err
	}
	unknown = append(unknown, pruning.PruneWithOptions(obj.Object, structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})...)
	defaulting.PruneNonNullableNullsWithoutDefaults(obj.Object, structural)
	obj.SetKind(kind)
	obj.SetAPIVersion(apiVersion)
	if meta != nil {
		if err := objectmeta.SetObjectMeta(obj.Object, meta); err != nil {
			return nil, err
		}
	}
	errs := []string{}
	for _, path := range unknown {
		errs = append(errs, fmt.Sprintf("unknown field %q", path))
	}
	return errs, nil
}

func texts(errs field.ErrorList) []string {
	out := []string{}
	for _, err := range errs {
		out = append(out, err.Error())
	}
	return out
}
