package main

import (
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// podFields names every field of the parts of a pod, so that tests can ask about each.
func podFields() map[string][]string {
	fields := map[string][]string{}
	for _, part := range []any{
		corev1.PodTemplateSpec{}, corev1.PodTemplateSpec{}.ObjectMeta, corev1.PodSpec{}, corev1.PodSecurityContext{},
		corev1.Container{}, corev1.Volume{},
	} {
		kind := reflect.TypeOf(part)
		fields[kind.Name()] = names(kind)
	}
	return fields
}

func names(kind reflect.Type) []string {
	var found []string
	for field := range kind.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" { // inlined
			found = append(found, names(field.Type)...)
		} else {
			found = append(found, name)
		}
	}
	return found
}
