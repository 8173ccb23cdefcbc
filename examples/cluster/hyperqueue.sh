#!/bin/bash
# A study by HyperQueue: 20 tasks that join in, in whatever allocations its workers have.
#   hq alloc add slurm --time-limit 4h; bash hyperqueue.sh
# Threads: --cpus is the number of trainings at a time. Memory: 0.5 to 0.8 GB for each of them. Scratch space: none.
exec hq submit --array 1-20 --cpus 4 --crash-limit 5 -- polycl study study.toml --out study --join --jobs 4
