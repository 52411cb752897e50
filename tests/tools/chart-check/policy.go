package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// The oldest release that the chart supports, and the one whose code this is. Their vocabularies differ.
var releases = []*version.Version{version.MajorMinor(1, 30), environment.DefaultCompatibilityVersion()}

// policy is one ValidatingAdmissionPolicy as one release of Kubernetes understands it.
type policy struct {
	name      string
	resources []string
	release   string
	validator validating.Validator
}

type request struct {
	Object json.RawMessage `json:"object"`
	Old    json.RawMessage `json:"old"`
}

func compile(object runtime.Object) []policy {
	source, ok := object.(*admissionv1.ValidatingAdmissionPolicy)
	if !ok {
		return nil
	}
	var policies []policy
	for _, release := range releases {
		validator, err := validatorOf(source, release)
		if err != nil {
			panic(err)
		}
		resources := source.Spec.MatchConstraints.ResourceRules[0].Resources
		policies = append(policies, policy{source.Name, resources, release.String(), validator})
	}
	return policies
}

// validatorOf is what the admission plugin, which compiles for the current release only, makes of a policy.
func validatorOf(source *admissionv1.ValidatingAdmissionPolicy, release *version.Version) (validating.Validator, error) {
	compiler, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(release))
	if err != nil {
		return nil, err
	}
	known, mode := cel.OptionalVariableDeclarations{HasAuthorizer: true}, environment.NewExpressions
	var variables []cel.NamedExpressionAccessor
	for _, v := range source.Spec.Variables {
		variables = append(variables, &validating.Variable{Name: v.Name, Expression: v.Expression})
	}
	compiler.CompileAndStoreVariables(variables, known, mode)
	var conditions []cel.ExpressionAccessor
	for i := range source.Spec.MatchConditions {
		conditions = append(conditions, (*matchconditions.MatchCondition)(&source.Spec.MatchConditions[i]))
	}
	rules, messages := make([]cel.ExpressionAccessor, 0), make([]cel.ExpressionAccessor, len(source.Spec.Validations))
	for i, v := range source.Spec.Validations {
		rules = append(rules, &validating.ValidationCondition{Expression: v.Expression, Message: v.Message, Reason: v.Reason})
		if v.MessageExpression != "" {
			messages[i] = &validating.MessageExpressionCondition{MessageExpression: v.MessageExpression}
		}
	}
	fail := source.Spec.FailurePolicy
	matcher := matchconditions.NewMatcher(
		compiler.CompileCondition(conditions, known, mode), fail, "policy", "validate", source.Name)
	return validating.NewValidator(
		compiler.CompileCondition(rules, known, mode), matcher, compiler.CompileCondition(nil, known, mode),
		compiler.CompileCondition(messages, cel.OptionalVariableDeclarations{}, mode), fail, nil), nil
}

// judge returns what the policies say. What one release says and the other does not is an error.
func (r request) judge(policies []policy) ([]string, error) {
	object, old := &unstructured.Unstructured{}, &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(r.Object); err != nil {
		return nil, err
	}
	kind := object.GroupVersionKind()
	resource := kind.GroupVersion().WithResource(strings.ToLower(kind.Kind) + "s")
	attributes := &admission.VersionedAttributes{
		Attributes: admission.NewAttributesRecord(
			object, nil, kind, "default", object.GetName(), resource, "", admission.Create, nil, false, nil),
		VersionedKind: kind, VersionedObject: object,
	}
	if r.Old != nil {
		if err := old.UnmarshalJSON(r.Old); err != nil {
			return nil, err
		}
		attributes.Attributes = admission.NewAttributesRecord(
			object, old, kind, "default", object.GetName(), resource, "", admission.Update, nil, false, nil)
		attributes.VersionedOldObject = old
	}
	said := map[string][]string{}
	for _, p := range policies {
		if !slices.Contains(p.resources, resource.Resource) {
			continue
		}
		result := p.validator.Validate(
			context.Background(), resource, attributes, nil, nil, celconfig.RuntimeCELCostBudget, nil)
		for _, decision := range result.Decisions {
			if decision.Action != validating.ActionAdmit {
				said[p.release] = append(said[p.release], decision.Message)
			}
		}
	}
	first, last := said[releases[0].String()], said[releases[1].String()]
	if len(first) != len(last) { // the texts may differ: maps have no order
		return nil, fmt.Errorf("%s: releases differ: %q and %q", object.GetName(), first, last)
	}
	return append([]string{}, last...), nil
}
