#!/usr/bin/env python3
"""Writes the Grafana dashboards from the tables below: suite.json and ebs.json. `make.py --check` says whether they are
up to date. Import the files into Grafana 11 or newer, or put them into a ConfigMap for its sidecar."""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
RANGE = "$__rate_interval"
DRIVER = 'driver_name=~"$driver"'
# As the alert ComponentDown has it.
JOBS = 'job=~"(.+/)?(ebs-csi-controller|ebs-csi-node|slackwater|snapshot-controller).*"'
QUEUES = (
    'name=~"snapshot-controller-.*|csi-snapshotter-.*|.*-pvc|.*-modify|csi-attacher-.*|claims|claims-clone-protection|volumes'
    '|snapshots-source-protection|csistoragecapacity|csitopology"'
)
# What the csi-snapshotter calls until a snapshot is ready, or a group with its members.
FOR_READY = 'method_name=~"/csi.v1.(Controller/(Create|List)Snapshots?|GroupController/(Create|Get)VolumeGroupSnapshot)"'


def calls(method, service="Controller"):
    """Calls of one RPC a minute, by what they were answered."""
    rpc = f'method_name="/csi.v1.{service}/{method}"'
    return f"60 * sum by (grpc_status_code) (rate(csi_sidecar_operations_seconds_count{{{rpc},{DRIVER}}}[{RANGE}]))"


def time_of(method):
    """Seconds of a call, at the quantile that is chosen."""
    rpc = f'method_name="/csi.v1.Controller/{method}"'
    return (
        "histogram_quantile($quantile, sum by (le) "
        f"(rate(csi_sidecar_operations_seconds_bucket{{{rpc},{DRIVER}}}[{RANGE}])))"
    )


