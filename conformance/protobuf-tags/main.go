// Writes the table by which the sandbox reads objects that come as protobuf: the fields of each type of Kubernetes with
// their tags. Run it with `go run .` when the types gain fields; without a field it is not read, as by the real server.
package main

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"log"
	"os"
	"reflect"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const target = "../../sandbox/src/kube/protobuf/tags.deflate"

// The kinds that the sandbox serves.
var kinds = map[string]any{
	"apps/v1/DaemonSet":                               appsv1.DaemonSet{},
	"apps/v1/Deployment":                              appsv1.Deployment{},
	"apps/v1/ReplicaSet":                              appsv1.ReplicaSet{},
	"apps/v1/StatefulSet":                             appsv1.StatefulSet{},
	"authentication.k8s.io/v1/SelfSubjectReview":      authenticationv1.SelfSubjectReview{},
	"authorization.k8s.io/v1/SelfSubjectAccessReview": authorizationv1.SelfSubjectAccessReview{},
	"authorization.k8s.io/v1/SelfSubjectRulesReview":  authorizationv1.SelfSubjectRulesReview{},
	"autoscaling/v1/Scale":                            autoscalingv1.Scale{},
	"batch/v1/CronJob":                                batchv1.CronJob{},
	"coordination.k8s.io/v1/Lease":                    coordinationv1.Lease{},
	"rbac.authorization.k8s.io/v1/ClusterRole":        rbacv1.ClusterRole{},
	"rbac.authorization.k8s.io/v1/ClusterRoleBinding": rbacv1.ClusterRoleBinding{},
	"rbac.authorization.k8s.io/v1/Role":               rbacv1.Role{},
	"rbac.authorization.k8s.io/v1/RoleBinding":        rbacv1.RoleBinding{},
	"storage.k8s.io/v1/CSIDriver":                     storagev1.CSIDriver{},
	"storage.k8s.io/v1/CSINode":                       storagev1.CSINode{},
	"storage.k8s.io/v1/StorageClass":                  storagev1.StorageClass{},
	"storage.k8s.io/v1/VolumeAttachment":              storagev1.VolumeAttachment{},
	"storage.k8s.io/v1/VolumeAttributesClass":         storagev1.VolumeAttributesClass{},
	"v1/ConfigMap":                                    corev1.ConfigMap{},
	"v1/DeleteOptions":                                metav1.DeleteOptions{},
	"v1/Event":                                        corev1.Event{},
	"v1/Namespace":                                    corev1.Namespace{},
	"v1/Node":                                         corev1.Node{},
	"v1/PersistentVolume":                             corev1.PersistentVolume{},
	"v1/PersistentVolumeClaim":                        corev1.PersistentVolumeClaim{},
	"v1/Pod":                                          corev1.Pod{},
	"v1/ResourceQuota":                                corev1.ResourceQuota{},
	"v1/Secret":                                       corev1.Secret{},
	"v1/Service":                                      corev1.Service{},
	"v1/ServiceAccount":                               corev1.ServiceAccount{},
}

// Types with a form of their own in JSON.
var special = map[string]string{
	"k8s.io/apimachinery/pkg/api/resource.Quantity":   "quantity",
	"k8s.io/apimachinery/pkg/apis/meta/v1.Time":       "time",
	"k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime":  "microtime",
	"k8s.io/apimachinery/pkg/util/intstr.IntOrString": "intorstring",
	"k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1":   "json",
	"k8s.io/apimachinery/pkg/runtime.RawExtension":    "json",
}

// By type and tag: the name of the field in JSON (none where its members stand in the object around it), what it is,
// and when it is there although it is zero.
type table struct {
	Kinds map[string]string               `json:"kinds"`
	Types map[string]map[string][3]string `json:"types"`
}

func main() {
	log.SetFlags(0)
	all := table{Kinds: map[string]string{}, Types: map[string]map[string][3]string{}}
	for kind, object := range kinds {
		all.Kinds[kind] = all.add(reflect.TypeOf(object))
	}
	text, err := json.Marshal(all)
	if err != nil {
		log.Fatal(err)
	}
	var packed bytes.Buffer
	writer, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := writer.Write(text); err != nil {
		log.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(target, packed.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}

func name(of reflect.Type) string {
	parts := strings.Split(of.PkgPath(), "/")
	return strings.Join(parts[max(0, len(parts)-2):], "/") + "." + of.Name()
}

// add takes a struct and what it refers to into the table.
func (all *table) add(of reflect.Type) string {
	key := name(of)
	if _, known := all.Types[key]; known {
		return key
	}
	fields := map[string][3]string{}
	all.Types[key] = fields
	for i := range of.NumField() {
		field := of.Field(i)
		tag := strings.Split(field.Tag.Get("protobuf"), ",")
		if len(tag) < 2 {
			continue
		}
		names := strings.Split(field.Tag.Get("json"), ",")
		stays := ""
		if field.Type.Kind() == reflect.Pointer || len(names) == 1 {
			stays = "zero"
		}
		fields[tag[1]] = [3]string{names[0], all.form(field.Type), stays}
	}
	return key
}

func (all *table) form(of reflect.Type) string {
	if form, known := special[of.PkgPath()+"."+of.Name()]; known {
		return form
	}
	switch of.Kind() {
	case reflect.Pointer:
		return all.form(of.Elem())
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "truth"
	case reflect.Int32, reflect.Int64:
		return "integer"
	case reflect.Struct:
		return all.add(of)
	case reflect.Map:
		return "map " + all.form(of.Elem())
	case reflect.Slice:
		if of.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "list " + all.form(of.Elem())
	}
	log.Fatalf("%s has no form", of)
	return ""
}
