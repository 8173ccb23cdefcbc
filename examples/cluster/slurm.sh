#!/bin/bash
# A study by up to 20 jobs at a time: each takes trainings that are free until all are done, and the last one writes the report.
#   sbatch slurm.sh
# Threads: one training for each core is fastest, so --jobs is the number of cores. Memory: 0.5 GB for each of them at 96 x 96, 0.8 GB
# at 256 x 256. Scratch space: none; data sets and the study lie on a file system that all nodes see.
#SBATCH --array=1-20
#SBATCH --cpus-per-task=4 --mem=4G --time=24:00:00
#SBATCH --signal=B:TERM@120 --requeue
exec polycl study study.toml --out study --join --jobs "$SLURM_CPUS_PER_TASK"
