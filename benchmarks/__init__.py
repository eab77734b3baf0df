"""The benchmark: rowsmith and its peers, doing the same work on one server, and what each costs the client.

    make bench                                  the full run, some six minutes
    python -m benchmarks --quick                a smoke run, less than a minute
    python -m benchmarks --only lookup          one workload; may be repeated
    python -m benchmarks --output DIR           where results.md, results.json and benchmark.svg go
    python -m benchmarks.generate [--check]     write the typed modules of rowsmith's contenders again

What is measured is said by `workloads`, `throughput` and `processes`; who takes part by `contenders`; how the time is
taken by `measurement`; and what rowsmith has promised by `targets`.
"""
