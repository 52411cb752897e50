package main

import (
	"encoding/json"
	"fmt"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	"github.com/ray-project/kuberay/ray-operator/controllers/ray/utils"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

type judgement struct {
	judge   string
	message string
}

// judge asks the CRD's schema, then the Go types (strict: unknown and doubled fields are errors), then KubeRay's controllers.
func judge(schemas map[string]*schema, manifest *unstructured.Unstructured) []judgement {
	var found []judgement
	if schema := schemas[manifest.GetKind()]; schema != nil {
		for _, message := range schema.validate(manifest) {
			found = append(found, judgement{"schema", message})
		}
	}
	typed := typeOf(manifest)
	if typed == nil {
		return append(found, judgement{"types", fmt.Sprintf("%s is not a kind that this check knows", manifest.GroupVersionKind())})
	}
	text, err := json.Marshal(manifest.Object)
	if err == nil {
		err = yaml.UnmarshalStrict(text, typed)
	}
	if err != nil {
		return append(found, judgement{"types", err.Error()})
	}
	for _, err := range controllerErrors(typed) {
		found = append(found, judgement{"controller", err.Error()})
	}
	return found
}

func typeOf(manifest *unstructured.Unstructured) any {
	switch manifest.GetAPIVersion() + "/" + manifest.GetKind() {
	case "ray.io/v1/RayJob":
		return &rayv1.RayJob{}
	case "ray.io/v1/RayService":
		return &rayv1.RayService{}
	case "batch/v1/Job":
		return &batchv1.Job{}
	case "v1/ConfigMap":
		return &corev1.ConfigMap{}
	case "v1/Service":
		return &corev1.Service{}
	case "v1/ServiceAccount":
		return &corev1.ServiceAccount{}
	case "rbac.authorization.k8s.io/v1/Role":
		return &rbacv1.Role{}
	case "rbac.authorization.k8s.io/v1/RoleBinding":
		return &rbacv1.RoleBinding{}
	}
	return nil
}

// controllerErrors is what KubeRay's controllers check after admission, in their own code.
func controllerErrors(typed any) []error {
	var errs []error
	switch object := typed.(type) {
	case *rayv1.RayJob:
		errs = append(errs, utils.ValidateRayJobMetadata(object.ObjectMeta), utils.ValidateRayJobSpec(object))
	case *rayv1.RayService:
		errs = append(errs, utils.ValidateRayServiceMetadata(object.ObjectMeta), utils.ValidateRayServiceSpec(object))
	}
	var found []error
	for _, err := range errs {
		if err != nil {
			found = append(found, err)
		}
	}
	return found
}
