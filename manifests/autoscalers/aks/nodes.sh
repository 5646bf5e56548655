#!/bin/sh
# GPU machines for workers as AKS node pools, scaled by AKS' cluster autoscaler. For the administrator of the
# cluster.
#   GROUP=… CLUSTER=… sh nodes.sh
set -eu
pool() {
  az aks nodepool add --resource-group "${GROUP:?}" --cluster-name "${CLUSTER:?}" --name "$@" \
    --node-vm-size Standard_NC8as_T4_v3 --node-osdisk-size 128 --labels imagejob.dev/node=gpu \
    --enable-cluster-autoscaler --node-count 0 --min-count 0
}
# AKS adds the taint kubernetes.azure.com/scalesetpriority=spot:NoSchedule by itself.
pool gpuspot --priority Spot --eviction-policy Delete --spot-max-price -1 --max-count 20 \
  --node-taints nvidia.com/gpu=true:NoSchedule
pool gpudemand --max-count 4 --node-taints nvidia.com/gpu=true:NoSchedule