# A row: its title and panels. A panel: title, kind, unit, and queries with their legends.
SUITE = [
    ("Health", [
        ("Leaders", "state-timeline", "none", [("max by (lease, pod) (slackwater_leader)", "{{lease}} {{pod}}")]),
        ("Snapshots that are not ready", "stat", "none", [
            (f'sum by (phase) (slackwater_volumesnapshots{{phase!="ready",{DRIVER}}})', "{{phase}}"),
        ]),
        ("Claims that grow or change", "stat", "none", [
            (f"sum by (status) (slackwater_pvc_resizes{{{DRIVER}}})", "{{status}}"),
            (f"sum by (status) (slackwater_pvc_modifies{{{DRIVER}}})", "class: {{status}}"),
        ]),
        ("CSI calls that fail", "timeseries", "percentunit", [
            (f"csi:sidecar_errors:ratio15m{{{DRIVER}}}", "{{method_name}}"),
        ]),
        ("Restarts in an hour", "timeseries", "none", [
            (f"sum by (job, pod, container) (changes(process_start_time_seconds{{{JOBS}}}[1h]))", "{{job}} {{pod}} {{container}}"),
        ]),
        ("Memory", "timeseries", "bytes", [
            (f"process_resident_memory_bytes{{{JOBS}}}", "{{job}} {{pod}} {{container}}"),
        ]),
        ("Processor time", "timeseries", "percentunit", [
            (
            f"sum by (job, pod, container) (rate(process_cpu_seconds_total{{{JOBS}}}[{RANGE}]))", "{{job}} {{pod}} {{container}}",
        ),
        ]),
        ("Versions", "table", "none", [("max by (version, mode, component) (slackwater_build_info)", "{{version}}")]),
    ]),
    ("Snapshots", [
        ("CreateSnapshot a minute", "timeseries", "none", [
            (calls("CreateSnapshot"), "{{grpc_status_code}}"),
            (calls("CreateVolumeGroupSnapshot", "GroupController"), "group: {{grpc_status_code}}"),
        ]),
        ("Time until ready", "heatmap", "s", [(
            'sum by (le) (increase(snapshot_controller_operation_total_seconds_bucket{'
            f'operation_name="CreateSnapshotAndReady",operation_status="success",{DRIVER}}}[{RANGE}]))', "{{le}}",
        )]),
        ("In flight", "timeseries", "none", [("sum(snapshot_controller_operations_in_flight)", "operations")]),
        ("By phase", "timeseries", "none", [
            (f"sum by (phase) (slackwater_volumesnapshots{{{DRIVER}}})", "{{phase}}"),
        ]),
        ("The oldest", "timeseries", "s", [
            (f"max by (phase) (slackwater_volumesnapshot_oldest_seconds{{{DRIVER}}})", "{{phase}}"),
        ]),
        ("Given up in an hour", "timeseries", "none", [(
            "sum by (operation_name) (increase(snapshot_controller_operation_total_seconds_count{"
            f'operation_status="cancel",{DRIVER}}}[1h]))', "{{operation_name}}",
        )]),
        ("Calls for a ready snapshot", "timeseries", "none", [(
            f"sum(rate(csi_sidecar_operations_seconds_count{{{FOR_READY},{DRIVER}}}[15m])) / "
            "sum(rate(snapshot_controller_operation_total_seconds_count{"
            f'operation_name="CreateSnapshotAndReady",operation_status="success",{DRIVER}}}[15m]))', "calls",
        )]),
        ("DeleteSnapshot a minute", "timeseries", "none", [
            (calls("DeleteSnapshot"), "{{grpc_status_code}}"),
            (calls("DeleteVolumeGroupSnapshot", "GroupController"), "group: {{grpc_status_code}}"),
        ]),
    ]),
    ("Expansion and change of volumes", [
        ("ControllerExpandVolume a minute", "timeseries", "none", [
            (calls("ControllerExpandVolume"), "{{grpc_status_code}}"),
        ]),
        ("ControllerModifyVolume a minute", "timeseries", "none", [
            (calls("ControllerModifyVolume"), "{{grpc_status_code}}"),
        ]),
        ("Time of a call", "timeseries", "s", [
            (time_of("ControllerExpandVolume"), "ControllerExpandVolume"),
            (time_of("ControllerModifyVolume"), "ControllerModifyVolume"),
        ]),
        ("Claims by stage", "timeseries", "none", [
            (f"sum by (status) (slackwater_pvc_resizes{{{DRIVER}}})", "{{status}}"),
        ]),
        ("The longest in its stage", "timeseries", "s", [
            (f"max by (status) (slackwater_pvc_resize_oldest_seconds{{{DRIVER}}})", "{{status}}"),
        ]),
    ]),
    ("Provisioning and attaching", [
        ("CreateVolume and DeleteVolume a minute", "timeseries", "none", [
            (calls("CreateVolume"), "create: {{grpc_status_code}}"),
            (calls("DeleteVolume"), "delete: {{grpc_status_code}}"),
        ]),
        ("Attaching and detaching a minute", "timeseries", "none", [
            (calls("ControllerPublishVolume"), "attach: {{grpc_status_code}}"),
            (calls("ControllerUnpublishVolume"), "detach: {{grpc_status_code}}"),
        ]),
        ("Time of a call", "timeseries", "s", [
            (time_of("CreateVolume"), "CreateVolume"),
            (time_of("ControllerPublishVolume"), "ControllerPublishVolume"),
            (time_of("ControllerUnpublishVolume"), "ControllerUnpublishVolume"),
        ]),
        ("Volumes on their way", "timeseries", "none", [
            (f"sum by (phase) (slackwater_pvc_provisions{{{DRIVER}}})", "claims: {{phase}}"),
            (f"sum by (phase) (slackwater_volumeattachments{{{DRIVER}}})", "attachments: {{phase}}"),
        ]),
        ("The longest on its way", "timeseries", "s", [
            (f"max by (phase) (slackwater_pvc_provision_oldest_seconds{{{DRIVER}}})", "claims: {{phase}}"),
            (f"max by (phase) (slackwater_volumeattachment_oldest_seconds{{{DRIVER}}})", "attachments: {{phase}}"),
        ]),
        ("Attempts that failed in an hour", "timeseries", "none", [
            ("sum by (class) (increase(controller_persistentvolumeclaim_provision_failed_total[1h]))", "make: {{class}}"),
            ("sum by (class) (increase(controller_persistentvolume_delete_failed_total[1h]))", "delete: {{class}}"),
        ]),
        ("Volumes that nobody owns", "timeseries", "none", [
            (f"max by (driver_name) (slackwater_orphan_volumes{{{DRIVER}}})", "{{driver_name}}"),
        ]),
    ]),
    ("Queues", [
        ("Objects that wait", "timeseries", "none", [(f"sum by (name) (workqueue_depth{{{QUEUES}}})", "{{name}}")]),
        ("Looks a second", "timeseries", "none", [
            (f"sum by (name) (rate(workqueue_adds_total{{{QUEUES}}}[{RANGE}]))", "{{name}}"),
        ]),
        ("Retries a second", "timeseries", "none", [
            (f"sum by (name) (rate(workqueue_retries_total{{{QUEUES}}}[{RANGE}]))", "{{name}}"),
        ]),
        ("Time in the queue", "timeseries", "s", [(
            "histogram_quantile($quantile, sum by (le, name) "
            f"(rate(workqueue_queue_duration_seconds_bucket{{{QUEUES}}}[{RANGE}])))", "{{name}}",
        )]),
        ("The longest at one object", "timeseries", "s", [
            (f"max by (name) (workqueue_longest_running_processor_seconds{{{QUEUES}}})", "{{name}}"),
        ]),
    ]),
    ("Kubernetes API", [
        ("Requests a second", "timeseries", "none", [(
            f"sum by (component, verb, resource, subresource) (rate(slackwater_kube_requests_total[{RANGE}]))",
            "{{component}} {{verb}} {{resource}} {{subresource}}",
        )]),
        ("Refused a second", "timeseries", "none", [(
            'sum by (component, verb, resource, subresource, code) '
            f'(rate(slackwater_kube_requests_total{{code!~"2.."}}[{RANGE}]))',
            "{{component}} {{verb}} {{resource}} {{subresource}} {{code}}",
        )]),
        ("Time of a request", "timeseries", "s", [(
            "histogram_quantile($quantile, sum by (le, verb) "
            f"(rate(slackwater_kube_request_seconds_bucket[{RANGE}])))", "{{verb}}",
        )]),
        ("Objects in the caches", "timeseries", "none", [
            ("max by (kind) (slackwater_informer_objects)", "{{kind}}"),
        ]),
        ("Age of the last word", "timeseries", "s", [
            ("max by (kind) (slackwater_informer_last_event_seconds)", "{{kind}}"),
        ]),
        ("Events a second", "timeseries", "none", [
            (f"sum by (component, outcome) (rate(slackwater_events_total[{RANGE}]))", "{{component}} {{outcome}}"),
        ]),
    ]),
]

