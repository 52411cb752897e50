package main

import (
	"context"
	"fmt"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/admissionregistration/install"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/validatingadmissionpolicy"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/validatingadmissionpolicybinding"
	"k8s.io/kubernetes/pkg/registry/apps/deployment"
	"k8s.io/kubernetes/pkg/registry/core/configmap"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/networking/networkpolicy"
	"k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrole"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrolebinding"
	"k8s.io/kubernetes/pkg/registry/rbac/role"
	"k8s.io/kubernetes/pkg/registry/rbac/rolebinding"
	podsecurity "k8s.io/pod-security-admission/api"
	podpolicy "k8s.io/pod-security-admission/policy"
)

var strategies = map[string]rest.RESTCreateStrategy{
	"ClusterRole":                      clusterrole.Strategy,
	"ClusterRoleBinding":               clusterrolebinding.Strategy,
	"ConfigMap":                        configmap.Strategy,
	"Deployment":                       deployment.Strategy,
	"NetworkPolicy":                    networkpolicy.Strategy,
	"PersistentVolumeClaim":            persistentvolumeclaim.Strategy,
	"Pod":                              pod.Strategy,
	"PodDisruptionBudget":              poddisruptionbudget.Strategy,
	"Role":                             role.Strategy,
	"RoleBinding":                      rolebinding.Strategy,
	"Service":                          service.Strategy,
	"ServiceAccount":                   serviceaccount.Strategy,
	"ValidatingAdmissionPolicy":        validatingadmissionpolicy.NewStrategy(nil, nil),
	"ValidatingAdmissionPolicyBinding": validatingadmissionpolicybinding.NewStrategy(nil, nil, nil),
}

// Unknown and doubled fields are errors, as `kubectl apply` and Helm ask for.
var decoder runtime.Decoder

func init() {
	if err := monitoringv1.AddToScheme(legacyscheme.Scheme); err != nil {
		panic(err)
	}
	decoder = serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
}

// create does what the API server does with a new object, and returns it with its defaults.
func create(text []byte) (runtime.Object, []string) {
	errs := []string{}
	object, kind, err := decoder.Decode(text, nil, nil)
	if err != nil {
		return nil, append(errs, err.Error())
	}
	if kind.Group == "monitoring.coreos.com" { // its types are all that is known here
		return object, errs
	}
	strategy, known := strategies[kind.Kind]
	if !known {
		return nil, append(errs, fmt.Sprintf("%s is not a kind that this check knows", kind))
	}
	legacyscheme.Scheme.Default(object)
	internal, err := legacyscheme.Scheme.UnsafeConvertToVersion(object.DeepCopyObject(), runtime.InternalGroupVersioner)
	if err != nil {
		return nil, append(errs, err.Error())
	}
	accessor, err := meta.Accessor(internal)
	if err != nil {
		return nil, append(errs, err.Error())
	}
	rest.FillObjectMetaSystemFields(accessor)
	warnings := &recorder{}
	ctx := warning.WithWarningRecorder(apirequest.WithNamespace(context.Background(), accessor.GetNamespace()), warnings)
	ctx = apirequest.WithRequestInfo(ctx, &apirequest.RequestInfo{APIGroup: kind.Group, APIVersion: kind.Version})
	if err := rest.BeforeCreate(strategy, ctx, internal); err != nil {
		errs = append(errs, err.Error())
	}
	return object, append(append(errs, warnings.texts...), unrestricted(object)...)
}

type recorder struct{ texts []string }

func (r *recorder) AddWarning(_, text string) { r.texts = append(r.texts, "warning: "+text) }

// unrestricted is what the "restricted" Pod Security Standard has against the pods of object.
func unrestricted(object runtime.Object) []string {
	var pods corev1.PodTemplateSpec
	switch object := object.(type) {
	case *appsv1.Deployment:
		pods = object.Spec.Template
	case *corev1.Pod:
		pods = corev1.PodTemplateSpec{ObjectMeta: object.ObjectMeta, Spec: object.Spec}
	default:
		return nil
	}
	evaluator, err := podpolicy.NewEvaluator(podpolicy.DefaultChecks(), nil)
	if err != nil {
		return []string{err.Error()}
	}
	level := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
	var errs []string
	for _, result := range evaluator.EvaluatePod(level, &pods.ObjectMeta, &pods.Spec) {
		if !result.Allowed {
			errs = append(errs, fmt.Sprintf("restricted: %s (%s)", result.ForbiddenReason, result.ForbiddenDetail))
		}
	}
	return errs
}
