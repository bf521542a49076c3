"""The Kubernetes files are valid.

Kubernetes' published schemas check built-in kinds and pod templates. No package carries KubeRay's schema, so the list
of its API reference checks its fields.
"""

from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest

from tests.support.cluster_files import TEXT, documents

KUBERNETES = "1.34"
FILES = ("kuberay/shared.yaml", "kuberay/data.yaml", "kuberay/raycluster.yaml", "kuberay/rayjob.yaml")
RAY_KINDS = ("RayCluster", "RayJob")

# Fields and types of KubeRay 1.7's API reference that an installation may want.
GROUP = {"rayStartParams": dict, "template": dict}
CLUSTER_FIELDS = {
    "rayVersion": str,
    "authOptions": dict,
    "gcsFaultToleranceOptions": dict,
    "enableInTreeAutoscaling": bool,
    "autoscalerOptions": dict,
    "headGroupSpec": dict,
    "workerGroupSpecs": list,
    "headServiceAnnotations": dict,
    "suspend": bool,
    "managedBy": str,
    "upgradeStrategy": dict,
}
HEAD_FIELDS = {
    **GROUP,
    "serviceType": str,
    "headService": dict,
    "enableIngress": bool,
    "resources": dict,
    "labels": dict,
}
WORKER_FIELDS = {
    **GROUP,
    "groupName": str,
    "replicas": int,
    "minReplicas": int,
    "maxReplicas": int,
    "numOfHosts": int,
    "idleTimeoutSeconds": int,
    "suspend": bool,
    "scaleStrategy": dict,
    "resources": dict,
    "labels": dict,
}
JOB_FIELDS = {
    "entrypoint": str,
    "entrypointNumCpus": (int, float),
    "entrypointNumGpus": (int, float),
    "entrypointResources": str,
    "runtimeEnvYAML": str,
    "jobId": str,
    "submissionMode": str,
    "submitterConfig": dict,
    "submitterPodTemplate": dict,
    "backoffLimit": int,
    "activeDeadlineSeconds": int,
    "preRunningDeadlineSeconds": int,
    "shutdownAfterJobFinishes": bool,
    "ttlSecondsAfterFinished": int,
    "suspend": bool,
    "clusterSelector": dict,
    "rayClusterSpec": dict,
    "metadata": dict,
    "managedBy": str,
    "deletionStrategy": dict,
}


def objects() -> list[dict[str, Any]]:
    return [document for name in FILES for document in documents(name)]


def cluster_specs() -> list[dict[str, Any]]:
    specs = [document["spec"] for document in objects() if document["kind"] in RAY_KINDS]
    return [spec.get("rayClusterSpec", spec) for spec in specs]


def pod_templates() -> Iterator[dict[str, Any]]:
    for spec in cluster_specs():
        yield spec["headGroupSpec"]["template"]
        for group in spec["workerGroupSpecs"]:
            yield group["template"]
    yield from (document["spec"]["template"] for document in objects() if document["kind"] == "Job")


def check_fields(found: dict[str, Any], allowed: dict[str, Any], where: str) -> None:
    for name, value in found.items():
        assert name in allowed, f"{where} has no field {name}"
        assert isinstance(value, allowed[name]), f"{where}.{name} is {value!r}"


@pytest.mark.parametrize(
    "document", [one for one in objects() if one["kind"] not in RAY_KINDS], ids=lambda one: one["kind"]
)
def test_kubernetes_accepts_built_in_kinds(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


@pytest.mark.parametrize("template", list(pod_templates()))
def test_kubernetes_accepts_every_pod(template: dict[str, Any]) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": template["spec"]}
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def test_the_schemas_see_mistakes() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": {"containerz": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def test_kuberays_fields_are_its_own() -> None:
    for document in objects():
        if document["kind"] in RAY_KINDS:
            assert document["apiVersion"] == "ray.io/v1"
        if document["kind"] == "RayJob":
            check_fields(document["spec"], JOB_FIELDS, "RayJob.spec")
    for spec in cluster_specs():
        check_fields(spec, CLUSTER_FIELDS, "RayCluster.spec")
        check_fields(spec["headGroupSpec"], HEAD_FIELDS, "headGroupSpec")
        for group in spec["workerGroupSpecs"]:
            check_fields(group, WORKER_FIELDS, "workerGroupSpec")
            assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
            assert all(isinstance(value, str) for value in group["rayStartParams"].values()), "Kubernetes wants strings"


def test_tokens_are_on_and_the_head_survives_its_pod() -> None:
    for spec in cluster_specs():
        assert spec["authOptions"]["mode"] == "token"
        assert spec["gcsFaultToleranceOptions"]["redisPassword"]["valueFrom"]["secretKeyRef"]
        assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_a_retried_job_resumes() -> None:
    job = next(document for document in objects() if document["kind"] == "RayJob")
    assert job["spec"]["backoffLimit"] > 0
    assert job["spec"]["entrypoint"].split()[:2] == ["bash", "cluster/kuberay/search.sh"]
    assert "--resume" in TEXT["cluster/kuberay/search.sh"].split()
    assert "COPY cluster/kuberay/search.sh /opt/aib/cluster/kuberay/search.sh" in TEXT["cluster/Dockerfile"]


def test_no_mount_makes_studies_writable_for_the_group() -> None:
    """Otherwise volumes become writable for the group, and a study that others may write to is refused."""
    for template in pod_templates():
        assert template["spec"]["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"


def test_names_that_pods_refer_to_exist() -> None:
    claims = {one["metadata"]["name"] for one in objects() if one["kind"] == "PersistentVolumeClaim"}
    services = {one["metadata"]["name"] for one in objects() if one["kind"] == "Service"}
    for spec in cluster_specs():
        address = spec["gcsFaultToleranceOptions"]["redisAddress"]
        assert address.removeprefix("redis://").split(":")[0] in services
    for template in pod_templates():
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        for volume in volumes.values():
            assert volume.get("persistentVolumeClaim", {}).get("claimName", "aib-shared") in claims
        for container in template["spec"]["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True
