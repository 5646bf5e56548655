#!/bin/sh
# GPU machines for workers as GKE node pools, scaled by GKE's cluster autoscaler. For the administrator of the
# cluster.
#   CLUSTER=… REGION=us-central1 sh nodes.sh
set -eu
pool() {
  gcloud container node-pools create "$@" --cluster="${CLUSTER:?}" --region="${REGION:?}" \
    --machine-type=g2-standard-8 --accelerator=type=nvidia-l4,count=1,gpu-driver-version=latest \
    --node-locations="${ZONES:-$REGION-a,$REGION-b}" --num-nodes=0 --enable-autoscaling --total-min-nodes=0 \
    --location-policy=ANY --disk-size=100 --node-labels=imagejob.dev/node=gpu
}
pool imagejob-gpu-spot --spot --total-max-nodes=20
pool imagejob-gpu-on-demand --total-max-nodes=4