EBS = [
    ("EC2", [
        ("Calls a second", "timeseries", "none", [
            (f"sum by (request) (rate(aws_ebs_csi_api_request_duration_seconds_count[{RANGE}]))", "{{request}}"),
        ]),
        ("Time of a call", "timeseries", "s", [(
            "histogram_quantile($quantile, sum by (le, request) "
            f"(rate(aws_ebs_csi_api_request_duration_seconds_bucket[{RANGE}])))", "{{request}}",
        )]),
        ("Calls for a CSI operation", "timeseries", "none", [(
            "sum(rate(aws_ebs_csi_api_request_duration_seconds_count[15m])) / "
            'sum(rate(csi_sidecar_operations_seconds_count{method_name=~"/csi.v1.(Group)?Controller/.+"}[15m]))', "calls",
        )]),
        ("Lookups in one call", "heatmap", "none", [
            (f"sum by (le) (increase(slackwater_ec2_batch_size_bucket[{RANGE}]))", "{{le}}"),
        ]),
    ]),
    ("Limits of AWS", [
        ("Throttled a second", "timeseries", "none", [
            (f"sum by (operation_name) (rate(aws_ebs_csi_api_request_throttles_total[{RANGE}]))", "{{operation_name}}"),
        ]),
        ("Volumes that wait to be changed", "timeseries", "none", [
            ("sum by (reason) (slackwater_ec2_modify_waiting)", "{{reason}}"),
        ]),
        ("Requests that wait for their turn", "timeseries", "none", [
            ("sum by (bucket) (slackwater_ec2_queue_length)", "{{bucket}}"),
        ]),
    ]),
    ("Errors", [
        ("Answers of EC2 that are errors", "timeseries", "none", [(
            f"sum by (request, code) (rate(aws_ebs_csi_api_request_errors_total[{RANGE}]))", "{{request}} {{code}}",
        )]),
        ("Calls without an answer", "timeseries", "none", [
            (f"sum by (request, kind) (rate(slackwater_ec2_errors_total[{RANGE}]))", "{{request}} {{kind}}"),
        ]),
        ("Detaching for long", "table", "s", [("aws_ebs_csi_ec2_detach_pending_seconds_total", "{{volume_id}}")]),
    ]),
]

