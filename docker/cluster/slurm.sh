#!/bin/bash
# One torchrun per node, for segmenting and for training; masks and runs must lie on a disk that all nodes see.
#   sbatch docker/cluster/slurm.sh pipeline segment scans/ out/
#   sbatch --nodes 1 docker/cluster/slurm.sh monai.bundle run training --config_file "['bundles/acdc/train.json','bundles/acdc/multi_gpu_train.json']" --resume true
#SBATCH --job-name volseg
#SBATCH --nodes 2
#SBATCH --ntasks-per-node 1
#SBATCH --cpus-per-task 16
#SBATCH --gpus-per-node 2
#SBATCH --time 08:00:00
#SBATCH --signal TERM@120
#SBATCH --requeue
set -eu

PROCESSES=${PROCESSES:-${SLURM_GPUS_ON_NODE:-1}} # on each node; on CPUs for example PROCESSES=4
PORT=${PORT:-$((20000 + SLURM_JOB_ID % 10000))}
HEAD=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export OMP_NUM_THREADS=$((${SLURM_CPUS_PER_TASK:-1} > PROCESSES ? ${SLURM_CPUS_PER_TASK:-1} / PROCESSES : 1))

# without SLURM_JOB_ID: ignite would take Slurm's numbers of the torchruns for those of torchrun's processes
srun env --unset SLURM_JOB_ID torchrun --nnodes "$SLURM_JOB_NUM_NODES" --nproc_per_node "$PROCESSES" \
    --rdzv_backend c10d --rdzv_endpoint "$HEAD:$PORT" --rdzv_id "$SLURM_JOB_ID" -m "$@"
