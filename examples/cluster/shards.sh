#!/bin/bash
# Masks of a cohort by 8 jobs, each a shard of the scans; a last job, which waits for them, unites the masks.
#   sbatch --dependency=afterany:$(sbatch --parsable shards.sh) --wrap "polycl predict --merge masks"
# Threads: each job uses all that it gets. Memory: 2 GB and four times the largest scan. Scratch space: none; scans and masks lie on a
# file system that all nodes see. A job that is requeued goes on where it was.
#SBATCH --array=0-7
#SBATCH --cpus-per-task=4 --mem=4G --time=04:00:00
#SBATCH --signal=B:TERM@120 --requeue
exec polycl predict liver scans --out masks --shard auto --threads "$SLURM_CPUS_PER_TASK"