WIDTH, HEIGHT = 8, 7


def panel(number, place, title, kind, unit, queries):
    source = {"type": "prometheus", "uid": "${datasource}"}
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": source,
            "expr": query,
            "legendFormat": legend,
            "format": {"heatmap": "heatmap", "table": "table"}.get(kind, "time_series"),
            "instant": kind in ("stat", "table"),
            "range": kind not in ("stat", "table"),
        }
        for index, (query, legend) in enumerate(queries)
    ]
    return {
        "id": number,
        "title": title,
        "type": kind,
        "datasource": source,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def panels(rows):
    made, y = [], 0
    for title, contents in rows:
        place = {"h": 1, "w": 24, "x": 0, "y": y}
        made.append({"id": len(made) + 1, "title": title, "type": "row", "collapsed": False, "gridPos": place, "panels": []})
        y += 1
        for index, content in enumerate(contents):
            place = {"h": HEIGHT, "w": WIDTH, "x": index % 3 * WIDTH, "y": y + index // 3 * HEIGHT}
            made.append(panel(len(made) + 1, place, *content))
        y += (len(contents) + 2) // 3 * HEIGHT
    return made


def variables():
    source = {"type": "prometheus", "uid": "${datasource}"}
    drivers = "label_values(csi_sidecar_operations_seconds_count, driver_name)"
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
        {
            "name": "driver", "label": "Driver", "type": "query", "datasource": source, "refresh": 2,
            "query": {"query": drivers, "refId": "driver"}, "definition": drivers,
            "includeAll": True, "allValue": ".*", "multi": True,
            "current": {"text": "All", "value": "$__all"},
        },
        {
            "name": "quantile", "label": "Quantile", "type": "custom", "query": "0.99,0.9,0.5",
            "current": {"text": "0.99", "value": "0.99"},
            "options": [{"text": text, "value": text, "selected": text == "0.99"} for text in ("0.99", "0.9", "0.5")],
        },
    ]


def dashboard(uid, title, rows):
    return {
        "uid": uid,
        "title": title,
        "tags": ["csi", "storage", "slackwater"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": variables()},
        "annotations": {"list": []},
        "panels": panels(rows),
    }


def main():
    made = {
        "suite.json": dashboard("slackwater-csi", "Slackwater / CSI", SUITE),
        "ebs.json": dashboard("slackwater-ebs", "Slackwater / EBS and the limits of AWS", EBS),
    }
    late = []
    for name, content in made.items():
        text = json.dumps(content, indent=1) + "\n"
        path = HERE / name
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text() != text:
                late.append(name)
        else:
            path.write_text(text)
    if late:
        sys.exit(f"{', '.join(late)}: not what dashboards/make.py makes; run it")


if __name__ == "__main__":
    main()
